from __future__ import annotations

import pytest
import typer

from podferry.cli.parse import parse_mount, parse_pairs, parse_port, parse_seconds, parse_size
from runtime import Mount, Port
from tasks.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("data:/data", Mount(type="volume", source="data", target="/data")),
        ("/srv:/data:ro", Mount(type="bind", source="/srv", target="/data", read_only=True)),
        ("./srv:/data:rw", Mount(type="bind", source="./srv", target="/data")),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


@pytest.mark.parametrize("text", ["", "data", "data:", "data:relative", ":/data", "a:/b:maybe"])
def test_bad_mounts_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="--volume"):
        parse_mount(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("8080:80", Port(container_port=80, host_port=8080)),
        ("53:53/udp", Port(container_port=53, host_port=53, protocol="udp")),
        ("127.0.0.1:8080:80", Port(container_port=80, host_port=8080, host_ip="127.0.0.1")),
        ("[::1]:8080:80", Port(container_port=80, host_port=8080, host_ip="::1")),
    ],
)
def test_ports(text: str, port: Port) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize("text", ["", "80", "a:80", "80:b", ":80"])
def test_bad_ports_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="--publish"):
        parse_port(text)


def test_pairs_keep_everything_behind_the_first_sign() -> None:
    assert parse_pairs("--env", ["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}


def test_a_bad_pair_is_refused_without_a_value() -> None:
    with pytest.raises(InvalidRequestError, match="--env wants KEY=VALUE, not ''") as refused:
        parse_pairs("--env", ["=s3cret"])
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("512", 512), ("2k", 2048), ("64M", 64 << 20), ("1g", 1 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size("--memory", text) == size


@pytest.mark.parametrize("text", ["m", "1x", "-1m", "1.5g", "1 g", "1mg"])
def test_bad_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="--memory"):
        parse_size("--memory", text)


@pytest.mark.parametrize(
    ("text", "found"), [("600", 600), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400)]
)
def test_seconds(text: str, found: float) -> None:
    assert parse_seconds(text) == found


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "0.5", "1.2.3", "1e3", "10 m"])
def test_bad_seconds_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_seconds(text)
