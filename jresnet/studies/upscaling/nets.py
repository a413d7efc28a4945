"""The nets that enlarging is learnt with, and weights that they start from."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.headed import unrolled
from jresnet.models.heads.upsample import Upscaler
from jresnet.models.published import abstract_variables
from jresnet.models.scan import unstack
from jresnet.tasks.upscale_adversarial import JUDGE
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.matching import flat
from jresnet.weights.remote import spelled
from jresnet.weights.run import CheckpointError, read_variables

NetName = Literal["small", "srresnet", "msrresnet", "edsr_baseline", "edsr_large"]
WIDTH, BLOCKS = 32, 4  # of net small


def small(scale: int, blocks: int = BLOCKS, width: int = WIDTH, **backbone: Any) -> Upscaler:
    """A SRResNet without norms for small machines: PReLU, 3x3 ends, the enlarged input added."""
    return zoo.srresnet(scale, blocks, width, norm=False, ends=3, skip="bicubic", **backbone)


def build(
    name: NetName, scale: int, blocks: int | None = None, width: int | None = None
) -> Upscaler:
    """A net by name; `blocks` and `width` are those of net small. Raises UsageError."""
    if name == "small":
        return small(scale, blocks or BLOCKS, width or WIDTH)
    for argument, value in (("blocks", blocks), ("width", width)):
        if value is not None:
            raise UsageError(f"{argument}={value}: expected none, net {name} has no choice")
    builds = {"srresnet": zoo.srresnet, "msrresnet": zoo.msrresnet}
    builds |= {"edsr_baseline": zoo.edsr_baseline, "edsr_large": zoo.edsr_large}
    return builds[name](scale)


def plain_twin(net: Upscaler) -> Upscaler:
    """The net without shortcuts around its blocks, whose convolutions start at He's scale.

    The branches of a residual net without norms start small. A plain net that did would pass
    nothing on. What reaches over all blocks (the long skip, the enlarged input) stays in both.
    """
    twin = zoo.plain(net)
    return twin.clone(backbone=twin.backbone.clone(branch=BASIC, gate=None))


def family(
    name: NetName, scale: int, blocks: Sequence[int], width: int | None, plain: bool
) -> dict[str, Upscaler]:
    """The nets of a study by their titles; `plain` adds the twins. Arguments as in `build`."""
    nets: dict[str, Upscaler] = {}
    for count in (blocks or (BLOCKS,)) if name == "small" else (None,):
        net = build(name, scale, count, width)
        title = name if count is None else f"{name}-{count}"
        nets |= {title: net, **({f"plain {title}": plain_twin(net)} if plain else {})}
    if name != "small" and blocks:
        build(name, scale, blocks[0])  # which refuses it
    return nets


def check_arrays(variables: Mapping[str, Any], net: Upscaler) -> None:
    """Raise ValueError, naming one, for arrays that are not those of `net`."""
    expected = abstract_variables(unrolled(net), (8, 8, net.channels))
    wanted, stored = (
        {"/".join(path): leaf.shape for path, leaf in flat(tree).items() if path[0] == "params"}
        for tree in (expected, variables)
    )
    for name in wanted | stored:
        if wanted.get(name) != stored.get(name):
            shape = stored.get(name, "missing")
            raise ValueError(f"{name} is {shape}, expected {wanted.get(name, 'none')}")


def read_start(weights: Path, net: Upscaler, name: str) -> dict[str, Any]:
    """Variables for `net` out of a file in torch's layout, or of a run's folder.

    A run's second player is left out. Raises UsageError for those of another net.
    """
    try:
        if weights.is_dir():
            variables = unstack(read_variables(weights / "checkpoints"))
            variables = {
                kind: {key: leaf for key, leaf in tree.items() if key != JUDGE}
                for kind, tree in variables.items()
            }
            check_arrays(variables, net)
            return variables
        return from_torch(files.load(weights), net)
    except (WeightsError, CheckpointError, ValueError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=" ...")
        raise UsageError(f"weights={spelled(weights)!r}: not of net {name}: {reason}") from error
