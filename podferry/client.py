"""The client: enqueue workflows, follow them, wait for their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from podferry.checkpoints import Checkpoints
from podferry.drains import Drains
from podferry.schedules import Schedules
from runtime import BuildSpec, Finding, RunSpec
from storage import (
    CheckpointManifest,
    CheckpointNotFoundError,
    GroupManifest,
    new_archive_prefix,
    new_checkpoint_id,
    workload_of,
)
from tasks import control
from tasks import schedules as stored
from tasks.again import asked_target, renewed, request_gone, require_retryable, seconds_asked
from tasks.broker import broker_errors, connect
from tasks.drains.records import Drains as DrainRecords
from tasks.errors import (
    AmbiguousContainerError,
    InvalidRequestError,
    NotFencedError,
    WaitTimeoutError,
    WorkflowNotFoundError,
)
from tasks.evictions import Meaning
from tasks.facts import findings_of
from tasks.fencing import fence
from tasks.healing import Healer, Healing, HealState
from tasks.hosts import HostStatus
from tasks.lines import Lines, LogLine
from tasks.locate import Locator, Place
from tasks.memory import holds_memory
from tasks.models import (
    Event,
    Fallback,
    GroupKind,
    Increment,
    Inventory,
    Kind,
    OnDeadline,
    Options,
    Preseed,
    State,
    WorkerInfo,
    Workflow,
    new_workflow,
    now,
)
from tasks.placement import Placement
from tasks.placement import place as choose_host
from tasks.placing import Placer
from tasks.policies import stop_workflow
from tasks.records import Records
from tasks.registry import Registry
from tasks.schedule import Schedule
from tasks.schedules import checkpoint_workflow
from tasks.stored import asked_json
from workers.secure import require_secure
from workers.settings import Settings, load_settings

if TYPE_CHECKING:
    from storage import ArchiveStore

OnEvent = Callable[[Event], None]
OnLook = Callable[[Workflow], None]
POLL_SECONDS = 0.5


class Client:
    """One installation, as a control plane or a person drives it.

    Every request returns at once with the workflow's record; ``wait`` gives its end. Every method
    may raise BrokerUnavailableError. Without ``settings`` the environment is asked.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        require_secure(self._settings)
        self._redis = connect(self._settings.redis_url)
        self._records = Records(self._redis, keep=self._settings.keep_records)
        self._registry = Registry(self._redis)
        self._locator = Locator(self._registry)
        with broker_errors(self._settings.redis_url):
            self._redis.ping()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    @cached_property
    def _archives(self) -> ArchiveStore:
        return self._settings.archives()

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints in the store, and what can be done with them."""
        return Checkpoints(self._archives, self._records, self._settings)

    @cached_property
    def drains(self) -> Drains:
        """Emptying hosts, and filling them again."""
        records = DrainRecords(self._redis, keep=self._settings.keep_records)
        return Drains(records, self._records, self._registry, self._locator)

    def ask_preflight(self, workflow: Workflow) -> tuple[Finding, ...]:
        """Submit a preflight and wait for what it finds. Raises WorkloadBusyError."""
        return findings_of(self.wait(self._submit(workflow).id))

    @cached_property
    def schedules(self) -> Schedules:
        """What is done at certain times, and what can be done with it."""
        return Schedules(stored.Schedules(self._redis), self._registry, self._locator)

    def hosts(self) -> list[HostStatus]:
        """Every host ever seen."""
        return self._registry.hosts()

    def workers(self) -> list[tuple[WorkerInfo, bool]]:
        """Every worker ever seen, and whether it lives."""
        return list(self._registry.workers().values())

    def inventories(self) -> list[Inventory]:
        """What each live host holds, by host."""
        return self._locator.fresh()

    def migrate(
        self,
        container: str,
        *,
        to: str | None = None,
        selector: Mapping[str, str] | None = None,
        source: str | None = None,
        fallback: Sequence[Fallback] = (),
        on_deadline: OnDeadline = OnDeadline.ABORT,
        preseed: Preseed = Preseed.AUTO,
        cold: bool = False,
        fresh: bool = False,
        deadline_seconds: float | None = None,
    ) -> Workflow:
        """Move a running container, compose project or pod to another host.

        Without ``to`` a control worker chooses the host, of those that have the ``selector``'s
        labels; while none fits the workload runs on and is asked for again, until the deadline.
        With ``cold`` it is stopped and started anew there, with its volumes and the files of its
        image that it changed, without its memory; so is what has the label
        ``podferry.policy=cold``. ``fresh`` leaves those files out of any cold start. ``preseed``
        sends most of the memory while the container still runs, by default where its host has been
        seen to send so slowly that this is worth a second dump. ``fallback`` is what is tried when
        the move fails, in this order; without it the container's label or the control worker's
        settings say. Raises
        UnknownContainerError, AmbiguousContainerError, UnknownHostError, HostOfflineError,
        NoControlWorkerError, WorkloadBusyError, InvalidRequestError.
        """
        if to is not None and selector:
            raise InvalidRequestError("a selector chooses among hosts; it goes without a target")
        place = self._place(container, to, source)
        placer = Placer(self._records, self._registry)
        workflow = new_workflow(
            Kind.MIGRATE,
            place.name,
            group=place.group,
            members=place.members,
            source=place.host,
            target=to,
            options=Options(
                fallback=tuple(fallback),
                on_deadline=on_deadline,
                preseed=Preseed.OFF if cold else self._preseed(preseed, place.host),
                cold=cold,
                fresh=fresh,
                anywhere=to is None,
                selector=dict(selector or {}),
            ),
            need=placer.need(place.host, place.containers, selector or {}),
            deadline_seconds=self._deadline(deadline_seconds),
            checkpoint_id=new_checkpoint_id(place.name, now()),
        )
        return self._submit(workflow)

    def place(self, container: str, *, selector: Mapping[str, str] | None = None) -> Placement:
        """Which host a move without a target would choose, and why not the others.

        Raises UnknownContainerError, AmbiguousContainerError, InvalidRequestError.
        """
        place = self._place(container, None, None)
        placer = Placer(self._records, self._registry)
        need = placer.need(place.host, place.containers, selector or {})
        return choose_host(need, placer.candidates())

    def cordon(self, host: str, reason: str = "") -> None:
        """Keep new workloads away from a host; what is there runs on. Raises UnknownHostError."""
        self._registry.cordon(host, reason)

    def uncordon(self, host: str) -> bool:
        """Let a host take workloads again; whether it was cordoned.

        Raises UnknownHostError; InvalidRequestError while a drain empties it.
        """
        live = next((drain for drain in self.drains.live() if drain.host == host), None)
        if live is not None and not live.back:
            raise InvalidRequestError(
                f"{live.id} is emptying host {host!r}; call it off: podferry drain-cancel {host}"
            )
        return self._registry.uncordon(host)

    def label(self, host: str, put: Mapping[str, str], remove: Collection[str] = ()) -> None:
        """Set and remove an operator's labels of a host. Raises UnknownHostError."""
        self._registry.label(host, put, remove)

    def preflight(
        self,
        container: str,
        *,
        to: str,
        source: str | None = None,
        canary: bool = False,
        cold: bool = False,
        deadline_seconds: float | None = None,
    ) -> Workflow:
        """Ask whether a migration would work, without touching anything; see ``findings``.

        ``cold`` asks for a move without memory, which needs less. ``canary`` proves CRIU on both
        hosts now instead of trusting what their workers last found.
        Raises what ``migrate`` raises.
        """
        place = self._place(container, to, source)
        workflow = new_workflow(
            Kind.PREFLIGHT,
            place.name,
            group=place.group,
            members=place.members,
            source=place.host,
            target=to,
            options=Options(canary=canary, cold=cold),
            deadline_seconds=self._deadline(deadline_seconds),
        )
        return self._submit(workflow)

    def findings(self, workflow_id: str) -> tuple[Finding, ...]:
        """What a preflight, alone or a migration's, found. Raises WorkflowNotFoundError."""
        return findings_of(self.status(workflow_id))

    def checkpoint(
        self,
        container: str,
        *,
        host: str | None = None,
        leave_stopped: bool = False,
        incremental: Increment = Increment.NONE,
        deadline_seconds: float | None = None,
    ) -> Workflow:
        """Checkpoint a container into the store; it goes on running unless ``leave_stopped``."""
        place = self._place(container, None, host)
        options = Options(leave_stopped=leave_stopped, incremental=incremental)
        return self._submit(checkpoint_workflow(place, options, self._deadline(deadline_seconds)))

    def checkpoint_every(
        self, container: str, every: timedelta | None, *, host: str | None = None
    ) -> Schedule | None:
        """Take an incremental checkpoint every so often, the first one after that time.

        It follows the workload to other hosts, unless there is a ``host``. None ends it. Raises
        UnknownContainerError, AmbiguousContainerError, InvalidRequestError for less than 10 s, when
        there is nothing to end, or when the schedule of that name does something else.
        """
        return self.schedules.checkpoint_every(container, every, host=host)

    def restore(
        self,
        checkpoint: str,
        *,
        to: str | None = None,
        replace: bool = False,
        ignore_static_ip: bool = False,
        deadline_seconds: float | None = None,
    ) -> Workflow:
        """Restore a checkpoint, by id or a workload's newest, on a host (default: where it ran).

        One without memory, as a cold move leaves it, is started cold.
        A container of that name must not run elsewhere; one on the target is discarded only with
        ``replace``. Raises CheckpointNotFoundError besides what ``migrate`` raises.
        """
        chosen = self._checkpoint(checkpoint)
        target = to or chosen.host
        if not target:
            raise InvalidRequestError(
                f"{chosen.id} was imported, so it ran on no host of ours; say where: --to HOST"
            )
        self._registry.require_host(target)
        members: tuple[str, ...] = ()
        if isinstance(chosen, GroupManifest):
            members = tuple(sorted(map(workload_of, chosen.members)))
        names = members or (chosen.workload,)
        self._locator.refuse_copies(names, target, replace=replace)
        workflow = new_workflow(
            Kind.RESTORE,
            chosen.workload,
            group=GroupKind(chosen.kind) if isinstance(chosen, GroupManifest) else None,
            members=members,
            target=target,
            options=Options(
                replace=replace,
                ignore_static_ip=ignore_static_ip,
                cold=not holds_memory(self._archives, chosen),
            ),
            deadline_seconds=self._deadline(deadline_seconds),
            checkpoint_id=chosen.id,
        )
        return self._submit(workflow)

    def heal(
        self,
        host: str,
        *,
        fenced: bool = False,
        dry_run: bool = False,
        fresh: bool = False,
        deadline_seconds: float | None = None,
    ) -> tuple[Healing, ...]:
        """Bring what ran on a dead host up elsewhere, from its newest checkpoints, else cold.

        What is started cold has the files of its image that it changed, unless ``fresh``.
        Returns what was begun for each workload, or why not; ``healed`` waits for the ends. The
        host must be off: the configured fence command says so, or with ``fenced`` the caller. With
        ``dry_run`` nothing is begun, and neither is needed. Raises UnknownHostError,
        HostAliveError, NotFencedError, FenceFailedError, NoControlWorkerError, InvalidRequestError
        when it is not known what ran there, StorageError.
        """
        healer = Healer(self._records, self._registry, self._archives)
        self._registry.require_silent(host)
        if not (dry_run or fenced or self._settings.fence_command):
            raise NotFencedError(host)
        plan = healer.plan(host)
        if dry_run or not any(item.state is HealState.PLANNED for item in plan):
            return plan
        self._registry.require_control()
        if not fenced:
            seconds = self._settings.fence_seconds
            fence(host, self._settings.fence_command, timeout_seconds=seconds)
        seconds_left = self._deadline(deadline_seconds)
        return healer.begin(host, plan, deadline_seconds=seconds_left, fresh=fresh)

    def healed(self, begun: Iterable[Healing]) -> tuple[Healing, ...]:
        """Wait for the ends of what ``heal`` has begun."""
        return tuple(i.ended(self.wait(i.workflow_id)) if i.workflow_id else i for i in begun)

    def release(self, host: str, workload: str) -> None:
        """Let a workload's old copy run again on its host, after it was brought up elsewhere.

        Its restart policy stays off. Raises InvalidRequestError when there is none.
        """
        found = (e for e in self._records.evictions.of(host) if e.meaning is Meaning.STOP)
        gone = [
            self._records.evictions.change(host, e, None) for e in found if e.workload == workload
        ]
        if not any(gone):
            raise InvalidRequestError(
                f"no old copy of {workload!r} is kept from running on {host!r}"
            )

    def stop(
        self, container: str, *, host: str | None = None, deadline_seconds: float | None = None
    ) -> Workflow:
        """Stop a container, compose project or pod where it is, its restart policy switched off.

        ``resume`` of this workflow starts it again, with its policy. Raises UnknownContainerError,
        AmbiguousContainerError, NoControlWorkerError, WorkloadBusyError.
        """
        place = self._place(container, None, host)
        return self._submit(stop_workflow(place, self._deadline(deadline_seconds)))

    def build(
        self,
        context: Path,
        spec: BuildSpec,
        *,
        host: str,
        deadline_seconds: float | None = None,
    ) -> Workflow:
        """Build an image on a host from a local context directory, which travels by the store.

        The spec's ``containerfile`` is relative to the context and may lie outside it.
        """
        from runtime import build_context, containerfile_name
        from tasks.units.build import BuildRequest

        self._registry.require_host(host)
        workflow = new_workflow(
            Kind.BUILD,
            f"image {spec.tag} on {host}",
            target=host,
            deadline_seconds=self._deadline(deadline_seconds),
        )
        self._registry.require_control()
        chunks = build_context(context, containerfile=spec.containerfile)
        name = containerfile_name(context, spec.containerfile)
        stored = self._archives.write(new_archive_prefix(f"contexts/{workflow.id}"), chunks)
        sent = spec.model_copy(update={"containerfile": name})
        request = BuildRequest(spec=sent, context=stored)
        try:
            return self._submit(workflow, payload=asked_json(request))
        except BaseException:
            self._archives.delete(stored)
            raise

    def up(self, spec: RunSpec, *, host: str, deadline_seconds: float | None = None) -> Workflow:
        """Start a new container on a host, with retry, until it is healthy."""
        self._registry.require_host(host)
        workflow = new_workflow(
            Kind.UP, spec.name, target=host, deadline_seconds=self._deadline(deadline_seconds)
        )
        return self._submit(workflow, payload=asked_json(spec))

    def cancel(self, workflow_id: str) -> Workflow:
        """Ask a workflow to stop and leave the workload where it was.

        Raises WorkflowNotFoundError; InvalidRequestError when it has ended or is past its commit
        point.
        """
        return control.cancel(self._records, workflow_id)

    def resume(self, workflow_id: str) -> Workflow:
        """Bring the workload of a failed migration back on its source, with its memory.

        What a workflow has stopped, as it was asked to, is started again.
        Raises WorkflowNotFoundError; InvalidRequestError when there is nothing to resume.
        """
        return control.resume(self._records, workflow_id, self._registry.online())

    def retry(self, workflow_id: str) -> Workflow:
        """Submit the request of a workflow that ended otherwise than asked once more.

        The new workflow has an id and a checkpoint of its own; its source is where the workload is
        now, and its deadline as far away as the old one's was. Raises WorkflowNotFoundError;
        InvalidRequestError, with what to do instead, when it has not ended, ended as asked, keeps
        the memory on its source, or when its request is not known any more (``up`` and ``build``:
        an hour after the end); besides what the first request raises.
        """
        old = self.status(workflow_id)
        require_retryable(old)
        match old.kind:
            case Kind.RESTORE:
                return self.restore(
                    old.checkpoint_id,
                    to=old.target,
                    replace=old.options.replace,
                    ignore_static_ip=old.options.ignore_static_ip,
                    deadline_seconds=seconds_asked(old),
                )
            case Kind.UP | Kind.BUILD:
                return self._make_again(old)
            case Kind.MIGRATE | Kind.PREFLIGHT:
                return self._submit(renewed(old, self._place_again(old, asked_target(old) or None)))
            case Kind.CHECKPOINT | Kind.STOP:
                return self._submit(renewed(old, self._place_again(old)))

    def status(self, workflow_id: str) -> Workflow:
        """One workflow's record. Raises WorkflowNotFoundError."""
        return self._records.get(workflow_id)

    def newest(self, which: str) -> Workflow:
        """A workflow by its id, or the newest of a workload. Raises WorkflowNotFoundError."""
        if self._records.known(which):
            return self.status(which)
        for found in self.recent(1, workload=which):
            return found
        raise WorkflowNotFoundError(which)

    def history(self, workflow_id: str) -> list[Event]:
        """A workflow's log so far, oldest first. Raises WorkflowNotFoundError."""
        self.status(workflow_id)
        return [event for _, event in self._records.events(workflow_id, wait_seconds=0)]

    def logs(self, workflow_id: str, *, follow: bool = False) -> Iterator[LogLine]:
        """What workers logged for a workflow: the lines so far by time, or all till its end.

        Of a workflow the newest two thousand are kept. Raises WorkflowNotFoundError.
        """
        lines = Lines(self._redis, keep=self._settings.keep_records)
        self.status(workflow_id)
        if not follow:
            return iter(lines.sorted(workflow_id))
        return lines.follow(workflow_id, lambda: self.status(workflow_id).state is State.ENDED)

    def recent(
        self,
        limit: int = 20,
        *,
        workload: str | None = None,
        host: str | None = None,
        state: State | None = None,
    ) -> list[Workflow]:
        """The newest workflows, newest first: all, or those of a workload, a host, a state.

        A group's workflows are its containers' too; a host's are those that name it as source or
        target, or did so in one of their plans.
        """
        return self._records.recent(limit, workload=workload, host=host, state=state)

    def events(
        self,
        workflow_id: str,
        *,
        timeout_seconds: float | None = None,
        on_look: OnLook | None = None,
    ) -> Iterator[Event]:
        """Follow a workflow's log from its beginning to its end. Raises WaitTimeoutError.

        ``on_look`` is given the record, again and again, each time after the events till then.
        """
        limit = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        position = "0"
        while True:
            record = self.status(workflow_id)
            ended = record.state is State.ENDED
            batch = self._records.events(
                workflow_id, after=position, wait_seconds=0 if ended else POLL_SECONDS
            )
            for at, event in batch:
                position = at
                yield event
            if on_look is not None:
                on_look(record)
            if ended:
                return
            if limit is not None and time.monotonic() > limit:
                raise WaitTimeoutError(workflow_id)

    def wait(
        self,
        workflow_id: str,
        *,
        timeout_seconds: float | None = None,
        on_event: OnEvent | None = None,
        on_look: OnLook | None = None,
    ) -> Workflow:
        """Wait for a workflow's end and return its record. Raises WaitTimeoutError."""
        for event in self.events(workflow_id, timeout_seconds=timeout_seconds, on_look=on_look):
            if on_event is not None:
                on_event(event)
        return self.status(workflow_id)

    def _place(self, workload: str, to: str | None, source: str | None) -> Place:
        """Where a workload is, and that it can go to another host, if there is one."""
        if to is not None:
            self._registry.require_host(to)
        if source is not None:
            self._registry.require_host(source)
        place = self._locator.locate(workload, source)
        if place.host == to:
            raise InvalidRequestError(f"{place.name!r} is on host {to!r} already")
        return place

    def _place_again(self, old: Workflow, to: str | None = None) -> Place:
        """Where a workload is now; of several places, the one that it was asked for before."""
        try:
            return self._place(old.workload, to, None)
        except AmbiguousContainerError:
            return self._place(old.workload, to, old.source)

    def _make_again(self, old: Workflow) -> Workflow:
        """The request of an ``up`` or ``build``, from what came with it."""
        self._registry.require_host(old.target or "")
        try:
            payload = self._records.payload(old.id)
        except WorkflowNotFoundError:
            raise request_gone(old) from None
        return self._submit(renewed(old, None), payload)

    def _preseed(self, wanted: Preseed, source: str) -> Preseed:
        """What to ask for: no look at the source's memory while its link is not known."""
        unknown = wanted is Preseed.AUTO and self._registry.rate(source) is None
        return Preseed.OFF if unknown else wanted

    def _checkpoint(self, reference: str) -> CheckpointManifest | GroupManifest:
        """A container's checkpoint, else a group's, by its id or a name for the newest."""
        archives = self._archives
        by_id = "/" in reference
        try:
            return archives.manifest(reference) if by_id else archives.latest(reference)
        except CheckpointNotFoundError:
            with suppress(CheckpointNotFoundError):
                return archives.group(reference) if by_id else archives.latest_group(reference)
            raise

    def _submit(self, workflow: Workflow, payload: bytes | None = None) -> Workflow:
        self._registry.require_control()
        self._records.create(workflow, payload=payload)
        return workflow

    def _deadline(self, seconds: float | None) -> float:
        return seconds if seconds is not None else self._settings.deadline_seconds
