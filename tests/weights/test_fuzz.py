"""A few hundred mutated files in seconds; `python -m tests.fuzz_weights` goes on for as long as asked."""

import pytest

from tests import fuzz_weights


def test_mutated_files_end_in_arrays_or_in_one_line(tmp_path):
    outcomes = fuzz_weights.run_batch(0, 100, tmp_path, convert=False)
    assert sum(outcomes.values()) == 100
    assert any(outcome.endswith("read") for outcome in outcomes)
    assert len(outcomes) > 15


def test_mutated_files_through_the_command_line(tmp_path):
    outcomes = fuzz_weights.run_batch(9, 25, tmp_path, convert=True)
    assert outcomes["convert: status 2"] > 10


def test_the_check_can_fail(tmp_path, monkeypatch):
    """It sees arrays from elsewhere, memory, imports and several lines."""
    path, data = tmp_path / "a.pth", b"none of it"
    monkeypatch.setattr(fuzz_weights.files, "load", lambda path: {"w": fuzz_weights.np.ones(3)})
    with pytest.raises(AssertionError, match="values that are not in the file"):
        fuzz_weights.check(path, data)

    def refuse(path):
        raise fuzz_weights.UsageError(f"weights {path}: two\nlines")

    monkeypatch.setattr(fuzz_weights.files, "load", refuse)
    with pytest.raises(AssertionError, match="not one printable line"):
        fuzz_weights.check(path, data)
    large = fuzz_weights.FLOOR
    monkeypatch.setattr(fuzz_weights.files, "load", lambda path: {} if bytes(2 * large) else None)
    with pytest.raises(AssertionError, match="bytes for a file of 10"):
        fuzz_weights.check(path, data)
