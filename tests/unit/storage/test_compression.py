import pytest

from storage import Compression
from storage.compression import LEVELS, Chooser

MIB = 1 << 20
FAST, NORMAL = LEVELS["fast"], LEVELS["normal"]


def levels(chooser: Chooser, *, gains: float, frames: int) -> list[int | None]:
    """The levels of so many frames that become so many times smaller when compressed."""
    chosen = []
    for _ in range(frames):
        level = chooser.level()
        chosen.append(level)
        if level is not None:
            chooser.gained(MIB, int(MIB / gains))
    return chosen


def test_auto_begins_fast() -> None:
    assert Chooser("auto").level() == FAST


def test_a_slow_link_is_worth_more_compression() -> None:
    chooser = Chooser("auto")
    chooser.uploading(2, 2)
    assert chooser.level() == NORMAL
    chooser.uploading(2, 2)
    assert chooser.level() == NORMAL


def test_a_fast_link_is_not_held_up_by_compression() -> None:
    chooser = Chooser("auto")
    chooser.uploading(0, 2)
    assert chooser.level() is None
    chooser.uploading(0, 2)
    assert chooser.level() is None


def test_a_link_that_changes_is_followed_step_by_step() -> None:
    chooser = Chooser("auto")
    chooser.uploading(0, 2)
    chooser.uploading(2, 2)
    assert chooser.level() == FAST
    chooser.uploading(1, 2)
    assert chooser.level() == FAST
    chooser.uploading(2, 2)
    assert chooser.level() == NORMAL


def test_incompressible_data_is_left_alone_but_looked_at_again() -> None:
    chosen = levels(Chooser("auto"), gains=1.05, frames=128)
    assert chosen[:8] == [FAST] * 8
    assert chosen[8:64] == [None] * 56
    assert chosen[64:72] == [FAST] * 8
    assert chosen[72:] == [None] * 56


def test_compressible_data_is_compressed_throughout() -> None:
    assert set(levels(Chooser("auto"), gains=1.2, frames=128)) == {FAST}


@pytest.mark.parametrize("mode", ["none", "fast", "normal"])
def test_other_modes_do_as_they_are_told(mode: Compression) -> None:
    chooser = Chooser(mode)
    for parts in (0, 2, 2):
        chooser.uploading(parts, 2)
        assert set(levels(chooser, gains=1.0, frames=20)) == {LEVELS[mode]}
