"""The study of the derivation: its sentence and its tables follow from the numbers."""

import csv

import numpy as np

from jresnet.studies.derivation.measure import Agreement, Terms
from jresnet.studies.derivation.report import statement, write_tables

AGREEMENT = [Agreement("stem/kernel", 27, 0.5, 1e-17), Agreement("images", 1000, 0.1, 2e-12)]
TERMS = Terms(("one", "two"), 0.5, np.array([0.3, 0.1]), np.array([0.1, 0.0]), 3e-16)


def test_the_sentence_is_worded_from_the_numbers():
    text = statement("net", AGREEMENT, TERMS)
    assert "are equal to 1e-10: of 1,027 entries the largest difference is 2.0e-12" in text
    assert "holds to 3.0e-16 of h_L's largest entry over 2 blocks" in text
    assert text.endswith("h_0 makes up 50.0 % of h_L, the branches 40.0 %, the ReLUs after "
                         "additions 10.0 %.")  # fmt: skip
    assert "NOT equal" in statement("net", [Agreement("images", 1, 1.0, 1e-9)], TERMS)
    still = TERMS._replace(corrections=np.zeros(2))
    assert statement("net", AGREEMENT, still).endswith("the branches 40.0 %.")


def test_the_tables_have_a_row_for_each_parameter_and_each_term(tmp_path):
    write_tables(tmp_path, AGREEMENT, TERMS)
    with (tmp_path / "gradients.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["stem/kernel", "27", "0.5", "1e-17"]
    with (tmp_path / "expansion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["term", "share of branch", "share of relu"],
        ["h_0", "0.5", "0.0"],
        ["one", "0.3", "0.1"],
        ["two", "0.1", "0.0"],
    ]
