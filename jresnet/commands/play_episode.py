"""`predict` of a run that trained an agent: an episode is played, and left as a film."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from jresnet.commands.outfile import check_empty
from jresnet.commands.trained import load_task
from jresnet.data.worlds.episodes import TEST
from jresnet.data.worlds.world import action_names
from jresnet.errors import UsageError
from jresnet.models.heads.policy import ActionValues
from jresnet.report import episodes
from jresnet.report.figures import save
from jresnet.report.text import format_table
from jresnet.run import ranges
from jresnet.runtime import environment as runtime
from jresnet.runtime.callbacks import usage_errors
from jresnet.storage import write_json
from jresnet.tasks.watch import WATCHED, Episode, watch
from jresnet.text import shown
from jresnet.weights.recorded import Recorded

FILM, STRIP, RECORD = "episode.gif", "episode.png", "episode.json"


@dataclasses.dataclass(kw_only=True)
class Play:
    out: Path | None = None
    """Write episode.gif, episode.png and episode.json into this new or empty folder. By default a
    new one in the current folder, which is named by the run and the episode."""
    episode: int = 0
    """Number of the episode; from 0 on those of the evaluation."""
    sampled: bool = False
    """Draw actions from the policy instead of taking the likeliest."""
    longest: int | None = None
    """Turns after which the episode is cut off; by default those of the run's evaluation, at most
    1,000."""


def plays(recorded: Recorded) -> bool:
    """Whether a run's task has a world to play in."""
    task = recorded.parts.get("task")
    return isinstance(task, dict) and "world" in task.get("fields", {})


def play_episode(recorded: Recorded, argv: Sequence[str]) -> int:
    """Play an episode by the agent of a run, print its return, and leave a film of it.

    Raises UsageError as `load_task` does, and for a folder that holds something.
    """
    prog = f"python -m jresnet predict {recorded.folder}"
    flags = tyro.cli(Play, args=list(argv), prog=prog, description=play_episode.__doc__)
    ranges.check_fields(flags)
    out = unused(recorded, flags) if flags.out is None else flags.out
    check_empty("out", out)
    runtime.prepare()
    task, variables = load_task(recorded)
    agent: Any = task
    if flags.sampled and isinstance(agent.model, ActionValues):
        raise UsageError(f"sampled=True: expected a policy, {type(agent.model).__name__} has none")
    longest = flags.longest or min(agent.longest, WATCHED)
    with usage_errors():
        number = TEST + flags.episode
        episode = watch(agent, variables, number, longest, greedy=not flags.sampled)
    record = told(episode, flags)
    print(format_table(tuple(record), [tuple(record.values())]))
    out.mkdir(exist_ok=True)
    length = getattr(agent.world, "milliseconds", episodes.MILLISECONDS)
    write(episode, out, action_names(agent.world), record, length)
    print(shown(f"written: {out / FILM}, {STRIP} and {RECORD} beside it"))
    return 0


def unused(recorded: Recorded, flags: Play) -> Path:
    """The first name in the current folder, by run and episode, that nothing has."""
    way = "-sampled" if flags.sampled else ""
    name = f"{recorded.folder.resolve().name}-episode{flags.episode}{way}"
    for number in itertools.count(1):
        path = Path(name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
    raise AssertionError("numbers have no end")


def told(episode: Episode, flags: Play) -> dict[str, Any]:
    """The facts of an episode by name, for a line and for JSON."""
    return {
        "episode": flags.episode,
        "actions": "sampled" if flags.sampled else "likeliest",
        "return": float(episode.reward.sum()),
        "turns": len(episode.reward),
        "end": "game over" if episode.terminated else "cut off",
    }


def write(
    episode: Episode,
    folder: Path,
    names: Sequence[str],
    record: dict[str, Any],
    milliseconds: float = episodes.MILLISECONDS,
) -> None:
    """The film, the strip, and what happened turn by turn as JSON. Raises OSError."""
    parts = episode.pictures(), episode.scores, episode.action, names, episode.policy
    (folder / FILM).write_bytes(episodes.film(*parts, milliseconds))
    save(episode.strip(names), folder / STRIP)
    turns = {
        "action": [names[number] for number in episode.action],
        "reward": np.round(episode.reward, 6).tolist(),
        "value": np.round(episode.value, 6).tolist(),
        "probability" if episode.policy else "action_value": np.round(episode.scores, 6).tolist(),
    }
    write_json(folder / RECORD, {**record, "action_names": list(names), **turns})
