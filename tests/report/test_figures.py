import subprocess
import sys

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from jresnet.report import figures, style
from jresnet.report.curves import Record, across_seeds


def run(final: float, seed: int = 0, records: int = 60) -> list[Record]:
    rng = np.random.default_rng(seed)
    steps = range(10, 10 * records + 1, 10)
    out: list[Record] = []
    for step in steps:
        error = final + 0.6 * np.exp(-step / 40) + rng.uniform(0, 0.02)
        rate = {"learning_rate": 0.1 if step < 300 else 0.01}
        out.append({"step": step, "split": "train", "loss": 3 * error, "error": error, **rate})
        if step % 50 == 0:
            out.append(
                {
                    "step": step,
                    "split": "test",
                    "loss": 4 * error,
                    "error": error + 0.05,
                }
            )
    return out


def study(seeds: int) -> dict[str, dict[str, list[list[Record]]]]:
    def nets(**finals: float) -> dict[str, list[list[Record]]]:
        return {
            name.replace("_", "-"): [run(final, seed) for seed in range(seeds)]
            for name, final in finals.items()
        }

    return {
        "Plain nets": nets(plain_20=0.1, plain_56=0.15),
        "Residual nets": nets(ResNet_20=0.09, ResNet_56=0.05),
    }


def ydata(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), np.float64)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_training_curves_has_a_panel_for_each_family_and_a_pair_of_lines_for_each_net():
    figure = figures.training_curves(study(1))
    left, right = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "Plain nets",
        "Residual nets",
    ]
    assert left.get_ylabel() == "error (%)"
    assert left.get_xlabel() == right.get_xlabel() == "iterations"
    assert left.get_shared_y_axes().joined(left, right)
    for ax in figure.axes:
        train, test = ax.lines[0], ax.lines[1]
        assert len(ax.lines) == 4
        assert test.get_linewidth() > train.get_linewidth()
        assert test.get_linestyle() == "-"
        assert train.get_linestyle() == "--"
    assert legend(figure) == ["training, mean over 40 iterations", "test"]


def test_lines_hold_the_smoothed_training_and_the_raw_test_error_in_per_cent():
    panels = study(3)
    train, test = figures.training_curves(panels, window=70).axes[1].lines[2:]
    runs = panels["Residual nets"]["ResNet-56"]
    np.testing.assert_allclose(ydata(train), 100 * across_seeds(runs, "train", "error", 70).mean)
    np.testing.assert_allclose(ydata(test), 100 * across_seeds(runs, "test", "error").mean)


def test_band_is_drawn_from_the_lowest_to_the_highest_seed():
    panels = study(3)
    figure = figures.training_curves(panels)
    (band,) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)][:1]
    wanted = across_seeds(panels["Plain nets"]["plain-20"], "test", "error")
    vertices = np.asarray(band.get_paths()[0].vertices)
    for step, low, high in zip(wanted.steps, wanted.low, wanted.high, strict=True):
        drawn = vertices[vertices[:, 0] == step, 1]
        np.testing.assert_allclose([drawn.min(), drawn.max()], [100 * low, 100 * high])
    assert legend(figure)[2] == "test, lowest to highest of 3 seeds"
    assert not figures.training_curves(study(1)).axes[0].collections


def test_one_colour_for_each_depth():
    figure = figures.training_curves(study(1), colour_by=figures.depth)
    shallow, deep = ([ax.lines[i].get_color() for ax in figure.axes] for i in (1, 3))
    assert shallow == [style.PALETTE[0]] * 2
    assert deep == [style.PALETTE[1]] * 2
    apart = figures.training_curves(study(1))
    assert len({line.get_color() for ax in apart.axes for line in ax.lines}) == 4


def test_names_and_last_values_stand_at_the_ends_and_do_not_overlap():
    panels = {"Nets": {f"net {i}": [run(0.1 + i / 1e4)] for i in range(5)}}
    figure = figures.training_curves(panels)
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    last = 100 * across_seeds(panels["Nets"]["net 0"], "test", "error").mean[-1]
    assert texts[0].get_text() == f"net 0  {last:.2f}"
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.x0 > figure.axes[0].get_window_extent().x1 for box in boxes)
    assert all(box.x1 < figure.bbox.x1 for box in boxes)


def test_y_axis_shows_what_follows_the_first_tenth_or_what_is_asked_for():
    low, high = figures.training_curves(study(1)).axes[0].get_ylim()
    assert low == 0
    assert 30 < high < 50  # the curves start near 70 %
    assert figures.training_curves(study(1), y_max=20).axes[0].get_ylim() == (0, 20)


def test_a_net_that_diverged_is_still_named():
    panels = study(1)
    for record in panels["Plain nets"]["plain-20"][0][5:]:
        record["error"] = float("nan")
    figure = figures.training_curves(panels)
    figure.draw_without_rendering()
    label = figure.axes[0].texts[0]
    assert label.get_text() == "plain-20  nan"
    assert label.get_position()[1] == 1.0
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_a_single_measurement_is_seen():
    records = [{"step": 5, "split": "test", "error": 0.5}]
    figure = figures.training_curves({"Nets": {"net": [records, records]}})
    assert [line.get_marker() for line in figure.axes[0].lines if len(ydata(line))] == ["o"]
    assert legend(figure) == ["test", "test, lowest to highest of 2 seeds"]


def test_other_metrics_keep_their_unit():
    figure = figures.training_curves(study(1), key="loss", ylabel="loss (nats)", scale=1.0)
    assert figure.axes[0].get_ylabel() == "loss (nats)"
    expected = across_seeds(study(1)["Plain nets"]["plain-20"], "test", "loss").mean
    np.testing.assert_allclose(ydata(figure.axes[0].lines[1]), expected)


def test_errors_name_the_net_or_the_panel():
    with pytest.raises(ValueError, match="at least one panel"):
        figures.training_curves({})
    with pytest.raises(ValueError, match="plain-20: expected 'auc'"):
        figures.training_curves(study(1), key="auc")
    with pytest.raises(ValueError, match="'Plain nets' share a colour"):
        figures.training_curves(study(1), colour_by=lambda label: "same")


def test_run_curves_has_loss_error_and_learning_rate():
    records = run(0.05)
    figure = figures.run_curves(records)
    loss, error, rate = figure.axes
    assert (loss.get_ylabel(), loss.get_yscale()) == ("loss (log scale)", "log")
    assert (error.get_ylabel(), error.get_yscale()) == ("error (%)", "linear")
    assert rate.get_ylabel() == "learning\nrate"
    assert rate.get_xlabel() == "iterations"
    assert rate.get_window_extent().height < loss.get_window_extent().height / 2
    raw, smooth, test = error.lines
    np.testing.assert_allclose(
        ydata(raw), [100 * r["error"] for r in records if r["split"] == "train"]
    )
    assert np.ptp(np.diff(ydata(smooth))) < np.ptp(np.diff(ydata(raw)))
    np.testing.assert_allclose(
        ydata(test), [100 * r["error"] for r in records if r["split"] == "test"]
    )
    assert legend(figure) == ["training", "training, mean over 40 iterations", "test"]


def test_run_curves_leaves_out_what_was_not_recorded():
    records = [{"step": i, "split": "train", "loss": 1.0 / i} for i in range(1, 9)]
    figure = figures.run_curves(records)
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss (log scale)"]
    assert legend(figure) == ["training"]
    with pytest.raises(ValueError, match="at least one with a loss"):
        figures.run_curves([])


def test_all_text_is_large_enough_and_the_users_settings_are_untouched():
    before = matplotlib.rcParams["font.size"]
    for figure in (figures.training_curves(study(3)), figures.run_curves(run(0.05))):
        for ax in figure.axes:
            texts = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
            texts += [
                *ax.get_xticklabels(),
                *ax.get_yticklabels(),
                *figure.legends[0].get_texts(),
            ]
            assert min(float(text.get_fontsize()) for text in texts) >= 11
    assert matplotlib.rcParams["font.size"] == before


def test_save_writes_a_png_of_150_dots_an_inch(tmp_path):
    figure = figures.run_curves(run(0.05))
    path = figures.save(figure, tmp_path / "figures" / "run.png")
    height, width = matplotlib.image.imread(path).shape[:2]
    assert (width, height) == pytest.approx(150 * figure.get_size_inches(), abs=1)
    with pytest.raises(ValueError, match=r"ends in \.png"):
        figures.save(figure, tmp_path / "run.pdf")


def test_depth_is_the_last_number_of_a_name():
    assert [figures.depth(name) for name in ("plain-20", "ResNet-20", "v2 110", "lenet")] == [
        "20",
        "20",
        "110",
        "lenet",
    ]


def test_colours_stay_distinct_beyond_the_palette():
    for count in (7, 8, 20):
        assigned = style.assign_colours([str(i) for i in range(count)], str)
        assert len(set(assigned.values())) == count
        # Nothing too light to be read on white.
        assert (
            max(np.dot(colors.to_rgb(c), [0.2126, 0.7152, 0.0722]) for c in assigned.values())
            < 0.75
        )


@pytest.mark.parametrize("wanted", [[0.5, 0.5, 0.5], [0.9, 0.1, 0.12], [0.0, 0.01, 0.02], [0.3]])
def test_spread_keeps_order_and_distance(wanted):
    placed = style.spread(wanted, 0.1)
    assert np.argsort(placed, kind="stable").tolist() == np.argsort(wanted, kind="stable").tolist()
    assert all(np.diff(sorted(placed)) >= 0.1 - 1e-9)
    assert min(placed) >= 0


def test_spread_moves_nothing_that_has_room():
    assert style.spread([0.8, 0.2, 0.5], 0.1) == [0.8, 0.2, 0.5]


def test_neither_jax_nor_pyplot_is_imported():
    code = "import sys, jresnet.report.figures, jresnet.report.html; print('jax' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
