"""The one place where the errors of the client libraries become ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from docker.errors import APIError, DockerException, create_api_error_from_http_exception
from requests import HTTPError, RequestException, Response
from urllib3.exceptions import HTTPError as TransportError

from runtime.errors import EngineError, EngineUnavailableError, RuntimeEngineError
from runtime.upload import Upload, UploadCutError


@contextmanager
def translating(
    socket: str,
    operation: str,
    on: Mapping[str, RuntimeEngineError] | None = None,
    upload: Upload | None = None,
) -> Iterator[None]:
    """Turn client library errors into ours, chained.

    ``on`` maps lower-case phrases of the engine's message to the error they mean here (status
    codes do not tell enough: Podman's 500 is nearly everything); any other refusal is an
    EngineError. A failed ``upload`` raises what its source raised.
    """
    try:
        yield
    except UploadCutError as cut:
        if upload is None or upload.error is None:
            raise
        raise upload.error from cut.__cause__
    except APIError as error:
        message = str(error.explanation or error)
        known = (ours for phrase, ours in (on or {}).items() if phrase in message.lower())
        raise next(known, EngineError(operation, message)) from error
    except (RequestException, TransportError) as error:
        raise EngineUnavailableError(socket, root_reason(error)) from error
    except DockerException as error:
        raise EngineError(operation, str(error)) from error


def checked(response: Response) -> Response:
    """Return ``response`` if it tells success; close it and raise docker's APIError if not.

    Libpod's error body (``cause``, ``message``, ``response``) has Docker's ``message`` too, so
    one error type serves both APIs.
    """
    try:
        response.raise_for_status()
    except HTTPError as error:
        with response:
            create_api_error_from_http_exception(error)
    return response


def root_reason(error: BaseException) -> str:
    """Tell what the client libraries' exceptions were wrapped around: "Connection refused"."""
    while isinstance(error, RequestException | TransportError | DockerException):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
