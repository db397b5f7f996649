"""The plain ways to copy a file to the store and back that Podferry's own is compared with.

The store is the one that the environment names, as Podferry's settings spell it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3

from tests.lab import Lab
from tests.services import cached_program

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = ("access_key", "secret_key")
ALIAS = "podferry"  # how mc calls the store


class Copier(Protocol):
    """Copies a file to the store under a key, and back."""

    def put(self, file: Path, key: str) -> None: ...

    def get(self, key: str, file: Path) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Store:
    """An S3 bucket: ``endpoint`` is the server's URL."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    @classmethod
    def named(cls) -> Store:
        """The one of the environment."""
        url = os.environ["PODFERRY_STORE_URL"].removeprefix("s3+")
        endpoint, _, bucket = url.rpartition("/")
        return cls(
            endpoint=endpoint,
            bucket=bucket,
            access_key=os.environ["PODFERRY_STORE_ACCESS_KEY"],
            secret_key=os.environ["PODFERRY_STORE_SECRET_KEY"],
        )

    def client(self) -> S3Client:
        """boto3's own, with its defaults."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object below a prefix, by its key."""
        pages = self.client().get_paginator("list_objects_v2")
        return {
            entry["Key"]: entry["Size"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
            for entry in page.get("Contents", [])
        }

    def delete(self, *keys: str) -> None:
        """Delete objects."""
        client = self.client()
        for key in keys:
            client.delete_object(Bucket=self.bucket, Key=key)


class Sdk:
    """boto3's upload_fileobj and download_fileobj, with their defaults."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _client(self) -> S3Client:
        return self._store.client()

    def put(self, file: Path, key: str) -> None:
        """See Copier."""
        with file.open("rb") as source:
            self._client.upload_fileobj(source, self._store.bucket, key)

    def get(self, key: str, file: Path) -> None:
        """See Copier."""
        with file.open("wb") as target:
            self._client.download_fileobj(self._store.bucket, key, target)


class Mc:
    """MinIO's command line, ``mc cp``, with its defaults, where ``mc_environment`` is set."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, file: Path, key: str) -> None:
        """See Copier."""
        self._run(mc_put(self._store, file, key))

    def get(self, key: str, file: Path) -> None:
        """See Copier."""
        self._run(mc_get(self._store, key, file))

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def store_of(lab: Lab) -> Store:
    """The one of a lab, which only its nodes can reach."""
    minio = lab.state["hub"]["minio"]
    return Store(**{name: minio[name] for name in ("endpoint", "bucket", *KEYS)})


def mc_put(store: Store, file: Path, key: str) -> list[str]:
    """The command line that copies a file to the store."""
    return [cached_program("mc"), "cp", "--quiet", str(file), f"{ALIAS}/{store.bucket}/{key}"]


def mc_get(store: Store, key: str, file: Path) -> list[str]:
    """The command line that copies it back."""
    return [cached_program("mc"), "cp", "--quiet", f"{ALIAS}/{store.bucket}/{key}", str(file)]


def mc_environment(store: Store, config: Path) -> dict[str, str]:
    """What mc needs: no command line shows the keys, and nobody's own settings are touched."""
    scheme, _, host = store.endpoint.partition("://")
    return {
        f"MC_HOST_{ALIAS}": f"{scheme}://{store.access_key}:{store.secret_key}@{host}",
        "MC_CONFIG_DIR": str(config),
    }
