"""The metadata services of AWS, Google Cloud and Azure, imitated on loopback, rules and all."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, str]

AWS_TOKEN = "/latest/api/token"
AWS_ACTION = "/latest/meta-data/spot/instance-action"
GCP_PREEMPTED = "/computeMetadata/v1/instance/preempted"
AZURE_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
AZURE_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"


class Metadata:
    """What the services say; tests change it."""

    def __init__(self) -> None:
        self.url = ""
        self.action: dict[str, str] | None = None  # of the AWS instance
        self.preempted = False  # the Google VM
        self.events: list[dict[str, object]] = []  # of all Azure VMs
        self.vm = "web-1"
        self.spoilt: Answer | None = None  # the answer to everything
        self.tokens: set[str] = set()
        self.asked: list[str] = []

    def expire(self) -> None:
        """All tokens are too old."""
        self.tokens.clear()

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append(f"{method} {path}")
        if self.spoilt is not None:
            return self.spoilt
        if path in {AWS_TOKEN, AWS_ACTION}:
            return self._aws(method, path, headers)
        if path == GCP_PREEMPTED:
            return self._gcp(headers)
        if path in {AZURE_EVENTS, AZURE_NAME}:
            return self._azure(path, headers)
        return 404, "no such path"

    def _aws(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        if path == AWS_TOKEN:
            seconds = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if method != "PUT" or not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
                return (400, "") if method == "PUT" else (405, "")
            token = secrets.token_urlsafe(40) + "=="
            self.tokens.add(token)
            return 200, token
        if headers.get("X-aws-ec2-metadata-token") not in self.tokens:
            return 401, "Unauthorized"
        return (404, "Not Found") if self.action is None else (200, json.dumps(self.action))

    def _gcp(self, headers: Mapping[str, str]) -> Answer:
        if headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in headers:
            return 403, "Missing Metadata-Flavor:Google header."
        return 200, "TRUE" if self.preempted else "FALSE"

    def _azure(self, path: str, headers: Mapping[str, str]) -> Answer:
        if headers.get("Metadata") != "true":
            return 400, json.dumps({"error": "Bad request. Required metadata header not specified"})
        if path == AZURE_NAME:
            return 200, self.vm
        return 200, json.dumps({"DocumentIncarnation": 1, "Events": self.events})


def azure_event(**changes: object) -> dict[str, object]:
    """An event as Azure documents it."""
    event: dict[str, object] = {
        "EventId": "602d9444-d2cd-49c7-8624-8643e7171297",
        "EventType": "Preempt",
        "ResourceType": "VirtualMachine",
        "Resources": ["web-1"],
        "EventStatus": "Scheduled",
        "NotBefore": "Mon, 19 Sep 2016 18:29:47 GMT",
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }
    return {**event, **changes}


@contextmanager
def serve(metadata: Metadata) -> Iterator[Metadata]:
    """Serve it on a free port of loopback, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            status, text = metadata.answer(self.command, self.path, dict(self.headers.items()))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = _answer  # noqa: N815 - the names http.server calls

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        metadata.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield metadata
        finally:
            server.shutdown()
            thread.join()
