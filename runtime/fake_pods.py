"""Pods of the fake engine."""

from __future__ import annotations

import secrets

from runtime.errors import PodExistsError, PodInUseError, PodNotFoundError
from runtime.fake_state import FakePod, FakeState, faulty
from runtime.pod_specs import PodInfo, PodSpec


class FakePods(FakeState):
    """Pods, which only hold containers together."""

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
        """Create a pod whose name no other has."""
        if spec.name in self.pods:
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
        """Hold a pod; nobody talks here."""
        self._found_pod(name).held = True

    @faulty
    def release_pod(self, name: str) -> None:
        """Let a pod go."""
        self._found_pod(name).held = False

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
