"""`export` of nets as ONNX graphs, run by onnxruntime, which shares no code with jax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet import extras
from jresnet.commands import export as module
from jresnet.errors import UsageError
from jresnet.models import cpu, zoo
from jresnet.models.part import part
from jresnet.models.pools import max_blur_pool
from jresnet.models.resnet import Stem
from tests.commands.conftest import FLAGS
from tests.commands.test_export import OneByOne, close
from tests.models.headed_nets import NETS
from tests.nets import apply, normal, random_variables

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
from jresnet.weights.onnx_graph import UnsupportedError  # noqa: E402
from jresnet.weights.onnx_model import furthest, to_onnx  # noqa: E402

TWO = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}


def session(data):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_onnxruntime_gives_the_net_s_logits_for_any_number_of_images(checkpoint, command, tmp_path):
    out = tmp_path / "net.onnx"
    arguments = ["export", *FLAGS, "--weights", checkpoint.path, "--out", out]
    status, printed, err = command(*arguments)
    assert (status, err) == (0, "")
    assert f"{out}: " in printed
    assert "float32[batch, 32, 32, 3] to output; onnxruntime differs from the net by" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    run = session(out.read_bytes())
    assert [(each.name, each.shape) for each in run.get_inputs()] == [
        ("images", ["batch", 32, 32, 3])
    ]
    assert [each.shape for each in run.get_outputs()] == [["batch", 7]]
    for n in (1, 4):
        x = normal(n, 32, 32, 3, seed=n)
        (logits,) = run.run(None, {"images": np.asarray(x)})
        close(logits, apply(checkpoint.net, checkpoint.variables, x, train=False))
    status, _, err = command(*arguments)
    assert status == 2
    assert "exists already" in err


SEVERAL = {
    "max-pool": (lambda: zoo.resnet18(5, **TWO), (40, 32, 3)),
    "grouped": (lambda: zoo.resnext50_32x4d(5, **{**TWO, "widths": (32, 32, 32, 32)}), (32, 32, 3)),
    "average pool": (lambda: zoo.resnet50d(5, **TWO), (33, 32, 3)),
    "reflected": (
        lambda: zoo.resnet18(5, **TWO, stem=part(Stem, pool=max_blur_pool)), (32, 32, 3)
    ),
    "gate": (lambda: zoo.seresnet50(5, **TWO), (32, 32, 3)),
    "group norm": (lambda: zoo.resnet50_gn(5, **{**TWO, "widths": (32, 32, 32, 32)}), (32, 32, 3)),
    "scanned": (lambda: zoo.cifar_resnet(20, 5, scan=True), (16, 16, 3)),
    "volumes": (lambda: zoo.r3d_18(5, **TWO), (4, 16, 16, 3)),
    "one axis": (lambda: zoo.cifar_resnet(8, 5), (24, 1)),
    "maps": (
        lambda: zoo.deeplabv3(zoo.resnet18(**TWO, output_stride=8), 4), (32, 24, 3)
    ),
    "decoder": (lambda: zoo.unet(zoo.resnet18(**TWO), 3), (32, 32, 3)),
}  # fmt: skip


def marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in ("maps", "decoder") else name


@pytest.mark.parametrize("name", [marked(name) for name in SEVERAL])
def test_nets_of_many_operations_are_the_same(name):
    build, image = SEVERAL[name]
    net = build()
    variables = random_variables(net, image)
    forward = module.folded_net(net, variables)
    with cpu.without():
        graph = to_onnx(forward, image)
    assert furthest(graph, forward, np.asarray(normal(2, *image))) < 1e-5
    assert [output.name for output in graph.graph.output] == (
        ["aux", "out"] if name == "maps" else ["output"]
    )


def test_a_difference_is_seen():
    kernel = normal(3, 4)
    graph = to_onnx(lambda x: x @ kernel, (3,))
    x = np.asarray(normal(2, 3))
    assert furthest(graph, lambda x: x @ kernel, x) < 1e-6
    assert furthest(graph, lambda x: x @ kernel * 1.1, x) > 0.05
    assert np.isnan(furthest(graph, lambda x: jnp.full((2, 4), jnp.nan), x))
    with pytest.raises(ValueError, match=r"an output of \(2, 4\): expected \(2, 1, 4\)"):
        furthest(graph, lambda x: (x @ kernel)[:, None], x)


def test_operations_of_arrays_are_numpy_s():
    places = np.array([[2, 0], [1, 1]])

    def several(x):
        return {
            "taken": x[:, places[0]],
            "cut": x[:, 1:3] ** 3 + jnp.flip(x, 1)[:, :2],
            "chosen": jnp.where(x != 0.5, jnp.exp(-x), jnp.ones(4)),
            "sums": jnp.einsum("bi,bj->bij", x, x).max(1),
            "kept": jnp.ones((2, 2)),
        }

    graph = to_onnx(several, (4,))
    x = np.array([[0.5, 1, -2, 3], [4, 0.5, 6, -7]], np.float32)
    outputs = session(graph.SerializeToString()).run(None, {"images": x})
    names = [output.name for output in graph.graph.output]
    for name, value in zip(names, outputs, strict=True):
        np.testing.assert_allclose(value, several(x)[name], rtol=1e-6)
    assert names == sorted(names)


def test_borders_are_not_mixed_up():
    kernel = jax.random.normal(jax.random.key(0), (3, 2, 1, 2))

    def one_sided(x):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 2), ((2, 0), (0, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert furthest(to_onnx(one_sided, (5, 6, 1)), one_sided, np.asarray(normal(2, 5, 6, 1))) < 1e-6


def test_a_graph_that_differs_is_not_written(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr("jresnet.weights.onnx_model.furthest", lambda *_: 0.01)
    with pytest.raises(UsageError, match=r"ONNX graph differs by 1\.0e-02, expected 0\.0001"):
        module.write_onnx(
            tmp_path / "net.onnx", checkpoint.net, checkpoint.variables, None, (32, 32, 3)
        )
    assert not list(tmp_path.iterdir())


def test_what_has_no_counterpart_is_told_in_one_line():
    with pytest.raises(UnsupportedError, match="no counterpart of sort is known"):
        to_onnx(lambda x: jnp.sort(x, 1), (4,))
    net = OneByOne(NETS["decoder"][0].backbone)
    variables = random_variables(net, (8, 8, 3))
    with pytest.raises(
        UsageError, match=r"net OneByOne cannot be written as ONNX .*--batch"
    ) as caught:
        module.write_onnx(None, net, variables, None, (8, 8, 3))
    assert "\n" not in str(caught.value)


def test_the_extra_is_asked_for(checkpoint, command, tmp_path, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "net.onnx"
    status, _, err = command("export", *FLAGS, "--weights", checkpoint.path, "--out", out)
    assert (status, out.exists()) == (2, False)
    assert "onnx is not installed: pip install 'jresnet[onnx]'" in err


def test_weights_of_a_scanned_net_are_stored_once():
    net = zoo.cifar_resnet(20, 5, scan=True)
    variables = random_variables(net, (16, 16, 3))
    graph = to_onnx(module.folded_net(net, variables), (16, 16, 3))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert len(graph.SerializeToString()) < 4.2 * parameters
