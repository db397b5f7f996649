"""Settings, read from the environment (``PODFERRY_…``); the CLI's flags come before them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from storage import (
    CHAIN_LIMIT,
    ORPHAN_GRACE,
    UNENCRYPTED,
    ArchiveStore,
    Compression,
    Keep,
    KeyFile,
    RetentionPolicy,
    limit_bandwidth,
    open_objects,
    parse_bytes,
    parse_duration,
)
from storage.s3_options import Addressing, ServerEncryption
from tasks.broker import with_ca
from tasks.errors import InvalidRequestError
from tasks.hosts import parse_labels
from tasks.ladder import parse_ladder
from tasks.models import AT_ONCE, LADDER, Fallback, HostName
from tasks.records import KEEP_RECORDS
from workers.metrics.address import Address, parse_address
from workers.notices.metadata import METADATA_URL, MetadataService
from workers.notices.sources import parse_names
from workers.rates import parse_rate

DEFAULT_SOCKET = "/run/podman/podman.sock"
SECRETS_DIR = "PODFERRY_SECRETS_DIR"
"""Names a directory of settings in files: the name is the variable's, in lower case."""
UNSET = ""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
Environment = Literal["production", "dev"]


def _read(parse: Callable[[str], object]) -> BeforeValidator:
    """Read what people write; a variable that is there but empty is as good as none."""
    return BeforeValidator(lambda v: (parse(v) if v else None) if isinstance(v, str) else v)


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise ValueError(f"{text!r} is none of {', '.join(LEVELS)}")
    return text.upper()


def _rungs(value: object) -> object:
    return parse_ladder(value) if isinstance(value, str) else value


def _labels(value: object) -> object:
    return parse_labels(value) if isinstance(value, str) else value


def _notices(value: object) -> object:
    return parse_names(value) if isinstance(value, str) else value


def _metadata_url(value: str) -> str:
    MetadataService(value)
    return value


def dev_state_dir() -> Path:
    """Where ``podferry dev`` keeps its broker, its store, and how to reach them."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "podferry"


class Settings(BaseSettings):
    """One installation as one process sees it."""

    model_config = SettingsConfigDict(
        # an empty variable, as a compose file makes one of a missing value, is no value
        env_prefix="PODFERRY_",
        env_ignore_empty=True,
        extra="forbid",
    )

    redis_url: str = Field(
        default=UNSET,
        repr=False,  # it may carry a password
        description="Broker and records: redis://[:PASSWORD@]HOST:PORT/0, rediss://…, unix:///PATH",
    )
    redis_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that the certificate at rediss:// may come from",
    )
    environment: Environment = Field(
        default="production",
        description="production: settings that let others in are refused; dev: they are not",
    )
    store_url: str = Field(
        default=UNSET,
        description="Archives: file:///DIR, s3://BUCKET[/PREFIX], s3+http(s)://HOST:PORT/BUCKET",
    )
    store_access_key: SecretStr | None = Field(default=None, description="S3 access key")
    store_secret_key: SecretStr | None = Field(default=None, description="S3 secret key")
    store_session_token: SecretStr | None = Field(
        default=None, description="S3 session token, of temporary keys"
    )
    store_region: str | None = Field(default=None, description="S3 region")
    store_addressing: Addressing = Field(
        default="auto",
        description="Bucket in the path or before the host name: path, virtual or auto",
    )
    store_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that S3's certificate may come from"
    )
    store_sse: ServerEncryption | None = Field(
        default=None, description="Encryption by the S3 server: AES256 (SSE-S3) or aws:kms"
    )
    store_kms_key: str | None = Field(
        default=None, description="Key for store_sse aws:kms; else the bucket's own"
    )
    store_storage_class: str | None = Field(
        default=None, description="S3 storage class of what is written, such as STANDARD_IA"
    )
    bwlimit: Annotated[int | None, BeforeValidator(parse_rate)] = Field(
        default=None,
        description="Bytes a second to and from the store, all transfers of a worker together: "
        "NUMBER[K|M|G], powers of 1024, or off",
    )
    key_file: Path | None = Field(
        default=None, description="The keys that archives are sealed with; the same on every host"
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="Private key in PEM that control workers sign what is to be run with",
    )
    verify_key_file: Path | None = Field(
        default=None,
        description="Public keys in PEM that hosts check with by whom a message was signed",
    )
    encryption: Literal["on", "off"] = Field(
        default="on", description="off: whoever reads the store reads the containers' memory"
    )
    compression: Compression = Field(
        default="auto",
        description="none, fast, normal, or auto: what the data and the link are worth",
    )
    host: HostName | None = Field(default=None, description="Name of this worker's host")
    socket: str = Field(default=DEFAULT_SOCKET, description="Path of this host's Podman socket")
    concurrency: int = Field(default=AT_ONCE, ge=1, le=32, description="Units at once on a worker")
    lease_seconds: float = Field(
        default=30.0, ge=2, description="How long a step stays taken after its worker's last sign"
    )
    canary_seconds: float = Field(
        default=3600.0, ge=60, description="Time between two proofs that CRIU works on a host"
    )
    deadline_seconds: float = Field(default=3600.0, gt=0, description="Deadline of a workflow")
    fallback: Annotated[tuple[Fallback, ...], NoDecode, BeforeValidator(_rungs)] = Field(
        default=LADDER,
        description="What a failed move tries where neither request nor label says: "
        "elsewhere,cold,resume or a part of it",
    )
    keep_records: Annotated[timedelta, _read(parse_duration)] = Field(
        default=KEEP_RECORDS,
        ge=timedelta(hours=1),
        description="How long the record of a workflow is kept after its end, such as 30d",
    )
    retention_keep_last: Annotated[int | None, _read(int)] = Field(
        default=None, ge=1, description="Checkpoints that are kept of each workload"
    )
    retention_keep_within: Annotated[timedelta | None, _read(parse_duration)] = Field(
        default=None, description="Age up to which checkpoints are kept, such as 7d"
    )
    retention_max_bytes: Annotated[int | None, _read(parse_bytes)] = Field(
        default=None, ge=0, description="What all checkpoints together may take, such as 50g"
    )
    retention_every: Annotated[timedelta | None, _read(parse_duration)] = Field(
        default=None, description="How often the control worker prunes the store, such as 1h"
    )
    retention_grace: Annotated[timedelta, _read(parse_duration)] = Field(
        default=ORPHAN_GRACE,
        description="Age from which orphans are removed; longer than any upload takes",
    )
    fence_command: str = Field(
        default=UNSET,
        description="Switches a machine off that is named as its last argument; exit code 0: it is",
    )
    fence_seconds: float = Field(
        default=60.0, gt=0, description="How long the fence command may take"
    )
    heal_after: Annotated[timedelta | None, _read(parse_duration)] = Field(
        default=None,
        ge=timedelta(seconds=30),
        description="When the control workers heal a host whose heartbeat stopped, such as 5m",
    )
    full_every: int = Field(
        default=8,
        ge=1,
        le=CHAIN_LIMIT + 1,
        description="Of incremental checkpoints every so many is a full one",
    )
    spool: Path | None = Field(
        default=None,
        description="Directory for what a move fetches ahead, as much as a container's memory and "
        "files; else below the state directory",
    )
    labels: Annotated[Mapping[str, str], NoDecode, BeforeValidator(_labels)] = Field(
        default_factory=dict,
        description="What placement may ask of this worker's host: zone=a,disk=ssd",
    )
    notices: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_notices)] = Field(
        default=(),
        description="Where a worker looks for reclaim notices of its host: aws, gcp, azure, "
        "file:/PATH, command:/PATH, separated by commas",
    )
    notices_url: Annotated[str, AfterValidator(_metadata_url)] = Field(
        default=METADATA_URL, description="The cloud's metadata service, another one for tests"
    )
    metrics: Annotated[Address | None, NoDecode, _read(parse_address)] = Field(
        default=None,
        description="Where a worker serves metrics, to whoever asks: PORT on loopback, or IP:PORT",
    )
    log_level: Annotated[str, AfterValidator(_level)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then files: pydantic-settings' hook for where settings come from."""
        files = SecretsSettingsSource(settings_cls, os.environ.get(SECRETS_DIR) or None)
        return init_settings, env_settings, files

    @model_validator(mode="after")
    def _trust(self) -> Settings:
        if self.redis_ca_file is not None and self.redis_url.startswith("rediss://"):
            self.redis_url = with_ca(self.redis_url, self.redis_ca_file)
        return self

    def retention(self) -> RetentionPolicy:
        """What is kept where no label says otherwise."""
        return RetentionPolicy(
            keep=Keep(last=self.retention_keep_last, within=self.retention_keep_within),
            max_total_bytes=self.retention_max_bytes,
        )

    def archives(self) -> ArchiveStore:
        """The archive store. Raises StoreConfigError."""
        objects = open_objects(
            self.store_url,
            access_key=_plain(self.store_access_key),
            secret_key=_plain(self.store_secret_key),
            session_token=_plain(self.store_session_token),
            region=self.store_region,
            addressing=self.store_addressing,
            ca_file=self.store_ca_file,
            sse=self.store_sse,
            kms_key=self.store_kms_key,
            storage_class=self.store_storage_class,
        )
        return ArchiveStore(
            limit_bandwidth(objects, self.bwlimit) if self.bwlimit else objects,
            keys=UNENCRYPTED if self.encryption == "off" else self.key_ring(),
            compression=self.compression,
            spool=self.spool or dev_state_dir() / "spool",
        )

    def key_ring(self) -> KeyFile:
        """The key file that is configured, else one in the state directory."""
        return KeyFile(self.key_file or dev_state_dir() / "keys.json")


def load_settings(**flags: object) -> Settings:
    """Settings from flags, the environment, files, or a running ``podferry dev``, in this order.

    A flag that is None was not given. Raises InvalidRequestError for files that cannot be read.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    settings = Settings.model_validate({**_from_outside().model_dump(), **given})
    missing = {name for name in ("redis_url", "store_url") if getattr(settings, name) == UNSET}
    if not missing:
        return settings
    dev = {name: value for name, value in _dev_connection().items() if name in missing}
    return settings.model_copy(update=dev)


def _from_outside() -> Settings:
    """The environment's settings, and those of the files in ``PODFERRY_SECRETS_DIR``."""
    directory = os.environ.get(SECRETS_DIR) or None
    if directory and not Path(directory).is_dir():
        raise InvalidRequestError(f"{SECRETS_DIR}: there is no directory {directory}")
    try:
        return Settings()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise InvalidRequestError(f"{SECRETS_DIR}: {error.filename}: {reason}") from error


def save_dev_connection(redis_url: str, store_url: str) -> None:
    """Let other terminals of this user find a running ``podferry dev``."""
    connection = {"redis_url": redis_url, "store_url": store_url}
    (dev_state_dir() / "dev.json").write_text(json.dumps(connection))


def forget_dev_connection() -> None:
    """``podferry dev`` has stopped."""
    (dev_state_dir() / "dev.json").unlink(missing_ok=True)


def _dev_connection() -> dict[str, str]:
    try:
        connection: dict[str, str] = json.loads((dev_state_dir() / "dev.json").read_text())
    except (OSError, ValueError):
        return {}
    return connection


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
