"""Tables as CSV files: read back as they were written, whole or not at all."""

import csv

import pytest

from jresnet.report.csv_file import write_csv


def test_rows_are_read_back(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ("net", "error"), [("a, b", 1.5), ('say "λ"\n', None)])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["net", "error"], ["a, b", "1.5"], ['say "λ"\n', ""]]
    assert path.read_bytes().startswith(b"net,error\r\n")


def test_a_table_that_breaks_off_leaves_the_one_before(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ("net",), [("before",)])

    def rows():
        yield ("after",)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write_csv(path, ("net",), rows())
    assert path.read_text().split() == ["net", "before"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]
