"""The examples that a training draws: the right ones, the same on any topology, and again on resuming."""

import dataclasses
import io
import json
import math

import numpy as np
import optax
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jresnet.errors import UsageError
from jresnet.report import gallery as report
from jresnet.report.run import write_run_report
from jresnet.run.launch import launch
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import Scores, Shows
from jresnet.train.gallery import Gallery, chosen, rows_at
from jresnet.train.loop import Plan, fit
from tests.commands.scenes import PredictedScene, Scenes
from tests.killable import killable
from tests.nets import apply
from tests.tasks import toys
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.toy import DATA, PLAN, classify, train

SCENE = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)


def draw(folder, devices=1, data=None, pictures=9, **changes):
    plan = dataclasses.replace(SCENE, **changes)
    data = data or Scenes()
    mesh = make_mesh(devices)
    return fit(PredictedScene(), optax.adam(1e-2), data, plan, folder, mesh=mesh, pictures=pictures)


def record(folder):
    return json.loads((folder / "pictures" / "pictures.json").read_text())


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return folder, draw(folder)


@dataclasses.dataclass(frozen=True)
class Dying(Scenes):
    """Data of a process that dies while examples are drawn, or when the fifth batch is wanted."""

    late: bool = False

    def examples(self, split, host):
        batches = self._data.examples(split, host)
        if not self.late:
            return batches
        evaluations.append(split)
        if len(evaluations) == 3:  # two evaluations, then scores
            raise Killed
        return batches

    def train(self, start, host):
        for number, batch in enumerate(self._data.train(start, host), start):
            if number == 4 and not self.late:
                raise Killed
            yield batch


evaluations: list[str] = []


@pytest.mark.parametrize("late", [False, True])
def test_a_killed_and_resumed_run_leaves_the_same_pictures(late, drawn, tmp_path):
    evaluations.clear()
    with pytest.raises(Killed):
        draw(tmp_path, data=Dying(late=late))
    assert not (tmp_path / "pictures").exists()
    resumed = draw(tmp_path)
    assert_bit_equal(resumed.state, drawn[1].state)
    assert contents(tmp_path) == contents(drawn[0])


def test_pictures_change_nothing_else(drawn, tmp_path):
    without = draw(tmp_path, pictures=0)
    assert not (tmp_path / "pictures").exists()
    assert_bit_equal(without.state, drawn[1].state)
    names = "metrics.jsonl"
    assert (tmp_path / names).read_bytes() == (drawn[0] / names).read_bytes()


def test_eight_devices_draw_what_one_draws(drawn, tmp_path):
    draw(tmp_path, devices=8)
    one, eight = record(drawn[0]), record(tmp_path)
    assert [p["group"] for p in one["pictures"]] == [g for g in ("worst", "median", "best") for _ in range(3)]  # fmt: skip
    for pair in zip(one["pictures"], eight["pictures"], strict=True):
        assert pair[0]["score"] == pytest.approx(pair[1]["score"], abs=0.02)  # of 144 pixels


def test_examples_are_the_worst_the_median_and_the_best_by_hand(drawn):
    data, variables = Scenes(), drawn[1].state.evaluated
    (image, truth) = (toys.scenes(19, 1)[name] for name in ("image", "map"))
    logits, _ = apply(PredictedScene().model, variables, image / np.float32(255), train=False)
    scores = (np.asarray(logits).argmax(-1) == truth).mean((1, 2))
    assert data.size("test") == 19
    order = np.argsort(scores, kind="stable")
    wanted = [*order[:3], *order[8:11], *order[:-4:-1]]
    pictures = record(drawn[0])["pictures"]
    assert [p["index"] for p in pictures] == wanted
    assert [p["score"] for p in pictures] == pytest.approx(scores[wanted])
    first = pictures[0]
    assert first["name"] == f"test {order[0]}"
    pixels = np.asarray(Image.open(drawn[0] / "pictures" / first["file"]))
    assert (pixels[:, :12] == image[order[0]]).all()


def test_tensorboard_shows_the_same_examples_at_each_evaluation(drawn):
    events = EventAccumulator(str(drawn[0]), size_guidance={"images": 0}).Reload()
    shown = events.Images("test/examples")
    assert [event.step for event in shown] == [3, 6]
    grids = [np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in shown]
    assert grids[0].shape == grids[1].shape
    image = toys.scenes(19, 1)["image"]
    assert (grids[0][:12, :12] == image[0]).all()
    assert (grids[1][:12, :12] == image[0]).all()
    assert (grids[0] != grids[1]).any()  # the net has learnt meanwhile


def test_the_page_shows_pictures_first_with_their_legend(drawn):
    metrics = {"test": {"loss": 1.0}}
    page = write_run_report(drawn[0], "scene", "Scenes.", metrics, 7, {}).read_text()
    places = [
        page.index(words) for words in ("<h2>Examples", "The worst", "The best", "<h2>Result")
    ]
    assert places == sorted(places)
    assert page.count('<div class="gallery wide">') == 3
    assert page.count("image/png;base64") == 9 + 1
    assert page.count('<i style="background: #E69F00"></i>truth') == 1


def test_a_damaged_record_is_one_line(drawn, tmp_path):
    (tmp_path / "pictures").mkdir()
    for text in ("{}", "[]", '{"split": "a", "legend": [], "pictures": [{"file": "a.png"}]}'):
        (tmp_path / "pictures" / "pictures.json").write_text(text)
        with pytest.raises(UsageError, match=r"pictures\.json' is damaged"):
            report.section(tmp_path)
    assert report.section(tmp_path / "none") is None


def test_a_classifier_shows_its_pictures_as_they_are(tmp_path):
    fitted = train(tmp_path, PLAN, pictures=6)
    pictures = record(tmp_path)["pictures"]
    assert record(tmp_path)["split"] == "test"
    batch = {k: np.concatenate([b[k] for b in DATA.examples("test")]) for k in ("image", "label")}
    task = classify()
    logits = apply(task.model, fitted.state.evaluated, task.normalize(batch["image"]), train=False)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    scores = np.log(shares[np.arange(37 + 11), batch["label"]])[:37]  # the rest is padding
    assert pictures[0]["index"] == scores.argmin()
    assert pictures[-2]["index"] == scores.argmax()
    for picture in pictures:
        at = picture["index"]
        label, likeliest = batch["label"][at], shares[at].argmax()
        share = f"{shares[at].max():.0%}"
        assert picture["caption"] == f"true {label}, predicted {likeliest} ({share})"
        assert picture["colour"] == ("#0072B2" if label == likeliest else "#D55E00")
        assert picture["name"] == f"synthetic test example {at}"
        pixels = np.asarray(Image.open(tmp_path / "pictures" / picture["file"]))
        assert (pixels == batch["image"][at]).all()


def test_a_study_draws_only_if_asked(tmp_path):
    flags = ["--steps", "2", "--only", "whole", "--devices", "1"]
    launch(killable, [*flags, "--workdir", str(tmp_path / "plain")])
    assert not (tmp_path / "plain" / "whole" / "pictures").exists()
    launch(killable, [*flags, "--pictures", "3", "--workdir", str(tmp_path / "asked")])
    names = {path.name for path in (tmp_path / "asked" / "whole" / "pictures").iterdir()}
    assert names == {"worst-01.png", "median-01.png", "best-01.png", "pictures.json"}
    assert "<h2>Examples" in (tmp_path / "asked" / "whole" / "report.html").read_text()


def test_fewer_pictures_leave_none_of_more(drawn, tmp_path):
    gallery = Gallery(PredictedScene(), Scenes(), make_mesh(1), tmp_path, 6)
    gallery.write(drawn[1].state.evaluated, "test", lambda: None)
    assert len(contents(tmp_path)) == 7
    dataclasses.replace(gallery, count=3).write(drawn[1].state.evaluated, "test", lambda: None)
    assert set(contents(tmp_path)) == {
        "worst-01.png", "median-01.png", "best-01.png", "pictures.json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "count", "groups"),
    [
        ([3.0, 1.0, 2.0], 3, {"worst": [1], "median": [2], "best": [0]}),
        ([3.0, 1.0, 2.0], 300, {"worst": [1], "median": [2], "best": [0]}),
        ([3.0, math.nan, 2.0, -math.inf], 1, {"worst": [1], "median": [3], "best": [0]}),
        ([0.0] * 6, 6, {"worst": [0, 1], "median": [2, 3], "best": [5, 4]}),
        ([5.0, 4.0], 9, {"worst": [1, 0]}),
        ([], 9, {"worst": []}),
    ],
)
def test_ties_nan_and_few_examples(scores, count, groups):
    assert chosen(dict(enumerate(scores)), count) == groups


@dataclasses.dataclass(frozen=True)
class Broken(Scenes):
    """Scenes of which the third is broken: its neighbour stands in for it."""

    def examples(self, split, host):
        for batch in self._data.examples(split, host):
            lost = batch["index"] == 2
            yield batch | {
                "valid": np.where(lost, 0, batch["valid"]).astype(np.float32),
                "broken": lost.astype(np.float32),
            }


def test_a_broken_example_is_neither_scored_nor_drawn(drawn, tmp_path):
    gallery = Gallery(PredictedScene(), Broken(), make_mesh(1), tmp_path, 18)
    gallery.write(drawn[1].state.evaluated, "test", lambda: None)
    assert {p["index"] for p in record(tmp_path)["pictures"]} == {*range(19)} - {2}
    assert gallery.watched(drawn[1].state.evaluated, "test").shape[0] == 7


@dataclasses.dataclass(frozen=True)
class Unscored(toys.Scene):
    """A task that shows, and does not say how good its results are."""

    predict = PredictedScene.predict
    legend = PredictedScene.legend
    show = PredictedScene.show


def test_without_scores_the_first_examples_are_shown(drawn, tmp_path):
    task = Unscored()
    assert isinstance(task, Shows)
    assert not isinstance(task, Scores)
    gallery = Gallery(task, Broken(), make_mesh(1), tmp_path, 4)
    gallery.write(drawn[1].state.evaluated, "test", lambda: None)
    assert [p["index"] for p in record(tmp_path)["pictures"]] == [0, 1, 3]
    section = report.section(tmp_path)
    assert section is not None
    assert section.items[1].title == "The first examples"


def test_rows_come_in_the_order_asked_for():
    rows = list(rows_at(Scenes(), "test", [17, 0, 9]))
    assert [position for position, _ in rows] == [17, 0, 9]
    assert [int(row["index"][0]) for _, row in rows] == [17, 0, 9]
    assert all(row["image"].shape == (1, 12, 12, 3) for _, row in rows)


def test_rows_that_data_picks_are_those_of_its_examples():
    data = toys.scene_data()
    batches = list(data.examples("test", (0, 1)))
    for position, row in rows_at(data, "test", [18, 2]):
        batch = batches[position // 16]
        assert row["index"].tolist() == [position]
        assert row["valid"].tolist() == [1]
        for name in ("image", "map", "boxes", "class"):
            np.testing.assert_array_equal(row[name][0], batch[name][position % 16])
            assert row[name].dtype == batch[name].dtype
