"""An episode as people look at it: a film, and a strip of moments."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from jresnet.report.colours import PALETTE, rgb
from jresnet.report.drawing import enlarged, with_bars
from jresnet.report.style import GREY, STYLE, layout, literal

MOMENTS = 8
# Of planes of things, on black.
PLANES = (*PALETTE[:-1], "#f0e442", "#ffffff", "#999999", "#8c510a")
MILLISECONDS = 100.0  # of a turn in a film
LARGE = 320  # pixels of the longer side of a film's picture, about


def as_pictures(seen: np.ndarray) -> np.ndarray:
    """An agent's views, `[turns, H, W, channels]` in [0, 1], as uint8 `[turns, H, W, 3]`.

    Three channels are red, green and blue, one is grey. Of the four grey pictures that agents of
    Atari see, from 64 pixels on, the last is shown. Any others are planes of things, each in a
    colour of its own; a later plane lies over an earlier one.
    """
    channels = seen.shape[-1]
    if channels == 3:
        pictures = seen
    elif channels == 1 or min(seen.shape[1:3]) >= 64:
        pictures = np.repeat(seen[..., -1:], 3, -1)
    else:
        pictures = np.zeros((*seen.shape[:3], 3))
        for plane in range(channels):
            # A plane as strong as it is: those of trails and of what flashes are not all or nothing.
            strength = np.clip(seen[..., plane, None], 0, 1)
            colour = np.array(rgb(PLANES[plane % len(PLANES)])) / 255
            pictures = (1 - strength) * pictures + strength * colour
    return np.rint(255 * np.clip(pictures, 0, 1)).astype(np.uint8)


def overlaid(pictures: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Grey pictures `[turns, H, W, 3]`, red where saliency `[turns, H, W]` is high in that turn."""
    highest = np.maximum(saliency.max((1, 2), keepdims=True), 1e-12)
    heat = (saliency / highest)[..., None]
    grey = 0.6 * pictures.mean(-1, keepdims=True)
    hot = np.array([255.0, 64.0, 32.0])
    return np.rint((1 - heat) * grey + heat * hot).astype(np.uint8)


def shares(scores: np.ndarray) -> np.ndarray:
    """Values of actions `[turns, actions]` between the lowest and the highest of the episode."""
    low, high = scores.min(), scores.max()
    return (scores - low) / max(high - low, 1e-12)


def film(
    pictures: np.ndarray,
    scores: np.ndarray,
    actions: np.ndarray,
    names: Sequence[str],
    policy: bool = True,
    milliseconds: float = MILLISECONDS,
) -> bytes:
    """A GIF: each picture beside a bar for each action, dark where that action was taken.

    Args:
        pictures: uint8 `[turns, H, W, 3]`.
        scores: probabilities `[turns, actions]`, or values of actions, whose bars are empty at the
            lowest of the episode and full at the highest.
        actions: those taken, `[turns]`.
        names: of all actions.
        policy: whether `scores` are probabilities.
        milliseconds: of a turn, rounded to the hundredths of a second that a GIF can tell.
    """
    frames = []
    lengths = scores if policy else shares(scores)
    for picture, row, length, action in zip(pictures, scores, lengths, actions, strict=True):
        bars = [(name, float(share)) for name, share in zip(names, length, strict=True)]
        texts = None if policy else [f"{score:.2f}" for score in row]
        drawn = with_bars(enlarged(picture, LARGE), bars, int(action), texts)
        frames.append(Image.fromarray(drawn))
    palette = [frame.quantize(64) for frame in frames]
    stream = io.BytesIO()
    palette[0].save(
        stream,
        "GIF",
        save_all=True,
        append_images=palette[1:],
        duration=10 * max(1, round(milliseconds / 10)),
        loop=0,
    )
    return stream.getvalue()


def moments(rewards: np.ndarray, count: int = MOMENTS) -> list[int]:
    """Turns to show: evenly over the episode, each moved to the next reward before the one after."""
    turns = len(rewards)
    places = sorted({int(place) for place in np.linspace(0, turns - 1, min(count, turns))})
    shown = []
    for place, end in zip(places, [*places[1:], turns], strict=True):
        later = np.flatnonzero(rewards[place:end])
        shown.append(place + int(later[0]) if len(later) else place)
    return shown


@matplotlib.rc_context(STYLE)
def strip(
    pictures: np.ndarray,
    hot: np.ndarray,
    scores: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    value: np.ndarray,
    names: Sequence[str],
    ylabel: str = "probability",
) -> Figure:
    """Moments of an episode: the game, what mattered, what the agent thought of each action.

    `pictures` and `hot`, those of `overlaid`, are uint8 `[turns, H, W, 3]`, `scores` `[turns,
    actions]`. Below them are the return so far and the value, turn by turn.
    """
    shown = moments(rewards)
    figure = Figure(figsize=(1.55 * len(shown) + 0.8, 6.6), layout=layout())
    grid = figure.add_gridspec(4, len(shown), height_ratios=(1.3, 1.3, 1, 1.3))
    top = max(1.0, float(scores.max()))
    for column, turn in enumerate(shown):
        for row, picture in enumerate((pictures[turn], hot[turn])):
            ax = figure.add_subplot(grid[row, column])
            ax.imshow(picture, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(visible=False)
            if row == 0:
                gain = f", {rewards[turn]:+g}" if rewards[turn] else ""
                ax.set_title(f"turn {turn + 1}{gain}", fontsize=11)
        ax = figure.add_subplot(grid[2, column])
        taken = np.arange(len(names)) == actions[turn]
        ax.bar(range(len(names)), scores[turn], color=np.where(taken, PALETTE[0], GREY).tolist())
        ax.set_ylim(min(0.0, float(scores.min())), top)
        small = 9 if len(names) <= 6 else 6
        ax.set_xticks(range(len(names)), [literal(n) for n in names], fontsize=small, rotation=60)
        ax.set_yticks([0, top] if column == 0 else [])
        if column == 0:
            ax.set_ylabel(ylabel, fontsize=10)
    ax = figure.add_subplot(grid[3, :])
    turns = np.arange(1, len(rewards) + 1)
    ax.plot(turns, np.cumsum(rewards), color=PALETTE[0], lw=2, label="return so far")
    ax.plot(turns, value, color=PALETTE[1], lw=1.2, label="value of what is seen")
    ax.set_xlabel("turn")
    ax.legend(loc="upper left", ncols=2)
    return figure
