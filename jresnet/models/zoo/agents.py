"""Nets of agents, under the names of their papers.

Each is an `Agent`: an `ActorCritic` for policies, an `ActionValues` with `values=True`. Further
keyword arguments replace fields of the backbone. `plain(net)` is the twin without shortcuts.
"""

from typing import Any

from jresnet.models.block import PREACTIVATION
from jresnet.models.encoders import Impala, Nature
from jresnet.models.heads.policy import ActionValues, ActorCritic, Agent
from jresnet.models.norms import GroupNorm
from jresnet.models.part import part

STAGES = (16, 32, 32)
NORMED: dict[str, Any] = {"order": PREACTIVATION, "norm": part(GroupNorm, groups=1)}
DEEP = 8  # blocks a stage from which an encoder is scanned: it is compiled once a width


def impala(
    actions: int,
    width: int = 1,
    blocks: int = 2,
    hidden: int = 256,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
    atoms: int | None = None,
    noisy: bool = False,
    **backbone: Any,
) -> Agent:
    """IMPALA's deep encoder (arXiv:1802.01561, figure 3), here without its LSTM.

    Args:
        actions: of the game.
        width: factor of the stages' 16, 32 and 32 channels.
        blocks: residual blocks a stage.
        hidden: units between encoder and head.
        values: of actions, not a policy and a value.
        norm: LayerNorm before every ReLU but the encoder's last.
        dueling: with `values`, the sum of a state's value and its actions' advantages.
        atoms: with `values`, bins of the distribution of each; `None` for the mean alone.
        noisy: with `values`, noisy layers in the head.
    """
    usual: dict[str, Any] = {
        "depths": (blocks,) * len(STAGES),
        "widths": tuple(width * stage for stage in STAGES),
        "scan": blocks > DEEP,
    } | (NORMED if norm else {})
    head = {"dueling": dueling, "atoms": atoms, "noisy": noisy}
    return _headed(Impala(**usual | backbone), actions, hidden, norm, values, head)


def small_impala(
    actions: int,
    width: int = 16,
    blocks: int = 1,
    hidden: int = 128,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
    atoms: int | None = None,
    noisy: bool = False,
    **backbone: Any,
) -> Agent:
    """One stage of `width` channels that keeps the size, for boards of 10x10 as MinAtar's.

    `blocks` may be in the hundreds: from 9 on all but the first are one scanned program.
    """
    usual: dict[str, Any] = {
        "depths": (blocks,),
        "widths": (width,),
        "pool": None,
        "scan": blocks > DEEP,
    } | (NORMED if norm else {})
    head = {"dueling": dueling, "atoms": atoms, "noisy": noisy}
    return _headed(Impala(**usual | backbone), actions, hidden, norm, values, head)


def nature_cnn(
    actions: int,
    hidden: int = 512,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
    atoms: int | None = None,
    noisy: bool = False,
    **backbone: Any,
) -> Agent:
    """The DQN paper's net for 84x84 images (doi:10.1038/nature14236), which has no blocks."""
    head = {"dueling": dueling, "atoms": atoms, "noisy": noisy}
    backbone.setdefault("norm", norm)
    return _headed(Nature(**backbone), actions, hidden, norm, values, head)


def _headed(
    backbone: Any, actions: int, hidden: int, norm: bool, values: bool, head: dict[str, Any]
) -> Agent:
    if values:
        return ActionValues(backbone, actions, hidden, norm, **head)
    for name, value in head.items():
        if value:
            raise ValueError(f"{name}={value}: expected values=True, a policy has no such head")
    return ActorCritic(backbone, actions, hidden, norm)
