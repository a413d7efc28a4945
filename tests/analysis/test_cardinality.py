"""The three forms of a ResNeXt block are one function."""

import numpy as np
import pytest

from jresnet.analysis.cardinality import aggregated, split_paths
from jresnet.models.block import BASIC, BOTTLENECK, Block
from tests.nets import normal, random_variables

X = normal(2, 8, 8, 32)


@pytest.mark.parametrize(("cardinality", "width", "strides"), [(4, 8, 1), (8, 8, 2), (1, 16, 2)])
def test_the_three_forms_are_equal(cardinality, width, strides):
    block = Block(BOTTLENECK, width, strides, groups=cardinality)
    variables = random_variables(block, X.shape[1:])
    a, b, c = (aggregated(block, variables, X, form) for form in "abc")
    np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-5)


def test_the_paths_have_the_block_s_weights_once_each():
    variables = random_variables(Block(BOTTLENECK, 8, groups=4), X.shape[1:])
    paths = split_paths(variables, 4)
    for layer, axis in (("conv1", -1), ("conv2", -1), ("conv3", -2)):
        parts = [path["params"][layer]["kernel"] for path in paths]
        whole = variables["params"][layer]["kernel"]
        np.testing.assert_array_equal(np.concatenate(parts, axis), whole)
    # What one path does to another's input channels, a grouped convolution does not have.
    assert paths[0]["params"]["conv2"]["kernel"].shape == (3, 3, 2, 2)


def test_what_has_no_such_forms():
    block = Block(BOTTLENECK, 8, groups=4)
    variables = random_variables(block, X.shape[1:])
    with pytest.raises(ValueError, match="cardinality 3: the inner width is 8"):
        split_paths(variables, 3)
    with pytest.raises(ValueError, match="form 'd': take a, b or c"):
        aggregated(block, variables, X, "d")
    with pytest.raises(ValueError, match="take a bottleneck"):
        aggregated(Block(BASIC, 8), variables, X, "a")
