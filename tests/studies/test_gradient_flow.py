"""The study of gradient flow: the switched nets, its sentence and its tables."""

import csv

import jax
import numpy as np
import pytest

from jresnet.analysis.jacobian import Extremes
from jresnet.models import zoo
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.studies.gradient_flow.flowing import SMALL_INIT, SWITCHES, switched
from jresnet.studies.gradient_flow.measure import Findings, Profile, Scaled
from jresnet.studies.gradient_flow.report import row, statement, write_tables

TWO = np.array([1.0, 2.0])
WHOLE = Profile(np.array([3.0, 2.0, 1.0]), TWO, TWO, TWO, 2e-7)
BARE = Profile(np.array([0.5, 0.5, 1.0]), None, None, TWO, None)


@pytest.fixture
def findings():
    return Findings(
        {"ResNet-20": WHOLE, "ResNet-20, without BatchNorm": BARE},
        {"ResNet-20": np.array([0.25, 0.5, 0.25])},
        {"ResNet-20": [Extremes(2.0, 0.5), Extremes(3.0, 0.25)]},
        {0.5: Scaled(np.array([0.5, 0.8, 1.0]), np.array([0.25, 0.5, 1.0]))},
    )


def test_each_switch_takes_one_thing_away():
    net = zoo.cifar_resnet(8)
    nets = {switch: switched(net, switch) for switch in SWITCHES}
    assert nets["as it is"] == nets["clipped"] == net
    assert nets["without BatchNorm"].backbone.norm is NoNorm
    assert nets["without He init"].backbone.conv == part(Conv, kernel_init=SMALL_INIT)
    kernel = SMALL_INIT(jax.random.key(0), (100, 100))
    assert float(kernel.std()) == pytest.approx(0.01, rel=0.05)


def test_the_sentence_is_worded_from_the_numbers(findings):
    text = statement(findings)
    assert "|g| at the first block against the last block's output: ResNet-20 3." in text
    assert "Without BatchNorm: ResNet-20 0.5." in text
    assert "add up to the gradient within 2e-07." in text
    assert "In ResNet-20 the gradient passes 1.0 of 2 branches on average." in text
    assert text.endswith("is lambda^(L-l) within 0e+00.")


def test_a_row_without_a_split_has_no_error_of_it():
    assert row("net", WHOLE) == ("net", 2, "3.00e+00", "1.00e+00", "3.00e+00", "2e-07")
    assert row("net", BARE)[-1] is None


def test_the_tables_hold_everything_that_was_measured(findings, tmp_path):
    write_tables(tmp_path, findings)
    tables = {}
    for path in tmp_path.glob("*.csv"):
        with path.open(newline="") as file:
            tables[path.stem] = list(csv.reader(file))
    assert tables["blocks"][1:4] == [
        ["ResNet-20", "1", "3.0", "1.0", "1.0", "1.0"],
        ["ResNet-20", "2", "2.0", "2.0", "2.0", "2.0"],
        ["ResNet-20", "3", "1.0", "", "", ""],
    ]
    assert tables["blocks"][4] == ["ResNet-20, without BatchNorm", "1", "0.5", "", "", "1.0"]
    assert tables["orders"][-1] == ["ResNet-20", "2", "0.25"]
    assert tables["singular_values"][-1] == ["ResNet-20", "2", "3.0", "0.25"]
    assert tables["scaled"][1] == ["0.5", "1", "0.5", "0.25"]
