"""Starting from variables of another run."""

import jax
import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.scan import stack, unstack
from jresnet.train.state import starting_from
from tests.nets import random_variables
from tests.train.test_checkpoint import state


def parts(variables):
    return {kind: {"backbone": tree["backbone"]} for kind, tree in variables.items()}


@pytest.mark.parametrize("scan", [False, True])
def test_a_start_is_taken_and_the_rest_stays_fresh(scan):
    net = zoo.cifar_resnet(20, scan=scan)
    fresh = state(0, net)
    start = unstack(random_variables(net, (8, 8, 3), seed=9))
    started = starting_from(parts(start), fresh)
    assert jax.tree.structure(started) == jax.tree.structure(fresh)
    expected = stack(start) if scan else start
    for kind in ("params", "batch_stats"):
        backbone = started.variables[kind]["backbone"]
        jax.tree.map(np.testing.assert_array_equal, backbone, expected[kind]["backbone"])
        jax.tree.map(np.testing.assert_array_equal, started.average[kind]["backbone"], backbone)
    jax.tree.map(np.testing.assert_array_equal, started.params["head"], fresh.params["head"])
    jax.tree.map(np.testing.assert_array_equal, started.opt_state, fresh.opt_state)


def test_what_does_not_fit_is_named():
    fresh, start = state(0), random_variables(zoo.cifar_resnet(8, 7), (8, 8, 3))
    with pytest.raises(UsageError, match=r"\['head'\]\['bias'\] is \(7,\), the net has \(10,\)"):
        starting_from(start, fresh)
    with pytest.raises(UsageError, match=r"the net has no \['params'\]\['neck'\] to start from"):
        starting_from({"params": {"neck": np.zeros(3)}}, fresh)
