"""The timed analyses give the right values, and a loop in torch the same."""

import importlib
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark_analyses import benchmark_analyses
from jresnet.analysis.landscape import kernels, moved, random_direction
from jresnet.analysis.lesion import without
from jresnet.benchmark import analyses, work
from jresnet.benchmark.analyses_report import rows_of
from jresnet.benchmark.jax_nets import synthetic
from jresnet.benchmark.timing import OURS, Timing
from jresnet.benchmark.work import Work
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import run
from tests.nets import apply, normal, random_variables

HAS_TORCH = importlib.util.find_spec("torch") is not None
MODEL = zoo.cifar_resnet(8)
VARIABLES = random_variables(MODEL, (16, 16, 3))  # random statistics too
BATCH = analyses.normalised(synthetic((16, 16, 3), 6, 10))
DIRECTIONS = [random_direction(np.random.default_rng(s), VARIABLES["params"]) for s in (0, 1)]
POINTS = np.array([[0.0, 0.0], [0.5, -1.0], [-1.0, 0.25]])
ORDERS = [without(3, deleted) for deleted in ([0], [1], [2])]
AT, WHOLE = kernels(VARIABLES["params"])
VECTOR = np.asarray(normal(*AT.shape))
INPUTS = {"landscape": (DIRECTIONS, POINTS), "lesions": (ORDERS,), "product": (VECTOR,)}


def prepare(module, kind):
    """The analysis of the small net by either module."""
    return getattr(module, kind)(MODEL, VARIABLES, *INPUTS[kind], BATCH)


@jax.jit
def expected(params, gates=None):
    """Mean loss and error in evaluation mode, written out."""
    variables = {**VARIABLES, "params": params}
    logits = MODEL.apply(variables, BATCH["image"], train=False, gates=gates)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), BATCH["label"][:, None], 1)
    return jnp.stack([-chosen.mean(), (logits.argmax(-1) != BATCH["label"]).mean()])


def test_a_landscape_is_the_loss_at_its_points():
    wanted = [expected(moved(VARIABLES["params"], DIRECTIONS, at)) for at in POINTS]
    actual = prepare(analyses, "landscape")
    for count in (1, 3):
        np.testing.assert_allclose(actual(count), wanted, rtol=1e-4)


def test_lesions_are_gates_of_0():
    wanted = [expected(VARIABLES["params"], 1 - gate) for gate in jnp.eye(3)]
    actual = prepare(analyses, "lesions")
    for count in (1, 3):
        np.testing.assert_allclose(actual(count), wanted, rtol=1e-4)


def test_a_product_is_how_the_gradient_changes():
    slope = jax.jit(jax.grad(lambda vector: expected(WHOLE(vector))[0]))
    wanted = jax.jvp(slope, (AT,), (jnp.asarray(VECTOR),))[1]
    actual = prepare(analyses, "product")
    for count in (1, 3):
        np.testing.assert_allclose(actual(count), wanted, atol=1e-4 * float(abs(wanted).max()))


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("kind", INPUTS)
def test_the_loop_in_torch_finds_the_same(kind):
    torch = importlib.import_module("jresnet.benchmark.torch_analyses")
    theirs, wanted = prepare(torch, kind), prepare(analyses, kind)(1)
    assert np.ptp(wanted, 0).min() > 0.1  # points, lesions and entries differ
    for count in (1, 3):
        np.testing.assert_allclose(theirs(count), wanted, atol=1e-5 * abs(wanted).max())


def test_the_work_is_all_points_all_blocks_and_all_products(monkeypatch):
    inputs = {}
    for kind in INPUTS:
        monkeypatch.setattr(analyses, kind, lambda *args, kind=kind: inputs.setdefault(kind, args))
    works = {
        "landscape": work.landscape(8, 3, 6, None),
        "lesions": work.lesions(14, 6, None),
        "products": work.products(8, 5, 6, None),
    }
    assert {name: (one.net, one.step, one.whole) for name, one in works.items()} == {
        "landscape": ("ResNet-8", 4, 9),
        "lesions": ("ResNet-14", 6, 6),
        "products": ("ResNet-8", 1, 5),
    }
    *_, directions, points, batch = inputs["landscape"]
    assert points.tolist() == [[-1, -1], [-1, 1], [0, 1], [1, 1]]
    assert len(directions) == 2
    assert batch["image"].shape == (6, 32, 32, 3)
    *_, orders, _ = inputs["lesions"]
    assert [[s.kept for s in order] for order in orders] == (~np.eye(6, dtype=bool)).tolist()
    net, variables, vector, _ = inputs["product"]
    assert net == zoo.cifar_resnet(8)
    assert vector.shape == kernels(variables["params"])[0].shape
    assert set(np.unique(vector)) == {-1, 1}


def test_statistics_are_those_of_the_batch():
    variables = analyses.settled(MODEL, BATCH)
    evaluated, trained = (
        apply(MODEL, variables, BATCH["image"], train=train, method="features")
        for train in (False, True)
    )
    # Running variances are unbiased: 96 values a channel in the last stage.
    np.testing.assert_allclose(evaluated["stage3"], trained[0]["stage3"], rtol=0, atol=0.1)
    plain = {**variables, "batch_stats": jax.tree.map(jnp.ones_like, variables["batch_stats"])}
    other = apply(MODEL, plain, BATCH["image"], train=False, method="features")
    assert np.abs(other["stage3"] - trained[0]["stage3"]).max() > 0.5


def test_rates_count_an_image_once_for_every_point():
    whole = Work("ResNet-8", {}, step=4, whole=9)
    timings = {OURS: Timing(0.5, 0.4, 0.8), "torch": Timing(1.0, 1.0, 2.0)}
    actual = {OURS: np.array([1.0, -4.0]), "torch": np.array([1.0, -4.4])}
    ours, torch = rows_of("landscape", whole, 40, 6, timings, {OURS: 3.0, "torch": 0.1}, actual)
    assert (ours.images_per_second, ours.slowest, ours.fastest) == (48, 30, 60)
    assert (ours.ratio, torch.ratio) == (1, 2)
    assert (ours.whole, ours.whole_seconds, torch.whole_seconds) == (360, 7.5, 15)
    assert (ours.difference, torch.difference) == (None, pytest.approx(0.1))
    assert (ours.compile_seconds, torch.compile_seconds) == (3.0, 0.1)


def test_it_times_what_is_asked_for_and_smoke_shortens_it(tmp_path, monkeypatch):
    monkeypatch.setattr("jresnet.benchmark.analyses_report.torch_nets", lambda: None)
    options = RunOptions(workdir=tmp_path / "run", devices=1, smoke=True)
    line = run(benchmark_analyses, defaults(benchmark_analyses) | {"images": 7}, options)
    rows = json.loads((tmp_path / "run" / "benchmark.json").read_text())["rows"]
    assert [(row["analysis"], row["net"], row["contestant"], row["whole"]) for row in rows] == [
        ("landscape", "ResNet-8", OURS, 625 * 7),
        ("lesions", "ResNet-8", OURS, 3 * 7),
        ("products", "ResNet-8", OURS, 50 * 7),
    ]
    assert all(row["batch"] == 2 and row["images_per_second"] > 0 for row in rows)
    assert f"lesions {rows[1]['images_per_second']:.3g} images/s" in line
    assert "PyTorch is not installed: no rows of it." in line
    page = (tmp_path / "run" / "report.html").read_text()
    assert "PyTorch is not installed" in page
    assert "follows from the rate" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lesion_depth": 100}, "lesion_depth=100: expected 6n\\+2"),
        ({"depth": 2}, "depth=2"),
    ],
)
def test_what_cannot_be_timed(arguments, said):
    with pytest.raises(UsageError, match=said):
        benchmark_analyses(**arguments)
