import numpy as np
import pytest

from jresnet.report import text

HEADERS = ["net", "parameters", "error (%)"]
ROWS = [["plain-20", 269_722, "9.35"], ["ResNet-110", np.int32(1_727_962), None]]


def test_terminal_table_sets_numbers_right_and_words_left():
    assert text.format_table(HEADERS, ROWS).split("\n") == [
        "net         parameters  error (%)",
        "──────────  ──────────  ─────────",
        "plain-20       269,722       9.35",
        "ResNet-110   1,727,962          –",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0697, "0.0697"),
        (6.970001, "6.97"),
        (12345.6, "12,346"),
        (1e-5, "1e-05"),
        (np.float32(0.5), "0.5"),
        (64_000, "64,000"),
        (True, "True"),
        (None, "–"),
        ("2015", "2015"),
        (float("nan"), "nan"),
    ],
)
def test_cells(value, written):
    assert text.format_cell(value) == written


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["6.97", "-3", "1e-4"], True),
        (["92.1 ± 0.3 %", None], True),
        (["812 img/s"], True),
        (["6.97", "diverged"], False),
        (["3x3 conv"], False),
        ([None], False),
        ([], False),
    ],
)
def test_a_column_is_numeric_if_all_it_holds_is(cells, numeric):
    assert text.layout(["x"], [[cell] for cell in cells])[1] == [numeric]


def test_a_ragged_row_is_named():
    with pytest.raises(ValueError, match=r"row 2: expected 2 cells.* got 1"):
        text.format_table(["a", "b"], [[1, 2], [3]])
