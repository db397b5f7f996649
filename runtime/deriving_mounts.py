"""The mounts in an inspect answer. libpod's answer has their options, Docker's only hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.run_parts import Mount

# What an engine sets by itself for each kind of mount.
_BY_ITSELF = {"bind": {"rbind", "bind"}, "volume": {"rbind", "bind", "nosuid", "nodev"}}
_USUAL = {"", "rprivate", "private"}  # propagation


def mounts(container: Mapping[str, Any]) -> tuple[Mount, ...]:
    """Return the mounts by target: Podman lists them in another order after each restore."""
    found = [_mount(m) for m in container.get("Mounts") or () if m["Type"] in ("volume", "bind")]
    tmpfs: Mapping[str, str] = container["HostConfig"].get("Tmpfs") or {}
    for target, options in tmpfs.items():
        found.append(Mount(type="tmpfs", target=target, options=options))
    return tuple(sorted(found, key=lambda mount: mount.target))


def _mount(mount: Mapping[str, Any]) -> Mount:
    kind, options = mount["Type"], list(mount.get("Options") or ())
    propagation = mount.get("Propagation") or ""
    further = [o for o in options if o not in _BY_ITSELF[kind] and o != "nocopy"]
    return Mount.model_validate(
        {
            "type": kind,
            "source": mount["Name"] if kind == "volume" else mount["Source"],
            "target": mount["Destination"],
            "read_only": not mount["RW"],
            "propagation": "" if kind == "volume" or propagation in _USUAL else propagation,
            "recursive": kind == "volume" or "bind" not in options,
            "no_copy": "nocopy" in options,
            "options": ",".join(further),
        }
    )
