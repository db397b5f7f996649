"""What the client changes about workflows: each is a change of a record, then a message."""

from __future__ import annotations

from tasks import control
from tasks.app import make_app, publish_errors
from tasks.models import Workflow
from tasks.records import Records


class Publisher:
    """Starts, cancels and resumes workflows. Every method may raise BrokerUnavailableError.

    A module of its own, imported at its first use: Celery takes longer to import than the
    commands that only look at records take to run.
    """

    def __init__(self, redis_url: str, records: Records) -> None:
        self._url = redis_url
        self._records = records
        self._app = make_app(redis_url)

    def submit(self, workflow: Workflow, payload: bytes | None = None) -> None:
        """Start a workflow. Raises WorkloadBusyError."""
        with publish_errors(self._url):
            control.submit(self._app, self._records, workflow, payload)

    def cancel(self, workflow_id: str) -> Workflow:
        """As Client.cancel."""
        with publish_errors(self._url):
            return control.cancel(self._app, self._records, workflow_id)

    def resume(self, workflow_id: str) -> Workflow:
        """As Client.resume."""
        with publish_errors(self._url):
            return control.resume(self._app, self._records, workflow_id)

    def close(self) -> None:
        """Close the connections."""
        self._app.close()
