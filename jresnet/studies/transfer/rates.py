"""A learning rate by a range test: the loss while the rate rises from tiny to far too large."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.html import Section, Table
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.transfer.methods import NAMES

LOWEST, HIGHEST = 1e-5, 10.0
BEYOND = 4.0  # times the lowest loss, where the curve is over
SMOOTHING = 0.9  # of a moving average that is corrected for its beginning

NOTE = (
    "One training a method whose rate rises by the same factor at every step (Smith 2015, "
    "arXiv:1506.01186, section 3.3). The steepest rate is that at which the smoothed loss falls "
    "fastest; a tenth of the rate of the lowest loss is another rule of thumb. Take one of the two, "
    "or less, as a peak rate."
)


class RangeTest(NamedTuple):
    """Rates and smoothed losses up to where the loss is beyond use, and the rates that they suggest."""

    rates: np.ndarray
    losses: np.ndarray
    steepest: float
    tenth: float


def range_test(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """The rates that the losses of one training suggest.

    Args:
        rates: of each step, rising.
        losses: of each step; none is used after one that is not finite.
    """
    values = np.asarray(losses, np.float64)
    finite = int(np.argmin(np.append(np.isfinite(values), False)))
    values, rate = values[:finite], np.asarray(rates, np.float64)[:finite]
    average, smooth = 0.0, []
    for number, value in enumerate(values, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        smooth.append(average / (1 - SMOOTHING**number))
    curve = np.array(smooth)
    over = np.flatnonzero(curve > BEYOND * np.minimum.accumulate(curve))
    end = int(over[0]) if len(over) else len(curve)
    curve, rate = curve[:end], rate[:end]
    lowest = int(curve.argmin())
    if lowest < 2:  # it never falls
        return RangeTest(rate, curve, float(rate[0]), float(rate[lowest]) / 10)
    slopes = np.gradient(curve[: lowest + 1], np.log(rate[: lowest + 1]))
    return RangeTest(rate, curve, float(rate[slopes.argmin()]), float(rate[lowest]) / 10)


def conclude_rates(
    folder: Path, results: Mapping[str, Result], provenance: Mapping[str, object]
) -> Conclusion:
    """Write the table and the curves of runs METHOD-COUNT-seedN with rising rates."""
    tests = {label: tested(result.folder) for label, result in results.items()}
    titles = {label: title(label) for label in tests}
    rows = [
        (titles[label], f"{one.steepest:.2g}", f"{one.tenth:.2g}", f"{one.losses.min():.3f}")
        for label, one in tests.items()
    ]
    lines = {
        titles[k]: Line(np.log10(one.rates).tolist(), one.losses.tolist())
        for k, one in tests.items()
    }
    drawing = line_panels({"": lines}, "decimal logarithm of the learning rate", "smoothed loss")
    words = "Smoothed training loss while the rate rises."
    headers = ["training", "steepest at", "a tenth of the lowest's", "lowest loss"]
    sections = [
        Section(
            "Rates", [Table(headers, rows, NOTE), picture(drawing, folder / "rates.png", words)]
        )
    ]
    told = "; ".join(f"{titles[k]} {one.steepest:.2g}" for k, one in tests.items())
    return conclude_study(folder, "Learning rates", f"Steepest at: {told}.", sections, provenance)


def tested(folder: Path) -> RangeTest:
    """The range test of one training, out of its records."""
    records = [one for one in read_metrics(folder) if one["split"] == "train"]
    return range_test([one["learning_rate"] for one in records], [one["loss"] for one in records])


def title(label: str) -> str:
    """METHOD-COUNT-seedN in words."""
    method, count, seed = label.split("-")
    number = seed.removeprefix("seed")
    return f"{NAMES[method]}, {count}" + (f", seed {number}" if number != "0" else "")
