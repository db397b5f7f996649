"""As much of an image registry as a pull needs (Distribution API): one image, ``test/hello:1``.

A program of its own, because it has to run in a lab host's network: ``python registry.py PORT``.
It ends when its standard input does.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, TAG = "test/hello", "1"
CONTENT = os.urandom(3 << 20)
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image() -> tuple[bytes, dict[str, bytes]]:
    """Make the image; return its manifest, and its blobs by digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("hello")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    layer = gzip.compress(buffer.getvalue(), compresslevel=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"of": "the registry"}},
            "rootfs": {"type": "layers", "diff_ids": [digest(buffer.getvalue())]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": len(layer), "digest": digest(layer)}],
    }
    return json.dumps(manifest).encode(), {digest(config): config, digest(layer): layer}


MANIFEST, BLOBS = image()


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, reference = self.path.removeprefix(f"/v2/{NAME}/").partition("/")
        if self.path == "/v2/":
            self.answer(b"{}")
        elif kind == "manifests" and reference in (TAG, digest(MANIFEST)):
            self.answer(MANIFEST, MANIFEST_TYPE)
        elif kind == "blobs" and reference in BLOBS:
            self.answer(BLOBS[reference])
        else:
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            self.answer(json.dumps({"errors": [error]}).encode(), status=404)

    do_HEAD = do_GET  # noqa: N815 - the name http.server calls

    def answer(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
