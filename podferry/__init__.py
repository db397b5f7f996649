"""Podferry moves running containers between Podman hosts without losing what they hold.

What a control plane imports: ``Client``, the records it returns, and the errors it raises.
"""

from podferry.checkpoints import Checkpoints
from podferry.client import Client
from runtime import BuildSpec, Finding, RunSpec, RuntimeEngineError, Severity
from storage import CheckpointManifest, Keep, Pin, PruneReport, RetentionPolicy, StorageError
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
    Policy,
    Preseed,
    State,
    Step,
    StepState,
    Unit,
    Workflow,
)
from tasks.schedules import Schedule
from workers.settings import Settings

__all__ = [
    "AmbiguousContainerError",
    "BrokerUnavailableError",
    "BuildSpec",
    "CheckpointManifest",
    "CheckpointNeededError",
    "Checkpoints",
    "Client",
    "Event",
    "EventType",
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
    "NoControlWorkerError",
    "NotFencedError",
    "OnDeadline",
    "Options",
    "Outcome",
    "Pin",
    "Policy",
    "Preseed",
    "PruneReport",
    "RetentionPolicy",
    "RunSpec",
    "RuntimeEngineError",
    "Schedule",
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
