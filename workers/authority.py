"""An authority of an installation's own, for the certificates of its servers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

VALID = timedelta(days=3650)  # as long as the passwords, which come and go with them
BEFORE = timedelta(days=1)  # clocks differ


class Authority:
    """Makes certificates; ``certificate`` and ``key`` are its own, as PEM."""

    def __init__(self, certificate: str, key: str) -> None:
        loaded = load_pem_private_key(key.encode(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("not an authority's key")
        self.certificate, self.key, self._key = certificate, key, loaded
        self._name = x509.load_pem_x509_certificate(certificate.encode()).subject

    @classmethod
    def new(cls, name: str) -> Authority:
        """One that nobody knows yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = _builder(_common(name), _common(name), key)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_usage(), critical=True)
        return cls(_pem(own.sign(key, SHA256())), _pem_key(key))

    def issue(self, names: Iterable[str]) -> tuple[str, str]:
        """The certificate of a server that is reached by these names or addresses, and its key."""
        key, known = ec.generate_private_key(ec.SECP256R1()), list(names)
        builder = _builder(_common(known[0]), self._name, key)
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in known])
        limits = x509.BasicConstraints(ca=False, path_length=None)
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(limits, critical=True)
        # without it Python 3.13 trusts none (https://docs.python.org/3/library/ssl.html)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        return _pem(builder.sign(self._key, SHA256())), _pem_key(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + VALID)
        # which Python looks for from 3.13 on (ssl.VERIFY_X509_STRICT), in the authority's at least
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _common(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
