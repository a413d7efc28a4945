"""The study of landscapes: its centre is the net itself, and what is kept is not done again."""

import jax
import numpy as np
import optax
import pytest

from jresnet.analysis.landscape import point_mesh, random_direction
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.models import zoo
from jresnet.studies.landscape import measure, probe
from jresnet.studies.landscape.measure import landscape_of
from jresnet.studies.subjects import Subject
from tests.nets import apply, random_variables

DATA = ImageData(Synthetic((8, 8, 3), 10, train_size=20, test_size=10), 10)
SMALL = {
    "points": 3, "reach": 0.5, "hessian_points": 3, "lanczos_steps": 2, "probes": 1,
    "split": "train", "examples": None, "hessian_examples": 10, "seed": 0,
}  # fmt: skip


@pytest.mark.slow
def test_everything_around_a_small_net(tmp_path, monkeypatch):
    mesh = point_mesh(jax.devices()[:1])
    monkeypatch.setattr(measure, "point_mesh", lambda: mesh)
    net = zoo.cifar_resnet(8)
    variables = random_variables(net, (8, 8, 3))
    subject = Subject("net", net, variables, lambda x: x / 255.0, DATA)
    steps = [
        (step, jax.tree.map(lambda p, s=step: p * (1 + s / 10), variables["params"]))
        for step in (3, 2, 1, 0)
    ]
    landscape = landscape_of(subject, steps, tmp_path, **SMALL)
    examples = subject.examples("train")
    logits = apply(net, variables, examples["image"] / 255.0, train=False)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, examples["label"])
    wrong = (np.asarray(logits).argmax(-1) != examples["label"]).mean()
    for loss, error in (
        (landscape.plane.loss[1, 1], landscape.plane.error[1, 1]),
        (landscape.line.loss[2, 0], landscape.line.error[2, 0]),
    ):
        assert loss == pytest.approx(float(losses.mean()), rel=1e-4)
        assert error == pytest.approx(wrong)
    # The line is the plane's middle row, twice as fine.
    np.testing.assert_allclose(landscape.line.loss[::2, 0], landscape.plane.loss[:, 1], rtol=1e-4)
    assert landscape.extremes.shape == (3, 3, 2)
    assert (landscape.extremes[..., 0] < landscape.extremes[..., 1]).all()
    assert np.trapezoid(landscape.density, landscape.density_at) == pytest.approx(1, abs=0.1)
    assert landscape.sharpness > 0
    assert landscape.trajectory.path.shape == (4, 2)
    # All on one line, which the first component holds.
    assert landscape.trajectory.explained[0] == pytest.approx(1, abs=1e-4)

    def never(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(probe, "lanczos", never)
    monkeypatch.setattr(probe, "surface", lambda *arguments: never)
    batches, few = subject.batches("train"), subject.batches("train", 10)
    second = probe.Probe(subject, batches, few, 0, tmp_path, mesh)
    rng = np.random.default_rng(0)
    directions = [random_direction(rng, variables["params"]) for _ in range(2)]
    axis = np.linspace(-0.5, 0.5, 3)
    again = second.hessian_extremes(directions, axis, 2)
    np.testing.assert_array_equal(again, landscape.extremes)
