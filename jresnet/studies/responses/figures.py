"""The figure of layer responses, in the manner of He et al. 2015, figure 7."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from jresnet.report.style import STYLE, assign_colours, layout, literal


@matplotlib.rc_context(STYLE)
def responses(
    nets: Mapping[str, Sequence[float]],
    dashed: Callable[[str], bool] = lambda net: False,
    colour_by: Callable[[str], str] = str,
) -> Figure:
    """Standard deviations against layers: in their order above, by magnitude below.

    Args:
      nets: for each net the deviations of its layers, the first layer first.
      dashed: which nets' lines are dashed.
      colour_by: nets for which this returns the same share a colour.

    Returns:
      A figure of two axes, one below the other.
    """
    figure = Figure(figsize=(9.0, 6.6), layout=layout())
    above, below = figure.subplots(2, 1, sharex=True)
    colours = assign_colours(nets, colour_by)
    for net, values in nets.items():
        look = {"color": colours[net], "ls": "--" if dashed(net) else "-", "lw": 1.8}
        layers = range(1, len(values) + 1)
        above.plot(layers, values, label=literal(net), **look)
        below.plot(layers, sorted(values, reverse=True), **look)
    for ax, label in ((above, "layer"), (below, "layer, sorted by magnitude")):
        ax.set(xlabel=label, ylabel="standard deviation", ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=4)
    return figure
