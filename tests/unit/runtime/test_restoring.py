from __future__ import annotations

import pytest

from runtime import AddressTakenError, ContainerExistsError, ImageNotFoundError, RestoreFailedError
from runtime.restoring import restore_error

# Podman 5.4.2's messages, as they came.
PULL = (
    "initializing source docker://localhost/pf/d:1: pinging container registry localhost: "
    'Get "https://localhost/v2/": dial tcp 127.0.0.1:443: connect: connection refused'
)
SHORT = 'short-name "pf/d:1" did not resolve to an alias and no unqualified-search registries'
OTHER = (
    'creating container storage: reading image "3a8f": locating image with ID "3a8f": '
    "image not known"
)
NAME = (
    'creating container storage: the container name "e1" is already in use by 96fd3f. '
    "You have to remove that container to be able to reuse that name: that name is already in use"
)
ADDRESS = "IPAM error: requested ip address 10.88.0.2 is already allocated to container ID 96fd3f"


@pytest.mark.parametrize(
    ("reason", "image"), [(PULL, "localhost/pf/d:1"), (SHORT, "pf/d:1"), (OTHER, "3a8f")]
)
def test_what_says_that_the_image_is_missing(reason: str, image: str) -> None:
    error = restore_error("c1", reason)

    assert isinstance(error, ImageNotFoundError)
    assert error.image == image


def test_what_is_in_use_is_there_already() -> None:
    by_id = restore_error("c1", "creating container storage: that ID is already in use")
    by_name = restore_error("c1", NAME)

    assert isinstance(by_id, ContainerExistsError)
    assert isinstance(by_name, ContainerExistsError)
    assert by_name.container == "e1"


def test_an_address_that_is_in_use_is_told_apart() -> None:
    error = restore_error("c1", ADDRESS)

    assert isinstance(error, AddressTakenError)
    assert (error.archive, error.reason) == ("c1", ADDRESS)


@pytest.mark.parametrize(
    "reason",
    [
        "unpacking of checkpoint archive /var/tmp/restore1 failed: unexpected EOF",
        "volume with name vol1 already exists. Use --ignore-volumes to not restore content",
        "unable to find network with name or ID n: network not found",
    ],
)
def test_everything_else_is_a_failed_restore_in_the_engines_words(reason: str) -> None:
    error = restore_error("c1", reason)

    assert isinstance(error, RestoreFailedError)
    assert (error.archive, error.reason) == ("c1", reason)
