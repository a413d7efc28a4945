"""The order of examples: Grain's, and whole permutations."""

import grain
import pytest

from jresnet.data.order import Order


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (5, 3), (1000, 2**32 - 1), (50_000, 7)])
def test_it_is_that_of_grain(size, seed):
    order = Order(size, seed)
    theirs = grain.MapDataset.range(size).seed(seed).shuffle().repeat(10**6)
    places = [0, size - 1, size, 3 * size + size // 2, 10**6 * size - 1]
    assert [order[place] for place in places] == [theirs[place] for place in places]


def test_every_epoch_is_a_permutation_with_each_example_in_a_row():
    order = Order(11, seed=2, repeats=3)
    epochs = [[order[33 * epoch + place] for place in range(33)] for epoch in range(2)]
    for epoch in epochs:
        assert sorted(epoch[::3]) == list(range(11))
        assert epoch[::3] == epoch[1::3] == epoch[2::3]
    assert epochs[0] != epochs[1]
