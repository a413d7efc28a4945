"""The table that `predict` prints, line by line."""

from collections.abc import Sequence
from pathlib import Path

from jresnet.tasks.case import Column
from jresnet.text import shown

_GAP = "  "  # between columns


class Table:
    """The table on standard output, whose lines come as results do."""

    def __init__(self, columns: Sequence[Column], paths: Sequence[Path], heading: str = "image"):
        self.columns, self.title = columns, heading
        texts = [[heading, *map(shown, paths)]]
        texts += [[column.heading, *map(shown, column.texts)] for column in self.columns]
        self.widths = [max(map(len, column)) for column in texts]

    def heading(self) -> None:
        """Print the names of the columns."""
        self._print(self.title, [column.heading for column in self.columns])

    def add(self, path: Path, rows: Sequence[Sequence[str]]) -> None:
        """Print a file's rows, its name in the first; one without cells if there are none."""
        for rank, row in enumerate(rows or [[""] * len(self.columns)]):
            self._print("" if rank else shown(path), [shown(cell) for cell in row])

    def _print(self, name: str, row: Sequence[str]) -> None:
        cells = [f"{name:{self.widths[0]}}"]
        for cell, column, width in zip(row, self.columns, self.widths[1:], strict=True):
            cells.append(f"{cell:{'>' if column.right else '<'}{width}}")
        print(_GAP.join(cells).rstrip())
