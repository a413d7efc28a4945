"""The turns in which contestants are timed, and the medians."""

import pytest

from jresnet.benchmark.timing import Contestant, able, interleaved


class Clock:
    """Time that passes only in steps."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def contestant(self, name, durations):
        def run(count):
            self.order.append((name, count))
            self.now += count * durations.pop(0)

        return Contestant(run, 0.0, None)


def test_contestants_take_turns_and_the_first_steps_do_not_count():
    clock = Clock()
    contestants = {
        "a": clock.contestant("a", [9.0, 1.0, 1.0, 3.0, 2.0]),
        "b": clock.contestant("b", [9.0, 0.5, 0.5, 0.25, 0.5]),
    }
    actual = interleaved(contestants, repeats=3, seconds=2.0, clock=lambda: clock.now)
    assert clock.order[:4] == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    assert clock.order[4:] == [("a", 2), ("b", 4), ("b", 4), ("a", 2), ("a", 2), ("b", 4)]
    assert actual["a"] == pytest.approx((2.0, 1.0, 3.0))
    assert actual["b"] == pytest.approx((0.5, 0.25, 0.5))


def test_a_slow_step_is_timed_once():
    clock = Clock()
    interleaved({"a": clock.contestant("a", [9.0] * 4)}, 2, 1.0, lambda: clock.now)
    assert clock.order[2:] == [("a", 1), ("a", 1)]


def test_a_contestant_that_does_not_fit_is_left_out_with_its_reason():
    def full(count):
        raise RuntimeError("RESOURCE_EXHAUSTED: 3 GiB\nmore")

    clock = Clock()
    fits = clock.contestant("a", [1.0])
    ready, lost = able({"a": fits, "b": Contestant(full, 0.0, None)})
    assert ready == {"a": fits}
    assert lost == {"b": "RuntimeError: RESOURCE_EXHAUSTED: 3 GiB"}
