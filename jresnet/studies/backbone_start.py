"""Trained weights under a net for label maps or objects: its backbone starts from them, its heads fresh."""

import contextlib
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jresnet.errors import UsageError
from jresnet.models.headed import Headed
from jresnet.models.published import abstract_variables
from jresnet.models.scan import unstack
from jresnet.tasks.base import Array
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.nets import load_net, run_net, shapes
from jresnet.weights.remote import spelled

PICTURE = (64, 64, 3)


class Start(NamedTuple):
    """Weights to start from.

    - variables: those of the backbone, canonical; None for none.
    - normalize: how the run normalised its images; None for a file, whose images are taken to be
      normalised by ImageNet's statistics.
    """

    variables: dict[str, Any] | None
    normalize: Callable[[Array], Array] | None = None


FRESH = Start(None)


def read_start(weights: Path, net: Headed, name: str, image: tuple[int, ...] = PICTURE) -> Start:
    """The backbone's weights for `net`, out of a file in torch's layout or a run's folder.

    The file may be of any net on the same backbone: a classifier, a detector, or one for label maps; what
    stands beside the backbone is left out. `image` is `[*spatial, channels]` of what the net sees.
    Raises UsageError if the backbones differ, with `name`.
    """
    normalize = None
    with refusing(weights, name):
        if weights.is_dir():
            loaded = load_net(run_net(weights), {}, weights)
            variables = unstack(loaded.variables)
            normalize = loaded.recorded.normalize() if loaded.recorded else None
        else:
            variables = from_torch(files.load(weights), net, new_head=True)
    expected = abstract_variables(net, image)
    return Start(backbone_in(variables, expected, weights, name), normalize)


@contextlib.contextmanager
def refusing(weights: Path, name: str) -> Iterator[None]:
    """Raises UsageError, with `name`, where a checkpoint is not of that net's backbone."""
    try:
        yield
    except UsageError:
        raise
    except (WeightsError, ValueError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=" ...")
        raise UsageError(
            f"weights={spelled(weights)!r}: not of net {name}'s backbone: {reason}"
        ) from error


def backbone_in(variables: Any, expected: Any, weights: Path, name: str) -> dict[str, Any]:
    """The backbone out of a checkpoint's canonical variables.

    Raises UsageError if its arrays are not those of `expected`, the variables of the net `name`.
    """
    stored = _backbone(variables)
    wanted, held = shapes(_backbone(expected)), shapes(stored)
    wrong = sorted(key for key in wanted | held if wanted.get(key) != held.get(key))
    if wrong:
        first = wrong[0]
        raise UsageError(
            f"weights={spelled(weights)!r}: {len(wrong)} arrays are not those of net {name}'s backbone, "
            f"such as {first} {held.get(first, 'missing')}: expected {wanted.get(first, 'none')}"
        )
    return stored


def read_starts(
    weights: Path, nets: Mapping[str, Headed], image: tuple[int, ...] = PICTURE
) -> dict[str, Start]:
    """The weights that each net starts from, as `read_start`."""
    return {name: read_start(weights, net, name, image) for name, net in nets.items()}


def _backbone(variables: Any) -> dict[str, Any]:
    return {
        kind: {"backbone": tree["backbone"]}
        for kind, tree in variables.items()
        if "backbone" in tree
    }
