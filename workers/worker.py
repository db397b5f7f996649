"""Run a worker: a host's, the control side's, or both in one process."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutdown

from runtime import CheckpointRuntime, EngineUnavailableError, PodmanRuntime
from tasks.app import make_app
from tasks.broker import broker_errors, connect
from tasks.context import Context
from tasks.drains.records import Drains
from tasks.errors import InvalidRequestError
from tasks.evicting import Evictor
from tasks.lines import Lines
from tasks.models import WorkerInfo
from tasks.queues import CONTROL_QUEUE, declare, host_queue
from tasks.records import Records
from tasks.registry import Registry, host_worker
from tasks.signing import Ledger, Signer, Verifier, read_public_keys
from workers.allocator import give_large_blocks_back
from workers.canary import canary_watch
from workers.healing import heal_timer
from workers.heartbeat import Heartbeat
from workers.logs import Hide, Keep, configure_logging, secrets_of
from workers.metrics.gauges import Fleet
from workers.metrics.serving import Endpoint
from workers.metrics.stored import store_watch
from workers.notices.sources import open_sources
from workers.notices.watcher import notice_watch
from workers.reconciling import bell, reconcile_timer
from workers.repeating import Repeating
from workers.retention import retention_timer
from workers.schedules import schedule_timer
from workers.secure import require_secure, require_signing
from workers.settings import Settings, dev_state_dir

if TYPE_CHECKING:
    from redis import Redis

Job = Heartbeat | Repeating
REMEMBER_SECONDS = 1.0
Engine = Callable[[str], CheckpointRuntime]
log = structlog.get_logger()


def run_worker(settings: Settings, *, control: bool, engine: Engine = PodmanRuntime) -> int:
    """Check Redis, the store and the socket, then work until a signal; return the exit code.

    ``engine`` makes what talks to the engine on a socket, once for each part of the worker.
    Raises BrokerUnavailableError, StorageError, InvalidRequestError before any work. A socket that
    does not answer is no reason to stop: the worker says so in its inventory and goes on.
    """
    if settings.host is None and not control:
        raise InvalidRequestError("a worker needs --host NAME, --control, or both")
    if control and settings.heal_after is not None and not settings.fence_command:
        raise InvalidRequestError("PODFERRY_HEAL_AFTER needs PODFERRY_FENCE_COMMAND")
    require_secure(settings)
    require_signing(settings, control=control)
    log_to_redis(settings)
    give_large_blocks_back()
    redis = connect(settings.redis_url)
    with broker_errors(settings.redis_url):
        redis.ping()
    make_keys(settings)
    signer, verifier = _signing(settings, control)
    archives = settings.archives()
    archives.check()
    context = Context(
        records=_records(redis, settings, control),
        archives=archives,
        runtime=engine(settings.socket) if settings.host else None,
        registry=Registry(redis),
        signer=signer,
        verifier=verifier,
        ledger=_ledger(settings) if verifier else None,
        lease_seconds=settings.lease_seconds,
        locks=dev_state_dir() / "locks" / settings.host if settings.host else None,
        fallback=settings.fallback,
        full_every=settings.full_every,
        retention=settings.retention(),
        orphan_grace=settings.retention_grace,
    )
    own = host_queue(settings.host) if settings.host else CONTROL_QUEUE
    app = make_app(settings.redis_url, context, own)
    evict_first(settings, engine, control=control)
    return _serve(app, settings, control, _background(app, context, settings, control, engine))


def log_to_redis(settings: Settings) -> None:
    """Have this process log: to standard error, and to Redis what concerns a workflow."""
    lines = Lines(connect(settings.redis_url, retries=0), keep=settings.keep_records)
    keep = Keep(lines, settings.host or "")
    configure_logging(settings.log_level, Hide(secrets_of(settings)), keep)


def _signing(settings: Settings, control: bool) -> tuple[Signer | None, Verifier | None]:
    """What a worker signs with, and what it checks with; None where no key is configured."""
    signer = None
    if control and settings.signing_key_file is not None:
        signer = Signer(settings.signing_key_file)
    keys = read_public_keys(settings.verify_key_file) if settings.verify_key_file else ()
    keys += (signer.public,) if signer else ()
    return signer, Verifier(keys, _queues(settings, control)) if keys else None


def _ledger(settings: Settings) -> Ledger | None:
    return Ledger(dev_state_dir() / "begun" / settings.host) if settings.host else None


def _queues(settings: Settings, control: bool) -> list[str]:
    """What a worker takes its tasks from."""
    queues = [host_queue(settings.host)] if settings.host else []
    return [*queues, CONTROL_QUEUE] if control else queues


def _records(redis: Redis, settings: Settings, control: bool) -> Records:
    """The workflows: a host's worker states what it does, one that is control's besides writes."""
    host = None if control else settings.host
    return Records(redis, keep=settings.keep_records, host=host)


def evict_first(settings: Settings, engine: Engine, *, control: bool) -> None:
    """Before the worker takes work: what must not stay or run here goes, if the engine answers."""
    if settings.host is not None:
        try:
            _evictor(settings, settings.host, engine, control).look()
        except EngineUnavailableError as error:
            log.warning("nothing is evicted before the engine answers", reason=str(error))


def _evictor(settings: Settings, host: str, engine: Engine, control: bool) -> Evictor:
    records = _records(connect(settings.redis_url), settings, control)
    return Evictor(records, host, engine(settings.socket))


def make_keys(settings: Settings) -> None:
    """At the first start, make the key file that nobody configured, and say where it is."""
    keys = settings.key_ring()
    if settings.encryption == "on" and settings.key_file is None and keys.create():
        log.warning(
            "a key file was made: without it no archive can be read; keep a copy, and give every "
            "host the same",
            path=str(keys.path),
        )


def _background(
    app: Celery, context: Context, settings: Settings, control: bool, engine: Engine
) -> list[Job]:
    """What the worker does beside its units, with connections of its own."""
    registry = Registry(connect(settings.redis_url))
    found: list[Job] = [_heartbeat(registry, settings, control, engine)]
    if control:
        redis = connect(settings.redis_url)
        own = _control(context, redis, settings)
        found.append(reconcile_timer(app, own, Registry(redis), redis))
        found.append(bell(app, _control(context, connect(settings.redis_url), settings)))
        seconds = settings.deadline_seconds
        found.append(schedule_timer(app, connect(settings.redis_url), deadline_seconds=seconds))
        if settings.heal_after is not None:
            found.append(heal_timer(connect(settings.redis_url), settings, settings.heal_after))
        if settings.retention_every is not None:
            every, signer = settings.retention_every, context.signer
            found.append(retention_timer(app, redis, every=every, signer=signer))
    if settings.host is not None:
        watch = canary_watch(
            registry,
            settings.host,
            engine(settings.socket),
            every_seconds=settings.canary_seconds,
        )
        found.append(watch)
        found += _notices(settings, settings.host)
    return found + _metrics(settings, control)


def _metrics(settings: Settings, control: bool) -> list[Job]:
    """The endpoint, where one is asked for; with what it tells of the store."""
    if settings.metrics is None:
        return []
    if not control:
        return [Endpoint(settings.metrics, None)]
    redis = connect(settings.redis_url)
    fleet = Fleet(
        redis=redis, records=Records(redis), drains=Drains(redis), registry=Registry(redis)
    )
    return [Endpoint(settings.metrics, fleet), store_watch(redis, settings.archives())]


def _notices(settings: Settings, host: str) -> list[Job]:
    """The watch for reclaim notices, where there is something to look at."""
    if not settings.notices:
        return []
    redis = connect(settings.redis_url)
    drains = Drains(redis, keep=settings.keep_records)
    return [notice_watch(redis, host, open_sources(settings.notices, settings.notices_url), drains)]


def _control(context: Context, redis: Redis, settings: Settings) -> Context:
    """The parts with a connection of their own, for what a control worker does beside its tasks."""
    keep = settings.keep_records
    return replace(
        context,
        records=Records(redis, keep=keep),
        drains=Drains(redis, keep=keep),
        # hosts tell how they are every few seconds: what was read is good enough for one of them
        registry=Registry(redis, remember_seconds=REMEMBER_SECONDS),
    )


def _heartbeat(registry: Registry, settings: Settings, control: bool, engine: Engine) -> Heartbeat:
    info = _info(settings, control)
    if settings.host is None:
        return Heartbeat(registry, info, None)
    evict = _evictor(settings, settings.host, engine, control).look
    return Heartbeat(registry, info, engine(settings.socket), evict=evict, labels=settings.labels)


def _serve(app: Celery, settings: Settings, control: bool, background: list[Job]) -> int:
    # Podman's socket belongs to root, so its worker does; with JSON only, a message is no code.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery")
    setup_logging.connect(_keep_logging, weak=False)
    for job in background:
        worker_ready.connect(_later(job.start), weak=False)
        worker_shutdown.connect(_later(job.stop), weak=False)
    declare(app, [settings.host] if settings.host else [])
    worker = app.Worker(
        queues=_queues(settings, control),
        concurrency=settings.concurrency,
        pool="prefork",
        hostname=f"{settings.host or 'control'}@{socket.gethostname()}-{os.getpid()}",
        without_mingle=True,
        without_gossip=True,
        loglevel=settings.log_level,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _later(act: Callable[[], None]) -> Callable[..., None]:
    """A receiver of a signal whose arguments do not matter."""
    return lambda **_: act()


def _keep_logging(**_: object) -> None:
    """Celery leaves logging alone when something answers this signal."""


def _info(settings: Settings, control: bool) -> WorkerInfo:
    node = f"{socket.gethostname()}-{os.getpid()}"
    return WorkerInfo(
        # another control worker is another one
        id=host_worker(settings.host) if settings.host else f"control.{node}",
        host=settings.host,
        control=control,
        version=version("podferry"),
        pid=os.getpid(),
    )
