"""Function matching: its rates, its decay, and who may teach whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.normalisation import IMAGENET
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.recipes.distillation import FUNMATCH, taught
from jresnet.tasks.distil import TEACHER, Distil
from jresnet.weights.layouts import layout_of
from jresnet.weights.nets import Loaded
from tests.nets import random_variables

TEACHING = zoo.cifar_resnet(8, 10)
VARIABLES = random_variables(TEACHING, (32, 32, 3))
LOADED = Loaded(TEACHING, VARIABLES, layout_of(TEACHING, VARIABLES), 3)


def test_the_ramp_has_5000_steps_and_the_decay_is_that_of_the_source():
    epoch = 1_281_167 // FUNMATCH.batch_size
    rates = FUNMATCH.rates(FUNMATCH.batch_size, epoch)
    ramp = FUNMATCH.warmup_epochs * epoch
    assert ramp == pytest.approx(5000, rel=0.01)
    assert float(rates(ramp)) == pytest.approx(0.03)
    assert float(rates(ramp // 2)) == pytest.approx(0.015, rel=1e-3)
    assert float(rates(FUNMATCH.epochs * epoch)) == pytest.approx(0, abs=1e-8)
    params = {"kernel": jnp.full((1,), 2.0), "bias": jnp.ones((1,))}
    optimizer = FUNMATCH.make_optimizer(lambda step: jnp.asarray(0.03))
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], [-0.0003 * 2], rtol=1e-5)
    assert float(updates["bias"][0]) == 0


def test_a_teacher_of_the_same_classes_teaches_alone():
    recipe = FUNMATCH.changed(epochs=1, train_size=32, test_size=32)
    data = ImageData(Synthetic((32, 32, 3), 10, 16, 8), 8, eval_batch_size=8)
    experiment = recipe.experiment(zoo.resnet10t, data)
    learning = taught(experiment, LOADED, 2.0)
    assert isinstance(learning.task, Distil)
    assert (learning.task.share, learning.task.temperature) == (1.0, 2.0)
    assert learning.task.mix == FUNMATCH.mix
    assert learning.task.normalize == IMAGENET  # a file does not tell its own
    assert learning.constants[TEACHER].keys() == VARIABLES.keys()
    assert learning.task.model.num_classes == 10
    with pytest.raises(UsageError, match="task=Distil: expected Classify"):
        taught(learning, LOADED)
    few = ImageData(Synthetic((32, 32, 3), 7, 16, 8), 8, eval_batch_size=8)
    with pytest.raises(UsageError, match="teacher=10 classes: expected 7, the set's"):
        taught(recipe.experiment(zoo.resnet10t, few), LOADED)
