"""Podferry moves running containers between Podman hosts without losing what they hold.

What a control plane imports: ``Client``, the records it returns, and the errors it raises.
"""

from podferry.checkpoints import Checkpoints
from podferry.client import Client
from podferry.schedules import Schedules
from runtime import BuildSpec, Finding, RunSpec, RuntimeEngineError, Severity
from storage import CheckpointManifest, Keep, Pin, PruneReport, RetentionPolicy, StorageError
from tasks.actions import CheckpointAction, Cron, DrainAction, Every, RetentionAction
from tasks.errors import (
    AmbiguousContainerError,
    BrokerUnavailableError,
    CheckpointNeededError,
    FenceFailedError,
    HostAliveError,
    HostOfflineError,
    InvalidRequestError,
    NoControlWorkerError,
    NotFencedError,
    ScheduleNotFoundError,
    TasksError,
    UnknownContainerError,
    UnknownHostError,
    WaitTimeoutError,
    WorkflowNotFoundError,
    WorkloadBusyError,
)
from tasks.healing import Healing, HealState
from tasks.models import (
    Event,
    EventType,
    Fallback,
    HostStatus,
    Increment,
    Kind,
    OnDeadline,
    Options,
    Outcome,
    Preseed,
    State,
    Step,
    StepState,
    Unit,
    Workflow,
)
from tasks.schedule import Missed, Run, RunState, Schedule
from workers.settings import Settings

__all__ = [
    "AmbiguousContainerError",
    "BrokerUnavailableError",
    "BuildSpec",
    "CheckpointAction",
    "CheckpointManifest",
    "CheckpointNeededError",
    "Checkpoints",
    "Client",
    "Cron",
    "DrainAction",
    "Event",
    "EventType",
    "Every",
    "Fallback",
    "FenceFailedError",
    "Finding",
    "HealState",
    "Healing",
    "HostAliveError",
    "HostOfflineError",
    "HostStatus",
    "Increment",
    "InvalidRequestError",
    "Keep",
    "Kind",
    "Missed",
    "NoControlWorkerError",
    "NotFencedError",
    "OnDeadline",
    "Options",
    "Outcome",
    "Pin",
    "Preseed",
    "PruneReport",
    "RetentionAction",
    "RetentionPolicy",
    "Run",
    "RunSpec",
    "RunState",
    "RuntimeEngineError",
    "Schedule",
    "ScheduleNotFoundError",
    "Schedules",
    "Settings",
    "Severity",
    "State",
    "Step",
    "StepState",
    "StorageError",
    "TasksError",
    "Unit",
    "UnknownContainerError",
    "UnknownHostError",
    "WaitTimeoutError",
    "Workflow",
    "WorkflowNotFoundError",
    "WorkloadBusyError",
]
