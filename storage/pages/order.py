"""Which of several things can be met in passing, when they come in another order than before."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias

_Chain: TypeAlias = "tuple[int, _Chain] | None"


def heaviest_rising(items: Iterable[tuple[int, int]]) -> set[int]:
    """Choose numbers of the greatest weight together that rise, from (number, weight) in order.

    Takes n log n steps: keeps, by their last number, the chains that no other one beats.
    """
    lasts, weights, chains = list[int](), list[int](), list[_Chain]()
    for number, weight in items:
        at = bisect_left(lasts, number)
        total = weight + (weights[at - 1] if at else 0)
        chain: _Chain = (number, chains[at - 1] if at else None)
        end = at
        while end < len(lasts) and weights[end] <= total:
            end += 1
        lasts[at:end], weights[at:end], chains[at:end] = [number], [total], [chain]
    chosen, chain = set[int](), chains[-1] if chains else None
    while chain:
        number, chain = chain
        chosen.add(number)
    return chosen
