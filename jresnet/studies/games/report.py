"""Table and curves of agents that play."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.data.worlds.named import world_named
from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.games import people
from jresnet.studies.games.curves import return_curves
from jresnet.studies.games.watching import episode_strip, random_return, rom_in_table
from jresnet.tasks.play import LONGEST, interquartile_mean

HEADERS = (
    "net", "parameters", "runs", "greedy return", "interquartile mean (95 %)", "median",
    "sampled return", "seconds",
)  # fmt: skip
AFTER = (
    "Each run plays the same episodes, which training has not played, each once: greedily, and by "
    "sampling from the policy; agents of values take an action at random now and then instead. Mean, median and interquartile mean are over the runs' means; the "
    "interval is of the interquartile mean, by percentiles of a bootstrap over runs "
    "(arXiv:2108.13264). It is wide, or too narrow, with few runs; below four the interquartile mean "
    "is the mean."
)
NORMALISED = (
    " Human (%) is the greedy return, human-normalised: 0 is the mean of random actions and 100 "
    "that of a professional tester, of the same source; other papers have other human scores. Those "
    "games last up to half an hour, 27,000 turns; episodes that are cut off earlier have less."
)
STICKY = (
    " Both are of games without sticky actions. Here a frame repeats the action before with a chance "
    "of {sticky:g}, which makes a game harder."
)
LEARNING = (
    "Returns of the episodes that ended in training, where actions are drawn from the policy or partly at random, against "
    "frames; the mean over runs, and where there are several the middle 95 % of such means by a "
    "bootstrap over runs. At first only short episodes have ended."
)
DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the page beside the results.

    - game: by its name.
    - frames: of a training.
    - sticky: that of an Atari game; None or 0 without sticky actions.
    - longest: turns after which an episode of the evaluation is cut off.
    """

    game: str
    frames: int
    sticky: float | None = None
    longest: int = LONGEST


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called NET-seedN."""
    nets = {net: [results[label] for label in labels] for net, labels in by_net(results).items()}
    chance = random_return(facts.game, facts.longest, facts.sticky)
    rows = [row(net, each) for net, each in nets.items()]
    rows.append((chance.title, *[None] * 5, f"{chance.mean:.2f}", None))
    table = Table(HEADERS, rows, AFTER + chance.note)
    rom = rom_in_table(world_named(facts.game))
    sections = [
        Section("Result", [table if rom is None else with_people(table, rom, nets, facts.sticky)])
    ]
    drawn = return_curves(nets, facts)
    sections.append(Section("Training", [picture(drawn, folder / "returns.png", LEARNING)]))
    strips = [
        episode_strip(net, each, folder / f"episode-{net.replace(' ', '-')}.png")
        for net, each in nets.items()
    ]
    sections.append(Section("An episode", strips))
    summary = statement(facts, nets)
    title = f"Agents that play {facts.game}"
    return conclude_study(folder, title, summary, sections, provenance)


def scores(results: Sequence[Result], name: str) -> np.ndarray:
    """A metric of the test split of each run, `[runs]`."""
    return np.array([result.metrics["test"][name] for result in results])


def interval(values: np.ndarray, draws: int = DRAWS) -> tuple[float, float]:
    """The middle 95 % of the interquartile means of runs `[n]` drawn with replacement."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (draws, len(values)))
    low, high = np.percentile([interquartile_mean(each) for each in drawn], (2.5, 97.5))
    return float(low), float(high)


def row(net: str, results: Sequence[Result]) -> tuple[object, ...]:
    """A line of the table."""
    greedy = scores(results, "greedy_return")
    low, high = interval(greedy)
    return (
        net,
        f"{results[0].parameters:,}",
        len(results),
        f"{greedy.mean():.2f}",
        f"{interquartile_mean(greedy):.2f}"
        + (f" ({low:.2f} to {high:.2f})" if len(results) > 1 else ""),
        f"{np.median(greedy):.2f}",
        f"{scores(results, 'sampled_return').mean():.2f}",
        f"{sum(result.seconds for result in results):.0f}",
    )


def with_people(
    table: Table, rom: str, nets: Mapping[str, Sequence[Result]], sticky: float | None = None
) -> Table:
    """The table with a column that compares each net, and random actions, with a person.

    Scores of both are without sticky actions; of runs that were `sticky` the caption says so.
    """
    means = [scores(results, "greedy_return").mean() for results in nets.values()]
    cells = [*(people.normalised(rom, mean) for mean in means), 0.0]
    place = HEADERS.index("greedy return") + 1
    rows = [
        (*row[:place], f"{100 * cell:.1f}", *row[place:])
        for row, cell in zip(table.rows, cells, strict=True)
    ]
    headers = (*table.headers[:place], "human (%)", *table.headers[place:])
    caption = table.caption + NORMALISED + (STICKY.format(sticky=sticky) if sticky else "")
    return Table(headers, rows, caption)


def statement(facts: Facts, nets: Mapping[str, Sequence[Result]]) -> str:
    """The returns of each net, in a sentence."""
    parts = [
        f"{net} {scores(results, 'greedy_return').mean():.2f} greedily and "
        f"{scores(results, 'sampled_return').mean():.2f} by sampling over {counted(len(results))}"
        for net, results in nets.items()
    ]
    return f"Return in {facts.game} after {facts.frames:,} frames: {', '.join(parts)}."


def counted(runs: int) -> str:
    """A number of runs in words."""
    return f"{runs} run{'' if runs == 1 else 's'}"
