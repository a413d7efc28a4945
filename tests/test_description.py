"""Objects to JSON and back: the same net, every difference, and nothing that does harm."""

import dataclasses
import functools
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jresnet.data.augment.flip_and_crop import RandomCrop
from jresnet.data.normalisation import Normalize
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.made_up import MadeUp
from jresnet.data.sources.volumes import Volumes
from jresnet.description import (
    DescriptionError,
    code,
    describe,
    differences,
    rebuild,
    rebuild_optimizer,
)
from jresnet.models import zoo
from jresnet.models.fixup import fixup
from jresnet.models.frames import Frames
from jresnet.models.heads import Classifier, Precomputed
from jresnet.models.published import cards
from jresnet.train.optim import DECAY_KERNELS, by_layer, clipped, lamb, lars, sgd
from jresnet.train.schedules import cosine, polynomial, step_decay
from jresnet.weights.nets import zoo_functions

NETS = {
    f"{name}{dict(card.arguments)}": functools.partial(build, **dict(card.arguments))
    for name, build in zoo_functions().items()
    for card in cards(build)[:1]
}


def as_json(value):
    return json.loads(json.dumps(describe(value)))


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_built_again_field_by_field(name):
    model = NETS[name]()
    again = rebuild(as_json(model))
    assert type(again) is type(model)
    assert as_json(again) == as_json(model)
    assert again.backbone.depths == model.backbone.depths


def test_initializers_inside_of_a_branch_come_back():
    model = fixup(zoo.cifar_resnet(20))
    assert as_json(rebuild(as_json(model))) == as_json(model)


@pytest.mark.parametrize("kind", [LabelMaps, Volumes])
def test_a_folder_comes_back_as_a_path(kind, tmp_path):
    data = rebuild(as_json(kind(tmp_path, classes=("a", "b"))))
    assert data == kind(tmp_path, classes=("a", "b"))
    assert isinstance(data.folder, Path)


def test_other_objects_come_back():
    objects = (
        Normalize((0.5,), (0.25,)),
        RandomCrop(2, "reflect"),
        (1, 2.5, None, "a"),
        MadeUp({"image": jax.ShapeDtypeStruct((8, 4), np.uint8)}, 3),
        jnp.bfloat16,
    )
    for value in objects:
        assert rebuild(as_json(value)) == value
    assert np.isnan(rebuild(as_json(float("nan"))))


def schedule(peak=0.1, drops=(10, 20)):
    return step_decay(peak, drops, warmup_steps=2, warmup_rate=0.01)


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        (zoo.cifar_resnet(20), zoo.cifar_resnet(8), "backbone.depths[0]"),
        (zoo.resnet18(), zoo.resnet18(dtype=jnp.bfloat16), "backbone.dtype"),
        (zoo.resnet18(), zoo.plain(zoo.resnet18()), "backbone.shortcut"),
        (sgd(schedule()), sgd(schedule(0.2)), "init_value"),
        (sgd(schedule()), sgd(schedule(), momentum=0.8), "decay"),
        (optax.adam(1e-3), optax.adam(1e-3, b1=0.8), "b1"),
        ({"a": np.ones(3)}, {"a": np.full(3, 1.5)}, ""),
        (lambda x: x + 1, lambda x: x + 2, ""),
    ],
)  # fmt: skip
def test_a_difference_is_found_and_named(one, other, where):
    actual = list(differences(as_json(one), as_json(other)))
    assert actual
    assert any(where in path for path, *_ in actual), actual
    assert not list(differences(as_json(one), as_json(one)))


def test_a_new_field_and_a_moved_module_are_no_difference():
    old = {"new": "jresnet.models.old:Block", "fields": {"width": 3}}
    new = {"new": "jresnet.models.block:Block", "fields": {"width": 3, "dilation": 1}}
    assert not list(differences(old, new))
    assert list(differences(old, {"name": "jresnet.models.block:Block"}))


def test_a_record_of_a_class_under_its_earlier_name():
    today = as_json(Classifier(Precomputed(), 3))
    earlier = {
        **today,
        "new": "jresnet.models.heads:Classifier",
        "fields": {
            **today["fields"],
            "backbone": {"new": "jresnet.models.heads:Given", "fields": {}},
        },
    }
    again = rebuild(earlier)
    assert (type(again), again.backbone) == (Classifier, Precomputed())
    assert not list(differences(earlier, today))
    assert list(differences(earlier, as_json(Classifier(Frames(Precomputed()), 3))))


def test_code_is_compared_without_comments_and_docstrings(tmp_path):
    sources = {
        "one": "def f(x):\n    return 2 * x\n",
        "same": "def f(x):\n    'Doubles.'\n    return (2*x)  # twice\n",
        "other": "def f(x):\n    return 3 * x\n",
    }
    digests = {}
    for name, source in sources.items():
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        digests[name] = code(runpy.run_path(str(path))["f"])
    assert digests["one"] == digests["same"] != digests["other"]
    typed = {}
    exec("def f(x): return 2 * x\ndef g(x): return 3 * x", typed)  # without a file
    assert code(typed["f"]) != code(typed["g"])


def test_a_function_that_closes_over_itself_ends():
    def count(n):
        return n and count(n - 1)

    assert as_json(count)["closure"]["count"] == {"again": True}


def test_code_that_moved_into_the_library_is_the_same():
    before = {"function": "experiments.x:f.<locals>.<lambda>", "code": "0", "closure": {"n": 1}}
    after = {"function": "jresnet.studies.x:f.<locals>.<lambda>", "closure": {"n": 1}}
    assert not list(differences(before, after))
    assert not list(differences(after, before))
    other = after | {"closure": {"n": 2}}
    assert list(differences(before, other)) == [("n", 1, 2)]
    assert list(differences(before, before | {"code": "1"})) == [("", "0", "1")]


@pytest.mark.parametrize(
    "description",
    [
        {"name": "os:system"},
        {"new": "subprocess:Popen", "fields": {"args": "true"}},
        {"new": "jresnet.data.augment:np.save", "fields": {}},
        {"function": "jresnet.weights.files:save.<locals>.f", "closure": {"path": "x"}},
        {"function": "os:system.<locals>.f", "closure": {"command": "true"}},
        {"name": "jresnet.models.block:os.system"},
        {"name": "jresnet.weights.hub:Path"},
        {
            "function": "jresnet.models.layers:jax._src.xla_bridge.os.system.<locals>.x",
            "closure": {"command": "true"},
        },
        {"name": "jresnet.models.nowhere:Block"},
        {"name": "jresnet.models.block:Nothing"},
        {"name": "experiments.x:f", "code": "0"},
        {"object": "re:Pattern"},
        {},
    ],
)
def test_what_is_no_part_of_a_net_is_refused(description):
    with pytest.raises(DescriptionError):
        rebuild(description)


OPTIMIZERS = {
    "sgd": sgd(schedule(), nesterov=True, decay=DECAY_KERNELS),
    "lars": lars(polynomial(0.1, 30, warmup_steps=2)),
    "lamb": lamb(cosine(0.1, 30)),
    "clipped adam": clipped(optax.adam(1e-2), 0.5),
    "by layer": by_layer(sgd(schedule()), [("a/", 0.5), ("b/", 0.0)]),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_comes_back_and_does_the_same(name):
    tree = {"a": {"kernel": np.ones((3, 2), np.float32)}, "b": {"bias": np.ones(2, np.float32)}}

    @functools.partial(jax.jit, static_argnums=0)
    def steps(optimizer):
        state, params = optimizer.init(tree), tree
        for step in range(12):  # past a change of the rate
            grads = jax.tree.map(lambda x, n=step: 0.3 * x + n, params)
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    optimizer = OPTIMIZERS[name]
    again = rebuild_optimizer(as_json(optimizer))
    one, other = (steps(optax.GradientTransformation(*each)) for each in (optimizer, again))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    "description",
    [
        {"function": "os:walk.<locals>.f"},
        {"function": "jresnet.weights.files:save.<locals>.f", "closure": {"path": "x"}},
        {"function": "optax._src.base:identity.<locals>.nothing"},
        {"function": "optax._src.base:identity.<locals>.init_fn", "closure": {"os": 1}},
        {"function": "jresnet.train.optim:sgd.<locals>.<lambda>", "code": "0"},
        {"new": "optax._src.base:GradientTransformation.__new__", "fields": {}},
    ],
)
def test_other_functions_are_refused(description):
    with pytest.raises(DescriptionError):
        rebuild_optimizer(description)


def test_a_name_is_a_place_in_linen_modules_alone():
    @dataclasses.dataclass(frozen=True)
    class Game:
        name: str

    assert describe(Game("maze")) != describe(Game("rooms"))
    assert describe(nn.Dense(3, name="first")) == describe(nn.Dense(3, name="second"))
