from __future__ import annotations

from runtime import Mount, NetworkAttachment, Port, RestartPolicy, RunSpec
from runtime.creating import create_body, further_networks


def test_the_smallest_spec_leaves_the_image_its_say() -> None:
    body = create_body(RunSpec(name="c", image="i"))

    assert "Cmd" not in body
    assert "Entrypoint" not in body
    assert "StopSignal" not in body
    assert "NetworkMode" not in body["HostConfig"]


def test_an_empty_entrypoint_clears_the_images() -> None:
    assert create_body(RunSpec(name="c", image="i", entrypoint=()))["Entrypoint"] == [""]


def test_every_kind_of_mount() -> None:
    mounts = (
        Mount(type="volume", source="v", target="/v"),
        Mount(type="volume", target="/anonymous"),
        Mount(type="bind", source="/b", target="/b", read_only=True),
        Mount(type="tmpfs", target="/t", options="size=1m"),
    )

    host = create_body(RunSpec(name="c", image="i", mounts=mounts))["HostConfig"]

    assert host["Tmpfs"] == {"/t": "size=1m"}
    assert host["Mounts"] == [
        {"Type": "volume", "Source": "v", "Target": "/v", "ReadOnly": False},
        {"Type": "volume", "Target": "/anonymous", "ReadOnly": False},
        {"Type": "bind", "Source": "/b", "Target": "/b", "ReadOnly": True},
    ]


def test_one_container_port_on_two_host_ports() -> None:
    ports = (
        Port(container_port=53, host_port=53, protocol="udp"),
        Port(container_port=53, host_port=5353, host_ip="127.0.0.1", protocol="udp"),
    )

    body = create_body(RunSpec(name="c", image="i", ports=ports))

    assert body["ExposedPorts"] == {"53/udp": {}}
    assert body["HostConfig"]["PortBindings"] == {
        "53/udp": [
            {"HostIp": "", "HostPort": "53"},
            {"HostIp": "127.0.0.1", "HostPort": "5353"},
        ]
    }


def test_the_first_network_is_created_with_the_others_are_joined() -> None:
    networks = (NetworkAttachment(name="n1", aliases=("web",)), NetworkAttachment(name="n2"))
    spec = RunSpec(name="c", image="i", networks=networks)

    body = create_body(spec)

    assert body["HostConfig"]["NetworkMode"] == "n1"
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"n1": {"Aliases": ["web"]}}}
    assert further_networks(spec) == (NetworkAttachment(name="n2"),)


def test_the_restart_policy_and_secrets() -> None:
    restart = RestartPolicy(name="on-failure", max_retries=2)
    spec = RunSpec(name="c", image="i", env={"PASSWORD": "hidden"}, restart=restart)

    body = create_body(spec)

    assert body["Env"] == ["PASSWORD=hidden"]
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert "hidden" not in repr(spec)
