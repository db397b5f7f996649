"""New certificates for the servers of an installation, from its own authority."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tasks.errors import InvalidRequestError
from workers.authority import Authority
from workers.installation import require_installation

SERVERS = {
    "redis": ("redis/tls.crt", "redis/tls.key"),
    "minio": ("minio/certs/public.crt", "minio/certs/private.key"),
}


def renew_certificates(directory: Path, *, hub: str | None = None) -> list[Path]:
    """Write new certificates over those of Redis and MinIO; return their paths.

    They are for the names of the old ones; with ``hub``, for that name in the place of the first.
    Whom the authority's certificate was given to trusts them as before. Raises InvalidRequestError
    where there is no installation, or no writing.
    """
    made = directory.absolute() / "secrets"
    require_installation(made)
    try:
        authority = Authority(
            (made / "authority" / "ca.pem").read_text(), (made / "operator" / "ca.key").read_text()
        )
        return [
            _renew(authority, made / certificate, made / key, hub)
            for certificate, key in SERVERS.values()
        ]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidRequestError(f"{error.filename}: {reason}") from error


def _renew(authority: Authority, certificate: Path, key: Path, hub: str | None) -> Path:
    names = _names(certificate.read_text())
    if hub:
        names = [hub, *names[1:]]
    # written over, not replaced: owner and mode stay
    for path, content in zip((certificate, key), authority.issue(names), strict=True):
        path.write_text(content)
    return certificate


def _names(certificate: str) -> list[str]:
    """The names and addresses that a certificate is for."""
    found = x509.load_pem_x509_certificate(certificate.encode()).extensions
    return [
        str(name.value) for name in found.get_extension_for_class(x509.SubjectAlternativeName).value
    ]
