"""Tables as text: aligned for the terminal, and as GitHub's Markdown; how a cell is written."""

import numbers
import re
from collections.abc import Mapping, Sequence

from jresnet.text import shown

# A number, perhaps with a spread and a short unit: 6.97, -3, 855,770, 1e-4, 92.1 ± 0.3 %, 812 img/s.
_NUMBER = r"[-+−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?"
_NUMERIC = re.compile(rf"{_NUMBER}(\s?±\s?{_NUMBER})?(\s?[^\s\d]{{1,6}})?")
MISSING = "–"


def format_cell(value: object) -> str:
    """One cell of a table. Integers get thousands separators, floats four digits, None a dash; of a string what cannot be shown is written out."""
    if value is None:
        return MISSING
    if isinstance(value, str | bool):
        return shown(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        number = float(value)
        # Four significant digits would turn 12345.6 into 1.235e+04.
        return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.4g}"
    return shown(value)


def layout(
    headers: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[list[list[str]], list[bool]]:
    """The cells of a table as strings, and which of its columns hold numbers.

    Args:
      headers: one name for each column.
      rows: cells, as many in each row as there are headers.

    Returns:
      The cells, and for each column whether all its cells are numbers or missing (it is then set to the right).

    Raises:
      ValueError: a row has more or fewer cells than there are headers; names the row.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) != len(headers):
            raise ValueError(
                f"row {number}: expected {len(headers)} cells, one for each header, got {len(row)}"
            )
    cells = [[format_cell(value) for value in row] for row in rows]
    columns = [[row[i] for row in cells if row[i] != MISSING] for i in range(len(headers))]
    numeric = [
        bool(column) and all(_NUMERIC.fullmatch(cell) for cell in column) for column in columns
    ]
    return cells, numeric


def format_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for the terminal: columns aligned, numbers to the right, a rule under the header.

    Args:
      headers: one name for each column.
      rows: cells; numbers are written by `format_cell`.

    Returns:
      Lines joined by newlines, without a trailing one.

    Raises:
      ValueError: a row does not have one cell for each header.
    """
    cells, numeric = layout(headers, rows)
    headers = [format_cell(header) for header in headers]
    widths = _widths(headers, cells)
    lines = [_line(row, widths, numeric, "  ") for row in [headers, *cells]]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def format_markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same table in GitHub's Markdown; columns of numbers to the right.

    Args:
      headers: one name for each column.
      rows: cells; numbers are written by `format_cell`. A vertical bar in one is escaped.

    Returns:
      Lines joined by newlines, without a trailing one.

    Raises:
      ValueError: a row does not have one cell for each header.
    """
    cells, numeric = layout(headers, rows)
    rules = ["---:" if right else "---" for right in numeric]
    named = [format_cell(header) for header in headers]
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in [named, rules, *cells]]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def metrics_line(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """`test error 0.0101, test loss 0.03`; metrics of groups, many of a kind, are for the curves."""
    return ", ".join(
        f"{split} {name} {value:.4g}"
        for split, values in metrics.items()
        for name, value in values.items()
        if "/" not in name
    )


def _widths(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(headers, *cells, strict=True)]


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], gap: str) -> str:
    return gap.join(
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(row, widths, numeric, strict=True)
    )
