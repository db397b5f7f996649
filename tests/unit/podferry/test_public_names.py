from __future__ import annotations

import podferry


def test_public_names_are_frozen() -> None:
    assert podferry.__all__ == sorted(podferry.__all__)
    assert set(podferry.__all__) == {
        *("Client", "Settings", "Workflow", "Step", "Options", "Event", "HostStatus"),
        *(
            "Kind",
            "OnDeadline",
            "Unit",
            "State",
            "StepState",
            "Outcome",
            "Pin",
            "PruneReport",
            "RetentionPolicy",
            "Fallback",
            "Policy",
            "EventType",
        ),
        *(
            "RunSpec",
            "BuildSpec",
            "CheckpointManifest",
            "CheckpointNeededError",
            "Checkpoints",
            "Finding",
            "Severity",
        ),
        *("TasksError", "StorageError", "RuntimeEngineError"),
        *("AmbiguousContainerError", "BrokerUnavailableError", "HostOfflineError"),
        *("InvalidRequestError", "Keep", "NoControlWorkerError", "UnknownContainerError"),
        *("Increment", "Preseed", "Schedule", "Schedules", "ScheduleNotFoundError"),
        *("CheckpointAction", "DrainAction", "RetentionAction", "Cron", "Every"),
        *("Missed", "Run", "RunState"),
        *("Healing", "HealState", "FenceFailedError", "HostAliveError", "NotFencedError"),
        *("Drain", "DrainNotFoundError", "DrainOptions", "DrainResult", "Drains", "Order"),
        *("HostBusyError", "Item", "ItemState", "Method", "SystemContainersError"),
        *("Cordon", "HostState", "Placement", "Verdict"),
        *("UnknownHostError", "WaitTimeoutError", "WorkflowNotFoundError", "WorkloadBusyError"),
    }
