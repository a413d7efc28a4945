"""The study of expressiveness: its table and its sentence follow from the numbers."""

import pytest

from jresnet.studies.expressiveness.measure import Compared
from jresnet.studies.expressiveness.report import row, statement

PLAIN = Compared("plain-20", 1000, 2.0, 1e-3, 1e-4, 8.0)
BARE = Compared("BatchNorm folded", 1000, 2.0, 0.0, 0.0, 10.0)


def text(difference, learned):
    twin = Compared("residual twin", 2000, 2.5, 1e-6, difference, 10.0)
    return statement([PLAIN, BARE, twin], (9, 9, 9), [1.0, 2.0, 3.0], [learned])


def test_the_sentence_is_worded_from_the_numbers():
    same = text(1e-14, 0.5)
    assert "the one of 56 layers compute the same: logits of up to 10.0 differ by at most" in same
    assert "test error 2.00 / 2.50 %" in same
    assert "A branch has 2.00 times its shortcut's size (median over blocks)" in same
    assert same.endswith("0.50: smaller, as the paper expects.")
    assert "do NOT compute the same" in text(1e-7, 0.5)
    assert text(1e-14, 2.5).endswith("2.50: not smaller.")


# The tolerance grows with the logits: 1e-9 of the largest.
@pytest.mark.parametrize(("difference", "words"), [(9e-9, "compute the same"), (2e-8, "do NOT")])
def test_the_tolerance_is_a_share_of_the_largest_logit(difference, words):
    assert f"layers {words}" in text(difference, 0.5)


def test_a_row_has_what_the_headers_say():
    assert row(PLAIN) == ("plain-20", 1000, "2.00", "1.0e-03", "1.0e-04")
