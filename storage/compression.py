"""How hard to compress: decided per frame, from what the last gained and how fast the link is."""

from typing import Literal, TypeAlias

Compression: TypeAlias = Literal["auto", "none", "fast", "normal"]

LEVELS: dict[str, int | None] = {
    # measured on memory dumps, two threads: MB/s and gain
    "none": None,
    "fast": -5,  # 1821, 1.53 times smaller
    "normal": 1,  # 919, 1.82 times; level 3 takes twice as long for 1.83 times
}
_STEPS = ("none", "fast", "normal")
_WORTH = 1.1  # what compresses less is stored as it is
_LOOK = 8  # frames that tell
_SKIP = 56  # frames that are stored untried before the next look


class Chooser:
    """Chooses the level of each frame; not for several threads at once.

    "auto" starts with "fast", goes up a step when uploads keep the source waiting and down one when
    none is under way, and leaves data alone for a while that was hardly made smaller. The other
    modes are what they say, whatever comes.
    """

    def __init__(self, mode: Compression) -> None:
        self._auto = mode == "auto"
        self._step = _STEPS.index("fast" if mode == "auto" else mode)
        self._raw = self._packed = self._looked = self._skip = 0

    def level(self) -> int | None:
        """zstd's level for the next frame; None stores it as it is."""
        if self._skip:
            self._skip -= 1
            return None
        return LEVELS[_STEPS[self._step]]

    def gained(self, raw: int, packed: int) -> None:
        """A frame was compressed from `raw` to `packed` bytes."""
        self._raw += raw
        self._packed += packed
        self._looked += 1
        if self._looked == _LOOK:
            if self._auto and self._raw < self._packed * _WORTH:
                self._skip = _SKIP
            self._raw = self._packed = self._looked = 0

    def uploading(self, parts: int, parallel: int) -> None:
        """A part is full, and so many others are still being uploaded."""
        if self._auto and parts >= parallel:
            self._step = min(self._step + 1, len(_STEPS) - 1)
        elif self._auto and not parts:
            self._step = max(self._step - 1, 0)
