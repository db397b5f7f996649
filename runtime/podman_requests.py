"""What Podman is sent: its spelling of our specs, and what it would drop without a word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from runtime.creating import create_body, endpoints
from runtime.deriving import asked_annotation
from runtime.errors import UnsupportedOptionError
from runtime.health_forms import to_engine
from runtime.specs import BuildSpec, HealthCheck, Port, RestoreSpec, RunSpec

DOCKER_FORMAT = "application/vnd.docker.distribution.manifest.v2+json"
LOG_OPTIONS = frozenset({"max-size", "tag"})  # Podman 5.4 ignores the others


def podman_body(spec: RunSpec) -> dict[str, Any]:
    """Build the JSON of the compatible ``POST /containers/create``, with all networks at once."""
    if spec.domainname:
        raise UnsupportedOptionError("domainname", "Podman has none; put it into the hostname")
    if others := set(spec.logging.options) - LOG_OPTIONS:
        raise UnsupportedOptionError("logging.options", f"Podman ignores {sorted(others)}")
    if "tag" in spec.logging.options and spec.logging.driver != "journald":
        raise UnsupportedOptionError("logging.options", "only journald has a tag")
    body = create_body(spec)
    if "NetworkingConfig" in body:
        body["NetworkingConfig"] = endpoints(spec.networks)
    if spec.health is not None:  # the annotation holds it, see HealthCheck
        body["Healthcheck"] = to_engine(HealthCheck())
    if annotation := asked_annotation(spec):
        body["HostConfig"]["Annotations"] = annotation
    return body


def build_params(spec: BuildSpec, secrets: Sequence[str]) -> dict[str, Any]:
    """Build the query of libpod's ``POST /build``; ``secrets`` are their files in the context."""
    places = [f"id={name},src={file}" for name, file in zip(spec.secrets, secrets, strict=True)]
    return {
        "t": spec.tag,
        "dockerfile": spec.containerfile,
        "buildargs": json.dumps(spec.build_args),
        "labels": json.dumps(spec.labels),
        "target": spec.target,
        "platform": spec.platform,
        "nocache": spec.no_cache,
        "secrets": json.dumps(places) if places else "",
        "layers": True,
        "forcerm": True,  # over REST its default is to leave a failed build's container behind
        "outputformat": DOCKER_FORMAT,
    }


def restore_params(spec: RestoreSpec) -> dict[str, Any]:
    """Build the query of libpod's restore calls, but for the import's own."""
    return {
        "tcpEstablished": spec.tcp_established,
        "fileLocks": spec.file_locks,
        "ignoreRootFS": spec.ignore_rootfs,
        "ignoreVolumes": spec.ignore_volumes,
        "ignoreStaticIP": spec.ignore_static_ip,
        "ignoreStaticMAC": spec.ignore_static_mac,
        "publishPorts": [_published(port) for port in spec.publish] or None,
        "pod": spec.pod,
        "keep": spec.keep,
    }


def _published(port: Port) -> str:
    """Spell a port as ``podman run --publish`` takes it."""
    ports = f"{port.host_port or ''}:{port.container_port}/{port.protocol}"
    return f"{port.host_ip}:{ports}" if port.host_ip else ports
