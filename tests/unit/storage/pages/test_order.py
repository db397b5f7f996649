from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.pages.order import heaviest_rising


@pytest.mark.parametrize(
    ("numbers", "chosen"),
    [
        ([], set()),
        ([5], {5}),
        ([1, 2, 3], {1, 2, 3}),
        ([9, 1, 2, 3], {1, 2, 3}),
        ([1, 3, 4, 5, 2], {1, 3, 4, 5}),
    ],
)
def test_most_are_chosen_of_equals(numbers: list[int], chosen: set[int]) -> None:
    assert heaviest_rising((number, 1) for number in numbers) == chosen


def test_one_may_weigh_more_than_many() -> None:
    assert heaviest_rising([(9, 10), (1, 3), (2, 3), (3, 3)]) == {9}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=9))
def test_no_choice_weighs_more(items: list[tuple[int, int]]) -> None:
    chosen = heaviest_rising(items)

    rising = [
        choice
        for count in range(len(items) + 1)
        for choice in combinations(items, count)
        if all(one[0] < next_one[0] for one, next_one in pairwise(choice))
    ]
    possible = [choice for choice in rising if {number for number, _ in choice} == chosen]
    weights = [sum(weight for _, weight in choice) for choice in rising]
    assert max(sum(weight for _, weight in choice) for choice in possible) == max(weights)
