from storage import pages


def test_public_names_are_these() -> None:
    assert set(pages.__all__) == {
        "KEY_BYTES",
        "DeltaSizes",
        "PageIndex",
        "PageIndexError",
        "ParentIndex",
        "encode_delta",
        "rebuild",
        "record_pages",
    }
