from pathlib import Path

import pytest

from storage import StoreConfigError, open_objects

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "s3+http://minio:9000/podferry",
        "s3+http://minio:9000/podferry/site/a",
        "s3+https://storage.example.net/podferry",
        "s3://podferry",
        "s3://podferry/site",
        "file:///var/lib/podferry",
        "memory://",
    ],
)
def test_accepted_urls_are_shown_as_given(url: str) -> None:
    assert open_objects(url).url == url


@pytest.mark.parametrize("url", ["s3://podferry/", "s3://podferry/site/"])
def test_trailing_slash_means_nothing(url: str) -> None:
    assert open_objects(url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "podferry",
        "/var/lib/podferry",
        "file://relative/directory",
        "ftp://host/bucket",
        "http://minio:9000/podferry",
        "s3://",
        "s3:///bucket",
        "s3+http://minio:9000",
        "s3+http://minio:port/podferry",
        "s3+http://minio:99999/podferry",
        "s3+http://[minio/podferry",
        "s3://Not_A_Bucket",
        "s3://podferry/../other",
        "s3://podferry?region=eu",
        "s3+http://minio:9000/podferry#fragment",
        "memory://named",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreConfigError):
        open_objects(url)


def test_refusal_says_what_is_accepted() -> None:
    with pytest.raises(StoreConfigError, match=r"s3\+http://host:port/bucket.*file:///"):
        open_objects("ftp://host/bucket")


@pytest.mark.parametrize(
    "url",
    [
        f"s3+http://user:{SECRET}@minio:9000/podferry",
        f"s3://{SECRET}@podferry",
        f"s3+http://user:{SECRET}@minio:port/podferry",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreConfigError) as refused:
        open_objects(url)

    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(("access_key", "secret_key"), [("key", None), (None, SECRET)])
def test_half_a_pair_of_keys_is_refused(access_key: str | None, secret_key: str | None) -> None:
    with pytest.raises(StoreConfigError, match="both keys") as refused:
        open_objects("s3://podferry", access_key=access_key, secret_key=secret_key)

    assert SECRET not in str(refused.value)


def test_keys_are_not_shown() -> None:
    objects = open_objects("s3://podferry", access_key="key", secret_key=SECRET)

    assert SECRET not in objects.url + repr(objects)


def test_escapes_in_a_directory_name_are_understood(tmp_path: Path) -> None:
    directory = tmp_path / "with space"

    open_objects(directory.as_uri()).put("key", b"data")

    assert (directory / "key").read_bytes() == b"data"
