"""A layer is read where it lies; what overlayfs left in the image, through the engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.fidelity.collecting import layer_of
from runtime.libpod import LibpodClient
from tests.unit.runtime.fidelity.tars import contents, member, tar
from tests.unit.runtime.server import Answer, engine

CONTAINER = "1" * 64


@pytest.mark.skipif(os.geteuid() != 0, reason="overlayfs' marks need root")
def test_the_content_of_a_file_whose_owner_alone_changed(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "new").write_bytes(b"ours")
    (upper / "chown").write_bytes(bytes(7))  # overlayfs has its size here and nothing else
    os.setxattr(upper / "chown", "trusted.overlay.metacopy", b"")
    asked: list[str] = []

    def respond(method: str, path: str, body: bytes) -> Answer:
        asked.append(path)
        return 200, tar(member("chown", b"image's"))

    with engine(tmp_path / "s", respond) as socket:
        inspected = {"Id": CONTAINER, "GraphDriver": {"Data": {"UpperDir": str(upper)}}}
        with layer_of(LibpodClient(socket), inspected) as layer:
            layer.entries.seek(0)
            entries = layer.entries.read()

    found = contents(entries + bytes(1024))
    assert (found["new"], found["chown"]) == (b"ours", b"image's")
    assert len(entries) == layer.size
    (path,) = asked
    assert path.endswith(f"/containers/{CONTAINER}/archive?path=%2Fchown")
