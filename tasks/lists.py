"""Lists of workflows by time: of all, of each workload, of each host.

A list is a sorted set of ids, by the moment of the request. It is written in the same transaction
as the record, and cut when a workflow that is in it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.models import Workflow, now

if TYPE_CHECKING:
    from redis.client import Pipeline

RECENT = "podferry:workflows"


def workload_list(name: str) -> str:
    """The key of the list of a container's or a group's workflows."""
    return f"{RECENT}:workload:{name}"


def host_list(name: str) -> str:
    """The key of the list of the workflows that name a host."""
    return f"{RECENT}:host:{name}"


def lists_of(workflow: Workflow) -> set[str]:
    """The lists that a workflow is in. A group's concerns its containers too."""
    names = {workflow.workload, *workflow.members}
    hosts = {host for host in (workflow.source, workflow.target, *workflow.hosts) if host}
    return {RECENT, *map(workload_list, names), *map(host_list, hosts)}


def enter(pipe: Pipeline, workflow: Workflow, lists: Iterable[str]) -> None:
    """Put a workflow into lists."""
    for key in lists:
        pipe.zadd(key, {workflow.id: workflow.created.timestamp()})


def cut(pipe: Pipeline, workflow: Workflow, keep: timedelta) -> None:
    """Take out of a workflow's lists what has no record any more.

    A record gets as old as its workflow took, and is kept for ``keep`` then: twice that is enough.
    """
    oldest = (now() - 2 * keep).timestamp()
    for key in lists_of(workflow):
        pipe.zremrangebyscore(key, "-inf", oldest)
        pipe.expire(key, 2 * keep)
