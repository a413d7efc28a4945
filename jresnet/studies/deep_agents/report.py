"""Table, figures and sentences of the study of deep agents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.games.curves import return_curves
from jresnet.studies.games.report import LEARNING, Facts, interval, scores
from jresnet.studies.games.watching import random_return
from jresnet.tasks.play import interquartile_mean

HEADERS = (
    "net",
    "parameters",
    "runs",
    "sampled return",
    "95 % interval",
    "greedy return",
    "seconds",
)
AFTER = (
    "Of the episodes of the evaluation after the last step, which training has not played. The "
    "interval is of the interquartile mean over runs, by percentiles of a bootstrap "
    "(arXiv:2108.13264); with few runs it is too narrow, and below four that mean is the mean."
)
MEANING = (
    "All encoders have one recipe and one way of normalising; a residual one and its plain twin have "
    "the same layers and parameters. He et al. 2015 saw in classifiers that deeper plain nets train "
    "worse and that shortcuts cure it. Whether an agent shows it is open: it learns from data that it "
    "makes itself, and a return says less of the fit than a training error.",
    "Espeholt et al. 2018 (arXiv:1802.01561) saw IMPALA's residual encoder above a shallow one; "
    "arXiv:2503.14858 went to 1024 layers of MLPs, residual and with LayerNorm.",
)
CHANCE = 0.05  # below it a difference is not held to be chance


def conclude(
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called KIND-BLOCKS-seedN."""
    nets = {net: [results[label] for label in labels] for net, labels in by_net(results).items()}
    chance = random_return(facts.game, facts.longest)
    rows = [row(net, each) for net, each in nets.items()]
    rows.append((chance.title, None, None, f"{chance.mean:.2f}", None, None, None))
    summary = statement(facts, nets)
    words = "Sampled return of the evaluation against the number of residual blocks, mean over runs; each dot is a run."  # fmt: skip
    drawn = picture(by_depth(nets, chance.mean, facts.game), folder / "depth.png", words, summary)
    curves = return_curves(nets, facts)
    learning = picture(curves, folder / "returns.png", LEARNING)
    sections = [
        Section("Return against depth", [drawn, Table(HEADERS, rows, AFTER + chance.note)]),
        Section("Learning", [learning]),
    ]
    title = f"Deep agents in {facts.game}"
    return conclude_study(folder, title, summary, sections, provenance, MEANING)


def by_depth(nets: Mapping[str, Sequence[Result]], chance: float, title: str) -> Any:
    """Return against blocks: a line a kind through the means, a dot a run, chance dashed."""
    lines: dict[str, Line] = {}
    depths = sorted({blocks_of(net) for net in nets})
    for kind in ("plain", "residual"):
        means = [returns(nets[f"{kind}-{blocks}"]).mean() for blocks in depths]
        lines[kind] = Line(depths, means)
    lines["random actions"] = Line(depths, [chance] * len(depths), dashed=True)
    figure = line_panels({title: lines}, "residual blocks", "return")
    ax = figure.axes[0]
    for kind, line in zip(("plain", "residual"), ax.get_lines(), strict=False):
        for blocks in depths:
            values = returns(nets[f"{kind}-{blocks}"])
            ax.plot([blocks] * len(values), values, ls="", marker=".", color=line.get_color(), alpha=0.6)  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xticks(depths, [str(blocks) for blocks in depths])
    ax.minorticks_off()
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    return figure


def blocks_of(net: str) -> int:
    """The number at the end of KIND-BLOCKS."""
    return int(net.rsplit("-", 1)[1])


def returns(results: Sequence[Result]) -> np.ndarray:
    """The sampled return of each run, `[runs]`."""
    return scores(results, "sampled_return")


def row(net: str, results: Sequence[Result]) -> tuple[object, ...]:
    """A line of the table."""
    values = returns(results)
    low, high = interval(values)
    return (
        net,
        f"{results[0].parameters:,}",
        len(results),
        f"{values.mean():.2f}",
        f"{low:.2f} to {high:.2f}, middle {interquartile_mean(values):.2f}"
        if len(values) > 1
        else None,
        f"{scores(results, 'greedy_return').mean():.2f}",
        f"{sum(result.seconds for result in results):.0f}",
    )


def statement(facts: Facts, nets: Mapping[str, Sequence[Result]]) -> str:
    """The change with depth of each kind, and whether runs tell it from chance."""
    depths = sorted({blocks_of(net) for net in nets})
    shallow, deep = depths[0], depths[-1]
    said = []
    for kind in ("plain", "residual"):
        one, other = returns(nets[f"{kind}-{shallow}"]), returns(nets[f"{kind}-{deep}"])
        words = f"{kind} {one.mean():.2f} with {counted(shallow)}"
        if deep > shallow:
            words += f" and {other.mean():.2f} with {deep} ({verdict(one, other)})"
        said.append(words)
    return (
        f"Return in {facts.game} after {facts.frames:,} frames: {'; '.join(said)}. With "
        f"{counted(deep)} the residual encoder is {compared(nets, deep)}."
    )


def counted(blocks: int) -> str:
    """A number of blocks in words."""
    return f"{blocks} block{'' if blocks == 1 else 's'}"


def verdict(one: np.ndarray, other: np.ndarray) -> str:
    """Whether the second sample of runs is `worse` or `better`, or why that cannot be said.

    By Welch's test: with three runs a difference of two standard errors is none.
    """
    if len(one) < 2:
        return "one run, no spread known"
    moments = [(runs.mean(), runs.std(ddof=1), len(runs)) for runs in (one, other)]
    test = stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False)
    if not test.pvalue < CHANCE:
        return "no difference beyond chance"
    return "better" if other.mean() > one.mean() else "worse"


def compared(nets: Mapping[str, Sequence[Result]], blocks: int) -> str:
    """The residual net beside its twin of as many blocks, the end of a sentence."""
    plain, residual = (returns(nets[f"{kind}-{blocks}"]) for kind in ("plain", "residual"))
    said = verdict(plain, residual)
    if said in ("better", "worse"):
        return f"{said} than its plain twin"
    above = "above" if residual.mean() > plain.mean() else "not above"
    return f"{above} its plain twin ({said})"
