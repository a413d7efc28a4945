"""Nets of agents, under the names of their papers.

Each is an `Agent`: an `ActorCritic` for policies, an `ActionValues` with `values=True`. Further
keyword arguments replace fields of the backbone. `plain(net)` is the twin without shortcuts.
"""

from typing import Any

from jresnet.models.encoders import Impala, Nature
from jresnet.models.heads.policy import ActionValues, ActorCritic, Agent

STAGES = (16, 32, 32)
DEEP = 8  # blocks a stage from which an encoder is scanned: it is compiled once a width


def impala(
    actions: int,
    width: int = 1,
    blocks: int = 2,
    hidden: int = 256,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
    **backbone: Any,
) -> Agent:
    """IMPALA's deep encoder (arXiv:1802.01561, figure 3), here without its LSTM.

    Args:
        actions: of the game.
        width: factor of the stages' 16, 32 and 32 channels.
        blocks: residual blocks a stage.
        hidden: units between encoder and head.
        values: of actions, not a policy and a value.
        norm: LayerNorm before the hidden units' ReLU.
        dueling: with `values`, of state and advantages.
    """
    usual: dict[str, Any] = {
        "depths": (blocks,) * len(STAGES),
        "widths": tuple(width * stage for stage in STAGES),
        "scan": blocks > DEEP,
    }
    return _headed(Impala(**usual | backbone), actions, hidden, values, norm, dueling)


def small_impala(
    actions: int,
    width: int = 16,
    blocks: int = 1,
    hidden: int = 128,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
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
    }
    return _headed(Impala(**usual | backbone), actions, hidden, values, norm, dueling)


def nature_cnn(
    actions: int,
    hidden: int = 512,
    values: bool = False,
    norm: bool = False,
    dueling: bool = False,
    **backbone: Any,
) -> Agent:
    """The DQN paper's net for 84x84 images (doi:10.1038/nature14236), which has no blocks."""
    return _headed(Nature(**backbone), actions, hidden, values, norm, dueling)


def _headed(
    backbone: Any, actions: int, hidden: int, values: bool, norm: bool, dueling: bool
) -> Agent:
    if dueling and not values:
        raise ValueError(f"dueling={dueling}: expected values=True, a policy has no advantages")
    if values:
        return ActionValues(backbone, actions, hidden, norm, dueling)
    return ActorCritic(backbone, actions, hidden, norm)
