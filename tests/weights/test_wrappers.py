"""A net within other names: what is taken, what is left out, and what is refused."""

import jax
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.weights.convert import WeightsError, from_torch, to_torch
from jresnet.weights.layouts import CIFAR, TORCHVISION, Layout, UnknownError, locate, recognise
from jresnet.weights.wrappers import unwrapped
from tests.nets import random_variables

NET = zoo.cifar_resnet(8, shortcut="B")
VARIABLES = random_variables(NET, (32, 32, 3))
STATE = to_torch(VARIABLES, NET)
BODY = {n: v for n, v in to_torch(VARIABLES, NET, TORCHVISION).items() if not n.startswith("fc.")}


def wrapped(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.",
     "model.module.", "module.module.", "backbone.", "encoder.", "module.backbone.",
     "model._orig_mod.backbone.", "timm_model.", "_forward_module._orig_mod.model.",
     "_fsdp_wrapped_module.", "visual.trunk.", "ema.module."],
)  # fmt: skip
def test_wrappers_in_any_nesting(prefix, caplog):
    state = wrapped(STATE, prefix) | {f"{prefix}bn1.num_batches_tracked": np.asarray(3)}
    back = from_torch(state, NET)
    jax.tree.map(np.testing.assert_array_equal, back, VARIABLES)
    assert caplog.text == ""


def test_a_compiled_part_and_torch_s_averaged_model():
    state = {f"module.{n.replace('layer1.', 'layer1._orig_mod.')}": v for n, v in STATE.items()}
    state["n_averaged"] = np.asarray(3)
    assert unwrapped(state).keys() == STATE.keys()


def test_names_of_fsdp_are_between_the_layers_too():
    between = "_fsdp_wrapped_module._checkpoint_wrapped_module."
    state = {f"model.{n.replace('layer1.', f'layer1.{between}')}": v for n, v in STATE.items()}
    assert unwrapped(state).keys() == STATE.keys()


def test_a_layout_of_one_s_own():
    """Marks say where the names begin; without them counters go and the rest stays."""
    mine = Layout("mine", lambda path: f"my.{CIFAR.owner(path)}", (r"my\.conv1\.weight",))
    state = wrapped(to_torch(VARIABLES, NET, mine), "module.")
    state["module.my.bn1.num_batches_tracked"] = np.asarray(3)
    jax.tree.map(np.testing.assert_array_equal, from_torch(state, NET, mine), VARIABLES)
    other = Layout("mine", mine.owner, ("absent",))
    unwrapped_state = {name.removeprefix("module."): value for name, value in state.items()}
    back = from_torch(unwrapped_state, NET, other)
    jax.tree.map(np.testing.assert_array_equal, back, VARIABLES)


HEAD = {"fc.weight": np.zeros((128, 64), np.float32), "fc.bias": np.zeros(128, np.float32)}
MLP = {"fc.0.weight": np.zeros((64, 64), np.float32), "fc.2.weight": np.zeros((9, 64), np.float32)}


@pytest.mark.parametrize("head", [HEAD, MLP, {}])
def test_momentum_contrast_gives_the_query_encoder_without_its_last_layers(head, caplog):
    state = {"module.queue": np.zeros((128, 5)), "module.queue_ptr": np.zeros(1)}
    state |= wrapped(BODY | head, "module.encoder_q.")
    state |= wrapped({n: v + 1 for n, v in (BODY | head).items()}, "module.encoder_k.")
    taken = unwrapped(state)
    assert taken.keys() == BODY.keys()
    assert all(np.array_equal(taken[name], BODY[name]) for name in BODY)
    assert "checkpoint's module.encoder_q.* is taken" in caplog.text
    assert "module.queue" in caplog.text


@pytest.mark.parametrize(
    "prefix", ["backbone.", "backbone.bottom_up.", "model.encoder.", "backbone.body."]
)
def test_a_net_without_its_head_within_another(prefix, caplog):
    state = wrapped(BODY, prefix) | {
        "roi_heads.box.weight": np.zeros(3),
        "linear.weight": np.zeros(3),
    }
    taken = unwrapped(state)
    assert taken.keys() == BODY.keys()
    assert recognise(taken) == TORCHVISION
    assert f"checkpoint's {prefix}* is taken; 2 others are left out" in caplog.text
    variables = from_torch(taken, NET, TORCHVISION, new_head=True)
    jax.tree.map(
        np.testing.assert_array_equal,
        variables["params"]["backbone"],
        VARIABLES["params"]["backbone"],
    )
    with pytest.raises(WeightsError, match=r"missing: fc\.bias, fc\.weight"):
        from_torch(taken, NET, TORCHVISION)


def test_a_new_head_passes_over_whatever_stood_there():
    variables = from_torch(BODY | MLP, NET, TORCHVISION, new_head=True)
    assert variables["params"]["head"]["kernel"].shape == (64, 10)
    with pytest.raises(WeightsError, match=r"unexpected: head\.weight"):
        from_torch(BODY | {"head.weight": np.zeros(2)}, NET, TORCHVISION, new_head=True)


def test_names_are_shown_and_not_obeyed(caplog):
    state = wrapped(STATE, "module.") | {"\x1b[31m": np.zeros(1)}
    unwrapped(state)
    from_torch(STATE | {"\x1b[31m": np.zeros(1)}, NET, strict=False)
    assert len(caplog.messages) == 2
    assert all("\\x1b[31m" in text and text.isprintable() for text in caplog.messages)


def test_two_nets_in_one_checkpoint_are_refused():
    state = wrapped(STATE, "module.") | wrapped(STATE, "backbone.")
    with pytest.raises(ValueError, match=r"several nets, backbone\.\* and module\.\*"):
        from_torch(state, NET)
    state = {"_orig_mod.conv1.weight": STATE["conv1.weight"]} | STATE
    with pytest.raises(ValueError, match="differ in wrappers alone"):
        from_torch(state, NET)


def test_a_plain_net_is_not_searched_for_another():
    assert locate([*STATE, *wrapped(STATE, "model.")]) == (CIFAR, "", ())
    with pytest.raises(WeightsError, match=r"unexpected: model\.layer1"):
        from_torch(STATE | wrapped(STATE, "model."), NET)


def test_names_that_only_begin_like_another_code_base_s():
    # The first two are weiaicunzai's; a deep stem of timm's has a second convolution.
    assert (
        recognise(["conv1.0.weight", "conv2_x.0.residual_function.0.weight"]).name == "weiaicunzai"
    )
    with pytest.raises(UnknownError, match=r"conv1\.0\.weight, stage1\.0\.residual\.0\.weight"):
        recognise(["conv1.0.weight", "stage1.0.residual.0.weight"])
    with pytest.raises(UnknownError, match=r"conv1_w, res2_0_branch2a_w"):
        recognise(["conv1_w", "res2_0_branch2a_w"])
    with pytest.raises(UnknownError):
        recognise(["encoder.layer.0.attention.weight"])


@pytest.mark.parametrize("shape", [(), (3,), (8, 3), (8, 0, 3, 3), (1,) * 9])
def test_a_first_convolution_that_is_none(shape):
    state = STATE | {"conv1.weight": np.zeros(shape, np.float32)}
    with pytest.raises(WeightsError, match=r"conv1\.weight .* is no convolution of images"):
        from_torch(state, NET)
