"""Pods of the fake engine."""

from __future__ import annotations

import secrets

from runtime.errors import PodExistsError, PodInUseError, PodNotFoundError
from runtime.fake_state import FakePod, FakeState, faulty
from runtime.pod_specs import PodInfo, PodSpec
from runtime.specs import ContainerState


class FakePods(FakeState):
    """Pods that stop with the last of their containers, if that is their policy."""

    @faulty
    def pod(self, name: str) -> PodInfo:
        """Describe a pod."""
        found = self._found_pod(name)
        info = PodInfo(
            id=found.id, spec=found.spec, infra=f"{found.id}-infra", members=self._in(found)
        )
        return info.model_copy(update=found.said)

    @faulty
    def pod_exists(self, name: str) -> bool:
        """Tell whether a pod of this name is there."""
        return name in self.pods

    @faulty
    def create_pod(self, spec: PodSpec) -> None:
        """Create a pod whose name neither a pod nor a container has."""
        names = {container.spec.name for container in self.containers_by_id.values()}
        if spec.name in self.pods or spec.name in names:
            raise PodExistsError(spec.name)
        self.pods[spec.name] = FakePod(id=secrets.token_hex(32), spec=spec)

    @faulty
    def remove_pod(self, name: str) -> None:
        """Remove an empty pod; an absent one is no error."""
        if name in self.pods:
            if members := self._in(self.pods[name]):
                raise PodInUseError(name, members)
            del self.pods[name]

    @faulty
    def hold_pod(self, name: str) -> None:
        """Keep a pod from stopping."""
        self._found_pod(name).held = True

    @faulty
    def release_pod(self, name: str) -> None:
        """Let a pod stop."""
        found = self._found_pod(name)
        found.held = False
        self.stop_if_alone(name)

    def stop_if_alone(self, name: str) -> None:
        """Stop a pod whose policy is to stop, when none of its containers runs."""
        pod = self.pods.get(name)
        if pod is not None and pod.spec.exit_policy == "stop" and not pod.held:
            states = {c.state for c in self.containers_by_id.values() if c.pod == name}
            pod.stopped = bool(states) and ContainerState.RUNNING not in states

    def _found_pod(self, name: str) -> FakePod:
        for pod in self.pods.values():
            if name in (pod.id, pod.spec.name):
                return pod
        raise PodNotFoundError(name)

    def _in(self, pod: FakePod) -> tuple[str, ...]:
        return tuple(
            container.spec.name
            for container in self.containers_by_id.values()
            if container.pod == pod.spec.name
        )
