"""The sentences of the study of paths follow from its numbers."""

import csv
import functools

import numpy as np
import pytest

from jresnet.analysis.paths import path_lengths
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.models import zoo
from jresnet.studies.paths.measure import central, decay, measure
from jresnet.studies.paths.report import conclude, statement
from jresnet.studies.subjects import Subject
from tests.nets import random_variables


def test_numbers_of_a_net_whose_gradient_halves_with_every_block():
    norms = 3.0 * 0.5 ** np.arange(55)[:, None] * np.ones((55, 4))
    assert decay(norms) == pytest.approx(0.5)
    shares = path_lengths(54)
    assert central(shares) == (20, 34)
    assert shares[20:35].sum() > 0.95 > shares[21:34].sum()
    # Binomial(54, 1/2) times 2^-k is Binomial(54, 1/3), whose mean is 18.
    text = statement(shares, norms, (12, 25))
    assert "by 0.500" in text
    assert "12 to 25 of 54 blocks, shorter than the average path (27)" in text
    assert "not shorter than" in statement(shares, norms, (27, 40))


def test_a_given_net_from_measurement_to_report(tmp_path):
    net = zoo.cifar_resnet(8)
    data = ImageData(Synthetic((8, 8, 3), 10, train_size=20, test_size=10), 10)
    subject = Subject("net", net, random_variables(net, (8, 8, 3)), lambda x: x / 255.0, data)
    measured = functools.partial(measure, samples=2, examples=8, seed=0)
    conclusion = conclude(measured, subject, {}, tmp_path, {}, {})
    assert "of 3 blocks" in conclusion.summary
    rows = list(csv.DictReader((tmp_path / "paths.csv").read_text().splitlines()))
    assert [float(row["share of paths"]) for row in rows] == [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    weights = [float(r["share of paths"]) * (float(r["norm 0"]) + float(r["norm 1"])) for r in rows]
    carried = [float(row["share of gradient"]) for row in rows]
    np.testing.assert_allclose(carried, np.array(weights) / sum(weights), rtol=1e-6)
    assert (tmp_path / "report.html").stat().st_size > 30_000
