"""Two fake hosts and the workflows between them, run to their end without Celery."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from runtime import FakeRuntime, Mount, NetworkAttachment, RestartPolicy, RunSpec, VolumeSpec
from runtime.fake_state import FakeContainer, FakeImage
from tasks.context import Context
from tasks.errors import StepFailedError
from tasks.models import (
    Kind,
    Options,
    State,
    StepState,
    Workflow,
    new_workflow,
)
from tasks.records import Records
from tasks.step import run_step
from tasks.units import UNITS
from tasks.workflows import begin, decide

IMAGE = FakeImage(id="1" * 64, names=("localhost/web:1",))


@dataclass
class World:
    context: Context
    hosts: dict[str, FakeRuntime] = field(
        default_factory=lambda: {"a": FakeRuntime(), "b": FakeRuntime()}
    )

    def start_web(
        self, host: str = "a", *, networks: tuple[NetworkAttachment, ...] = ()
    ) -> FakeContainer:
        """A running container with a volume that has content, and a restart policy."""
        runtime = self.hosts[host]
        runtime.images[IMAGE.id] = IMAGE
        if not runtime.volume_exists("data"):
            runtime.create_volume(VolumeSpec(name="data"))
        spec = RunSpec(
            name="web",
            image=IMAGE.names[0],
            env={"TOKEN": "s3cret"},
            mounts=(Mount(type="volume", source="data", target="/data"),),
            networks=networks,
            restart=RestartPolicy(name="always"),
        )
        container = runtime.run(spec)
        runtime.start(container)
        runtime.volumes["data"].files["log"] = b"line"
        return runtime.containers_by_id[container]

    def on(self, host: str) -> FakeContainer | None:
        """The container that a host has of this name."""
        found = [c for c in self.hosts[host].containers_by_id.values() if c.spec.name == "web"]
        return found[0] if found else None

    def migrate(self, options: Options | None = None) -> Workflow:
        workflow = new_workflow(
            Kind.MIGRATE,
            "web",
            source="a",
            target="b",
            options=options,
            checkpoint_id="web/20260101T000000Z-000000",
        )
        return self.run(workflow)

    def run(self, workflow: Workflow, payload: bytes | None = None) -> Workflow:
        """Create, plan, and run every step until the workflow ends."""
        self.context.records.create(workflow, payload=payload)
        return self.finish(workflow)

    def finish(self, workflow: Workflow) -> Workflow:
        """Plan a workflow that is there, and run every step until it ends."""
        plan = begin(self.context, workflow.id)
        while plan is not None and plan.state is not State.ENDED:
            plan = self.run_plan(plan)
        self.context.records.settle(workflow.id)
        return self.context.records.get(workflow.id)

    def run_plan(self, plan: Workflow) -> Workflow | None:
        for index in range(len(plan.steps)):
            step = self.context.records.get(plan.id).steps[index]  # describe may have changed it
            if step.epoch != plan.epoch or step.state is not StepState.PENDING:
                continue
            records = Records(self.context.records._redis, host=step.host)
            context = replace(self.context, runtime=self.hosts[step.host], records=records)
            try:
                run_step(context, plan.id, index, plan.epoch, UNITS[step.unit])
            except StepFailedError:
                return decide(self.context, plan.id, plan.epoch)
        return self.context.records.get(plan.id)
