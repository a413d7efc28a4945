"""Rules of sharding: which one holds where, and those that cannot be followed."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.scan import unstack
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.run.readiness import check_sharding
from jresnet.runtime.mesh import make_mesh
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.setup import initialisation, spread
from jresnet.train.sharding import lay_out, variable_shardings
from jresnet.train.state import create, starting_from
from jresnet.weights.run import read_variables
from tests.nets import random_variables
from tests.tasks import identities
from tests.train.sharded import RULES, sharded
from tests.train.test_loop import assert_bit_equal
from tests.train.test_sharding import SPLITS
from tests.train.toy import DATA, classify


def variables(task=None):
    task = task or identities.Identify()
    shapes = {
        n: jax.ShapeDtypeStruct((16, *x.shape[1:]), x.dtype) for n, x in SPLITS["train"].items()
    }
    return jax.eval_shape(task.init, jax.random.key(0), shapes)


def specs(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.sharding.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if leaf.sharding.spec != P()
    }


def test_the_first_rule_that_is_found_decides_and_the_rest_is_whole():
    rules = [("params/dense1", P()), ("dense./kernel", P("model")), ("kernel", P(None, "model"))]
    layout = variable_shardings(variables(), rules, make_mesh(8, 4))["params"]
    assert layout["dense1"]["kernel"].spec == P()
    assert layout["dense2"]["kernel"].spec == P("model")
    assert layout["head"]["kernel"].spec == P(None, "model")
    assert layout["dense2"]["bias"].spec == P()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("haed", P())], r"sharding=('haed', P()): expected a regex found in a path such as params/head/kernel"),
        ([("head", P()), ("head/kernel", P("model"))],
         r"sharding=('head/kernel', P('model',)): expected a regex found in a path that no earlier rule takes"),
        ([("(", P())], "sharding=('(', P()): expected a regular expression (missing )"),
        ([("head", P("modle"))], "sharding=('head', P('modle',)): expected axes 'data' or 'model', or None, for params/head/kernel (16, 10000)"),
        ([("head", P(None, None, "model"))], "expected at most 2 entries for params/head/kernel (16, 10000)"),
        ([("head", P("model", "model"))], "expected 'data' or 'model' once each for params/head/kernel"),
        ([("dense2/bias", P(("data", "model"))), ("head", P(None, ("data", "model")))], None),
        ([("dense1/bias", P("model")), ("head", P(P.UNCONSTRAINED))], "expected axes"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_followed_is_one_line(rules, words):
    def lay():
        variable_shardings(variables(), rules, make_mesh(8, 4))

    if words is None:
        return lay()
    with pytest.raises(UsageError) as caught:
        lay()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_axis_that_does_not_divide_says_what_would():
    with pytest.raises(UsageError) as caught:
        variable_shardings(variables(), RULES, make_mesh(3, 3))
    assert str(caught.value) == (
        "sharding=('head/kernel$', P(None, 'model')): expected dimension 1 to be a multiple of 3, "
        "the devices of 'model', such as 9999 or 10002, for params/head/kernel (16, 10000)"
    )
    with pytest.raises(
        UsageError, match=r"^model_parallel=3: expected a divisor of the 8 devices: 1, 2, 4, 8$"
    ):
        make_mesh(8, 3)


def test_a_run_is_refused_before_its_folder_is_made(tmp_path, caplog):
    options = RunOptions(workdir=tmp_path / "run", devices=3, model_parallel=3)
    with pytest.raises(UsageError, match="expected dimension 1 to be a multiple of 3"):
        run(sharded, {"steps": 2, "every": 2}, options)
    assert not list(tmp_path.iterdir())
    bare = dataclasses.replace(sharded().runs["heads"], sharding=())
    check_sharding({"heads": bare}, make_mesh(8, 4))
    assert "model_parallel=4: the experiment shards nothing" in caplog.text


def scanned(rules):
    task = dataclasses.replace(classify(), model=zoo.cifar_resnet(26, scan=True))
    example = spread(DATA.example_batch, make_mesh(8, 4))
    optimizer = optax.sgd(0.1, momentum=0.9)
    return initialisation(task, optimizer, 0.9, example, make_mesh(8, 4), rules)[1]


def test_rules_are_of_the_unrolled_net_and_stacked_blocks_follow_where_they_agree():
    spec = P(None, None, None, "model")
    state = scanned(
        [
            (r"stage3/block\d/conv2/kernel", spec),
            (r"batch_stats.*stage3/block[234]/norm1", P("model")),
        ]
    )
    stacked = P(None, *spec)
    assert specs(state.params) == {
        "backbone/stage3/block1/conv2/kernel": spec,
        "backbone/stage3/blocks/conv2/kernel": stacked,
    }
    assert specs(state.opt_state) == {f"0/trace/{k}": v for k, v in specs(state.params).items()}
    assert set(specs(state.model_state).values()) == {P(None, "model")}
    assert len(specs(state.model_state)) == 2
    assert specs(state.average) == {
        f"params/{k}": v for k, v in specs(state.params).items()
    } | specs(state.model_state)
    with pytest.raises(
        UsageError,
        match="expected a rule that lays out params/backbone/stage3/block3/conv2/kernel too, which a scan stacks in one array with",
    ):
        scanned([("params.*stage3/block2/conv2/kernel", spec)])


def test_a_scanned_net_keeps_its_layout_through_a_checkpoint(tmp_path):
    rules = [(r"stage3/block\d/conv2/kernel", P(None, None, None, "model"))]
    abstract = scanned(rules)
    state = jax.tree.map(
        lambda s: jax.device_put(
            np.random.default_rng(0).normal(size=s.shape).astype(s.dtype), s.sharding
        ),
        abstract,
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, {})
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(abstract)
    assert restored is not None
    assert_bit_equal(restored.state, state)
    kernel = restored.state.params["backbone"]["stage3"]["blocks"]["conv2"]["kernel"]
    assert kernel.sharding.spec == P(None, None, None, None, "model")
    unrolled = read_variables(tmp_path)["params"]["backbone"]["stage3"]
    assert_bit_equal(
        unrolled["block3"]["conv2"]["kernel"],
        np.asarray(state.average["params"]["backbone"]["stage3"]["blocks"]["conv2"]["kernel"][1]),
    )


@pytest.mark.parametrize("scan", [False, True])
def test_a_start_from_other_variables_is_laid_out_too(scan):
    task = dataclasses.replace(classify(), model=zoo.cifar_resnet(26, scan=scan))
    mesh = make_mesh(8, 4)
    example = spread(DATA.example_batch, mesh)
    rules = [(r"stage3/block\d/conv2/kernel", P(None, None, None, "model"))]
    initialise, abstract = initialisation(task, optax.adam(0.1), 0.9, example, mesh, rules)
    start = random_variables(zoo.cifar_resnet(26), (8, 8, 3))
    state = starting_from(start, initialise(jax.random.key(0)))
    assert specs(state) == specs(abstract) != {}
    assert_bit_equal(unstack(state.params), start["params"])
    assert_bit_equal(unstack(state.average), start)


def test_moments_of_each_group_and_of_factored_ones_lie_as_they_can():
    task = identities.Identify()
    groups = optax.partition(
        {"head": optax.adam(0.1), "rest": optax.sgd(0.1, momentum=0.9)},
        lambda params: {name: "head" if name == "head" else "rest" for name in params},
    )
    for optimizer, expected in (
        (groups, 2),
        (optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(), 3),
        (optax.adafactor(0.1, min_dim_size_to_factor=8), 0),
    ):
        shapes = jax.eval_shape(
            lambda key, optimizer=optimizer: create(
                task,
                optimizer,
                key,
                {n: jnp.asarray(x[:16]) for n, x in SPLITS["train"].items()},
                False,
            ),
            jax.random.key(0),
        )
        laid = specs(lay_out(shapes, RULES, make_mesh(8, 4)).opt_state)
        assert collections.Counter(laid.values()) == collections.Counter(
            [P(None, "model")] * expected
        )
