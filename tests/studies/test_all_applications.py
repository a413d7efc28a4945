"""The page of all applications: whose result it shows, and that a browser shows all of it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.all_applications import all_applications
from jresnet.errors import UsageError
from jresnet.report import gallery
from jresnet.run.reading import find_runs
from jresnet.studies.all_applications.entries import entry_of
from jresnet.studies.shortcut_worth.applications import (
    ALL,
    CLASSIFICATION,
    DISEASE,
    GAMES,
    KEYPOINTS,
    MASKS,
    SEGMENTATION,
    TRANSFER,
    UPSCALING,
    VIDEO,
)
from tests.browser import needs_browser, pictures_shown

PROVENANCE = {"versions": {"jax": "1"}, "hardware": {}, "commit": "c"}


def write_run(folder: Path, experiment: str, date: str = "2026-11-30", **arguments) -> Path:
    folder.mkdir(parents=True)
    config = {"experiment": experiment, "arguments": arguments, "date": date}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_training(folder: Path, metric: str, value: float | None, pictures: int = 0) -> None:
    """A finished training; with None one that diverged."""
    folder.mkdir(parents=True)
    metrics = {} if value is None else {"test": {metric: value}}
    result = {"metrics": metrics, "seconds": 1.0, "parameters": 10}
    diverged = {} if value is not None else {"diverged": "loss is inf after step 3"}
    (folder / "result.json").write_text(json.dumps(result | diverged))
    lines = [{"step": step, "split": "train", "loss": 1 / step} for step in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pixels = np.full((120, 160, 3), 128, np.uint8)
    entries = [
        gallery.Entry("best", n, f"picture {n}", 0.5, pixels, "caption") for n in range(pictures)
    ]
    if entries:
        gallery.write(folder, "test", entries, [])


@pytest.fixture
def runs(tmp_path):
    """Short trainings of two applications, and longer runs of one of them and of masks."""
    worth = write_run(tmp_path / "runs" / "worth", "experiments.shortcut_worth")
    for depth, error in ((3, 0.02), (9, 0.01)):
        write_training(worth / "classification" / f"residual-{depth}-seed0", "error", error, 2)
        write_training(worth / "classification" / f"plain-{depth}-seed0", "error", 0.4)
    write_training(worth / "video" / "residual-3-seed0", "error", 0.2)
    write_training(worth / "video" / "plain-3-seed0", "error", None)
    write_training(worth / "segmentation" / "residual-2-seed0", "mean_iou", 0.3)
    segment = write_run(tmp_path / "runs" / "segment", "experiments.segment", dataset="sets/camvid")
    for seed, iou in enumerate((0.40, 0.42)):
        write_training(segment / f"small-14-seed{seed}", "mean_iou", iou)
        write_training(segment / f"plain small-14-seed{seed}", "mean_iou", 0.39)
    masks = write_run(
        tmp_path / "runs" / "masks", "experiments.detect", dataset="nuclei", kind="masks"
    )
    write_training(masks / "small-14-seed0", "mask/ap50", 0.807, 9)
    return tmp_path / "runs"


def test_the_own_run_of_an_application_counts_before_the_short_one(runs):
    entry = entry_of(SEGMENTATION, find_runs(runs))
    assert entry.is_own
    assert entry.residual.name == "small-14"
    assert entry.residual.value(SEGMENTATION) == pytest.approx(41)
    assert entry.plain.value(SEGMENTATION) == pytest.approx(39)


def test_the_deepest_net_of_the_short_trainings_counts(runs):
    entry = entry_of(CLASSIFICATION, find_runs(runs))
    assert not entry.is_own
    assert (entry.residual.name, entry.plain.name) == ("residual-9", "plain-9")
    assert entry.residual.value(CLASSIFICATION) == pytest.approx(1)
    video = entry_of(VIDEO, find_runs(runs))
    assert video.plain.value(VIDEO) is None
    assert video.residual.value(VIDEO) == pytest.approx(20)
    # Stopped before the deep twin, the shallow one is none of it.
    (runs / "worth" / "classification" / "plain-9-seed0" / "result.json").unlink()
    stopped = entry_of(CLASSIFICATION, find_runs(runs))
    assert (stopped.residual.name, stopped.plain) == ("residual-9", None)


def test_runs_of_one_experiment_are_told_apart_by_their_arguments(runs, tmp_path):
    assert entry_of(MASKS, find_runs(runs)).residual.value(MASKS) == pytest.approx(80.7)
    assert entry_of(MASKS, find_runs(runs)).plain is None
    assert entry_of(KEYPOINTS, find_runs(runs)).run is None
    roads = write_run(tmp_path / "roads", "experiments.segment", dataset="cityscapes")
    write_training(roads / "small-14-seed0", "mean_iou", 0.7)
    assert entry_of(SEGMENTATION, find_runs(roads)).run is None
    pets = write_run(tmp_path / "pets", "experiments.finetune", dataset="photos/cats_dogs")
    write_training(pets / "finetune-all-seed0", "error", 0.07)
    write_training(pets / "finetune-25-seed0", "error", 0.2)
    assert entry_of(TRANSFER, find_runs(pets)).residual.value(TRANSFER) == pytest.approx(7)
    assert entry_of(DISEASE, find_runs(pets)).run is None


def test_other_scales_other_games_other_agents_and_rehearsals_are_not_the_own_run(tmp_path):
    for scale, value in ((4, 31.0), (2, 37.0)):
        larger = write_run(tmp_path / f"x{scale}", "experiments.upscale", dataset="sr", scale=scale)
        write_training(larger / f"small-{scale}-seed0", "psnr_y", value)
    chosen = entry_of(UPSCALING, find_runs(tmp_path))
    assert chosen.residual.value(UPSCALING) == 37
    assert entry_of(UPSCALING, find_runs(tmp_path / "x4")).run is None
    for number, arguments in enumerate(
        (
            {"game": "freeway", "agent": "ppo"},
            {"game": "breakout", "agent": "pqn"},
            {"game": "breakout", "agent": "ppo", "smoke": True},
        )
    ):
        run = write_run(tmp_path / f"games{number}", "experiments.games", **arguments)
        write_training(run / "small-seed0", "sampled_return", 5.0)
    assert entry_of(GAMES, find_runs(tmp_path)).run is None
    for name, nets in (("games", ("small", "plain small")), ("deep_agents", ("residual-16",))):
        run = write_run(tmp_path / name, f"experiments.{name}", game="breakout")
        for net in nets:
            write_training(run / f"{net}-seed0", "sampled_return", 6.0)
        assert entry_of(GAMES, find_runs(run)).residual.name == nets[0]
    assert entry_of(GAMES, find_runs(tmp_path / "games")).plain.name == "plain small"


def test_a_folder_of_runs_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"^runs=.*runz: expected a folder$"):
        all_applications((tmp_path / "runz",))


def test_a_training_that_is_not_finished_is_no_result(runs):
    (runs / "worth" / "video" / "residual-3-seed0" / "result.json").unlink()
    assert entry_of(VIDEO, find_runs(runs)).run is None


@pytest.fixture
def page(runs, tmp_path):
    study = all_applications((runs,))
    assert study.runs == {}
    (tmp_path / "all").mkdir()
    conclusion = study.conclude(tmp_path / "all", {}, PROVENANCE)
    assert conclusion.summary.startswith(f"4 of {len(ALL)} applications of residual nets")
    assert conclusion.page is not None
    return conclusion.page


def test_every_application_is_on_the_page_with_its_command_and_what_was_published(page):
    text = re.sub(r"&#39;|&#x27;", "'", page.read_text())
    for application in ALL:
        assert application.command in text
        assert application.published.replace("<", "&lt;") in text
    # In the table of contents, in the summary, and in the section of each that has no run.
    assert text.count("Not run here.") == len(ALL) - 4
    assert "diverged" in text
    for href in re.findall(r'<a href="([^"]*)"', text):
        assert (page.parent / href).is_file()


@needs_browser
def test_a_browser_shows_every_picture(page, tmp_path):
    # Two of classification, six of nine masks, and the curves of segmentation and video.
    assert pictures_shown(page, tmp_path) == 2 + 6 + 1 + 1
