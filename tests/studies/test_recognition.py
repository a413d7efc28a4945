"""The study of faces: sets of all kinds, the page, the guard, and pictures compared by a run."""

import dataclasses
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments.recognize import recognize
from jresnet.commands.compare_faces import Embedding
from jresnet.commands.trained import Trained
from jresnet.data.alignment import TEMPLATE, Face
from jresnet.data.info import Info
from jresnet.data.sources.landmarks import read_landmarks
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.models import zoo
from jresnet.recipes.recognition import RECIPES
from jresnet.run.launch import launch
from jresnet.studies.recognition.measure import Vectors, confusing, stuck
from jresnet.studies.recognition.nets import family
from jresnet.studies.recognition.report import Facts, conclude, statement, table
from jresnet.studies.recognition.sets import find_faces
from jresnet.studies.recognition.trainings import in_words, margin_of, sampling, trainings
from jresnet.tasks.margins import arcface, combined, cosface, normalised_softmax
from jresnet.tasks.recognise import Recognise
from jresnet.tasks.verification import Pairs
from jresnet.weights.pair_pictures import PairPictures
from tests.faces import folder_of_people, pair_file, shards_of_people

RECIPE = RECIPES["small"].changed(steps=2, batch_size=4, size=(14, 12), features=8)
NET = zoo.iresnet((1,), 8, 0.1, (4,))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    return {
        "people": folder_of_people(root / "people", 6, 6),
        "strangers": folder_of_people(root / "strangers", 3, 6, 10),
        "shards": shards_of_people(root / "shards", 4, 4),
        "lfw": pair_file(root / "lfw.bin", 3, 10),
        "agedb": pair_file(root / "agedb_30.bin", 4, 10),
        "root": root,
    }


def test_people_shards_and_files_of_pairs_in_all_their_roles(places, caplog):
    held = find_faces(places["people"], held_out=2)
    assert held.dataset.info().sizes == {"train": 24, "test": 12}
    assert held.pairs.same.mean() == 0.5
    assert "NOT aligned" in caplog.text
    caplog.clear()
    other = find_faces(places["people"], places["strangers"], aligned=True)
    assert other.dataset.info().sizes == {"train": 36, "test": 18}
    assert other.dataset.info().num_classes == 6
    pickled = find_faces(places["shards"], files=(places["lfw"], places["agedb"]), aligned=True)
    assert pickled.dataset.info().sizes == {"train": 16, "test": 80}
    assert pickled.dataset.info().num_classes == 4
    assert not pickled.named
    assert list(pickled.further) == ["agedb_30"]
    assert pickled.further["agedb_30"].left.min() == 40
    assert not caplog.text


def table_of(path, files, extra=()):
    """Landmarks of pictures of 23 x 28: the template's points, moved to the left by 2 pixels."""
    points = np.array(TEMPLATE) * 23 / 112 - (2, 0)
    numbers = ",".join(f"{number:.3f}" for number in points.ravel())
    lines = ["NAME,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y", *(f'"{n}",{numbers}' for n in files)]
    path.write_text("\n".join([*lines, *extra]) + "\n")
    return path


def test_faces_are_aligned_by_a_table_of_landmarks(places, caplog):
    """Points 2 pixels left of the template: the picture moves 2 pixels to the right."""
    root, people = places["root"], places["people"]
    named = [f"p{person:02}/{number}" for person in range(6) for number in range(1, 7)]
    table = table_of(root / "all.csv", named)
    for held in (find_faces(people, held_out=2, landmarks=table),
                 find_faces(people, places["strangers"], landmarks=table_of(
                     root / "more.csv", [*named, *(f"p{n}/{k}" for n in (10, 11, 12) for k in range(1, 7))]))):  # fmt: skip
        for split in ("train", "test"):
            example = held.dataset.open(split, encoded=True)[3]
            face = Face((23, 23), 1)
            moved = face(example, np.random.default_rng(0))["image"]
            whole = np.asarray(Image.open(io.BytesIO(example["image"])).convert("L"))
            np.testing.assert_allclose(moved[:, 3:22, 0], whole[:23, 1:20], atol=1)
    assert "NOT aligned" not in caplog.text
    find_faces(people, held_out=2, landmarks=table_of(root / "few.csv", named[:34]))
    assert "2 pictures of" in caplog.text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("p00/1,1,2,3", "line 4: 'p00/1,1,2,3': expected a picture's name and 10 numbers"),
        ("p00/1," + ",".join(["nan"] * 10), "line 4: .* 10 numbers"),
        ("p01/2.png" + ",1" * 10, "line 4: 'p01/2.png': expected one line a picture"),
    ],
)
def test_faulty_tables_of_landmarks_are_told_in_one_line(places, tmp_path, line, says):
    table = table_of(tmp_path / "points.csv", ["p01/1", "p01/2"], [line])
    with pytest.raises(UsageError, match=says):
        find_faces(places["people"], held_out=2, landmarks=table)
    strange = table_of(tmp_path / "strange.csv", ["x/1"])
    with pytest.raises(UsageError, match=r"names as 'p00/1\.png'|names as p00/1\.png"):
        find_faces(places["people"], held_out=2, landmarks=strange)
    with pytest.raises(UsageError, match="expected none unless dataset is a folder of people"):
        find_faces(places["people"], held_out=2, landmarks=strange, aligned=True)
    with pytest.raises(UsageError, match=r"recipe small, whose pictures are 28 x 23"):
        recognize(dataset=places["people"], held_out=2, landmarks=strange)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dataset": "single", "held_out": 1}, "pairs=0: expected at least 10 of one person"),
        ({"dataset": "people", "held_out": 2, "pairs": ("missing.csv",)}, "missing.csv line 2: no picture 9 of 'p05'"),
        ({"dataset": "case", "held_out": 1}, "folders 'Ann' and 'ann' differ in case alone"),
        ({"dataset": "shards"}, "pairs missing: tar shards name nobody"),
        ({"dataset": "people", "pairs": ("lfw.bin", "missing.csv")}, "pairs=2 files: expected any number of .bin, or one table"),
        ({"dataset": "people", "held_out": 2, "groups": 5}, "groups=5: expected 1 to 4"),
        ({"dataset": "people", "pairs": ("lfw.bin",), "test_people": "strangers"}, "expected none, lfw.bin has pictures"),
        ({"dataset": "people", "test_people": "people"}, "expected people that are not trained on, 6 are in"),
        ({"dataset": "people", "loss": "softmax", "margin": 0.2}, "margin=0.2: expected none with loss=softmax"),
        ({"pairs": ("missing.csv",)}, "missing.csv: expected a folder of people to test on"),
        ({"dataset": "nowhere"}, "nowhere"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(places, arguments, says):
    root = places["root"]
    (root / "missing.csv").write_text(
        "fold,name1,index1,name2,index2,same\n0,p05,1,p05,9,1\n1,p05,1,p04,1,0\n"
    )
    if not (root / "single").exists():
        folder_of_people(root / "single", 2, 1)
        folder_of_people(root / "case", 1, 2).joinpath("p00").rename(root / "case" / "ann")
        (root / "case" / "Ann").mkdir(exist_ok=True)
        (root / "case" / "Ann" / "1.png").write_bytes(
            (root / "case" / "ann" / "1.png").read_bytes()
        )
        folder_of_people(root / "case" / "..more", 1, 1)
    chosen = dict(arguments)
    for name in ("dataset", "test_people"):
        if name in chosen:
            chosen[name] = root / chosen[name]
    if "pairs" in chosen:
        chosen["pairs"] = tuple(root / name for name in chosen["pairs"])
    with pytest.raises(UsageError, match=re.escape(says)) as error:
        recognize(**chosen)
    assert "\n" not in str(error.value)


def test_the_published_recipes_are_those_of_the_papers(places):
    study = recognize(places["people"], (places["lfw"],), recipe="casia", net="iresnet50", aligned=True, sampled=0.5)  # fmt: skip
    assert list(study.runs) == ["iresnet50-seed0", "plain iresnet50-seed0"]
    experiment = study.runs["iresnet50-seed0"]
    assert experiment.plan.steps == 32_000
    assert experiment.data.batch_size == 512
    task = experiment.task
    assert (task.margin, task.sampled, task.features) == (arcface(64, 0.5), 0.5, 512)
    assert not task.places
    assert not task.pixel_augment
    assert RECIPES["casia"].decays == (20_000, 28_000)
    assert RECIPES["casia"].changed(steps=8000).decays == (5000, 7000)
    # insightface: 25 epochs of 5,179,510 faces in batches of 1,024; a quarter of the rate half way.
    ms1mv3 = RECIPES["ms1mv3"]
    assert (ms1mv3.steps, ms1mv3.batch_size) == (126_450, 1024)
    rates = [float(ms1mv3.rates()(step)) for step in (0, 63_225, 126_450)]
    np.testing.assert_allclose(rates, [0.2, 0.05, 0.0], atol=1e-6)
    assert isinstance(experiment.data.dataset.tested, PairPictures)
    assert recognize(net="resnet18").runs.keys() == {"resnet18-seed0", "plain resnet18-seed0"}


def test_losses_by_name():
    recipe = RECIPES["small"]
    assert margin_of(recipe, None, None) == arcface(16, 0.3)
    assert margin_of(recipe, "arcface", 0.5) == arcface(16, 0.5)
    assert margin_of(recipe, "cosface", None) == cosface(16, 0.35)
    assert margin_of(recipe, "softmax", None) == normalised_softmax(16)
    assert margin_of(recipe, None, None, scale=32) == arcface(32, 0.3)
    assert margin_of(recipe, None, None, (1, 0.3, 0.2)) == combined(16, 1, 0.3, 0.2)
    assert margin_of(recipe, None, None, (1.35, 0, 0), 8) == combined(8, 1.35, 0, 0)
    assert in_words(None, (1.35, 0, 0)) == "combined margins of 1.35, 0, 0"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"margin": 4.0}, r"margin=4.0: expected a margin \(additive=4.0: expected 0 or more and below pi"),
        ({"combined": (1.0, 0.3)}, "combined=1 0.3: expected m1 m2 m3, and neither loss nor margin"),
        ({"combined": (1.0, 0.3, 0.2), "loss": "cosface"}, "expected m1 m2 m3, and neither loss"),
        ({"combined": (0.5, 0.3, 0.2)}, r"combined=0.5 0.3 0.2: expected a margin \(angular=0.5"),
    ],
)  # fmt: skip
def test_what_is_no_margin_is_told_in_one_line(words, says):
    with pytest.raises(UsageError, match=says):
        recognize(**words)


def test_margins_and_the_people_of_a_step_by_command(places, caplog):
    chosen = {"batch_size": 4, "sampled": 0.5, "combined": (1.2, 0.3, 0.1), "scale": 24.0}
    study = recognize(places["people"], held_out=2, aligned=True, **chosen)
    task = study.runs["small-seed0"].task
    assert task.margin == combined(24, 1.2, 0.3, 0.1)
    # Half of four people are two, but a batch may show four.
    assert [record.getMessage() for record in caplog.records] == [
        "sampled=0.5: a step compares with 4 people, 4 of 4 (100 %); a group takes at least as many "
        "as the 4 faces of a batch, or all that it has"
    ]
    wide = Recognise(NET, abs, 10_575, sampled=0.1, groups=10)
    assert sampling(wide, 100) == (
        "sampled=0.1: a step compares with 106 people in each of 10 groups, 1,060 of 10,575 (10 %)"
    )
    assert "512 people in each of 10 groups, 5,120 of 10,575 (48 %); a group" in sampling(wide, 512)


def test_the_pairs_that_confuse():
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.5])
    same = np.array([True, True, False, False, True])
    two, one = confusing(scores, same, 2)
    assert (two.tolist(), one.tolist()) == ([2, 3], [1, 4])
    # A row is missing: its pair is left out, and the others are still those of their positions.
    vectors = Vectors(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1]), np.array([5, 7, 2]))
    pairs = Pairs(np.array([5, 6, 2]), np.array([7, 5, 5]), np.array([True, True, False]), np.arange(3))  # fmt: skip
    cosines, rows = vectors.scored(pairs)
    assert (cosines.tolist(), rows.tolist()) == ([1.0, 0.0], [0, 2])


def result_of(folder, accuracy, spread, losses):
    folder.mkdir()
    records = [{"step": n, "split": "train", "loss": loss, "batch_spread": 0.5} for n, loss in enumerate(losses, 1)]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    return Result(
        {"test": {"accuracy": accuracy, "accuracy_spread": 0.0, "embedding_spread": spread}},
        1.0,
        10,
        folder,
    )


def test_a_stuck_training_is_told_with_its_cause(tmp_path, caplog):
    bad = result_of(tmp_path / "small-seed0", 0.5, 1e-5, [20.0, 3.0])
    line = stuck(bad)
    assert line is not None
    assert "by BatchNorm's running statistics alone" in line
    assert stuck(result_of(tmp_path / "good", 0.9, 0.6, [20.0, 3.0])) is None
    pairs = Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, int))
    (tmp_path / "out").mkdir()
    np.savez(tmp_path / "small-seed0" / "outputs-test.npz", embedding=np.zeros((1, 2)), label=[0], index=[0])  # fmt: skip
    facts = Facts("people", pairs, {}, "arcface")
    conclude({}, facts, tmp_path / "out", {"small-seed0": bad}, {})
    assert "small-seed0: accuracy=0.500 while the loss fell" in caplog.text
    assert "BatchNorm" in (tmp_path / "out" / "report.html").read_text()


def test_rates_that_the_pairs_cannot_measure_have_no_column():
    def facts(count):
        each = np.zeros(count, int)
        return Facts("people", Pairs(each, each, np.zeros(count, bool), each), {}, "arcface")

    assert facts(450).fars == (1e-2,)
    assert facts(10_000).fars == (1e-2, 1e-3)
    assert [facts(10_000).behind(far) for far in (1e-2, 1e-3)] == [100, 10]
    (_, head) = [h for h in table(facts(10_000), {}, {}, {}).headers if "FAR" in h]
    assert head == "TAR at FAR 0.1 % (%; 10 of 10000 pairs)"
    words = str(table(facts(450), {}, {}, {}))
    assert "4 of 450 pairs" in words
    assert "of a picture and of its mirror image" in words
    assert "alone" in str(table(dataclasses.replace(facts(450), flip=False), {}, {}, {}))
    words = statement(facts(1), {"raw pixels": [{"accuracy": 0.5}], "small": [{"accuracy": 0.75}]})
    assert "raw pixels 50.0 %, small 75.0 % right" in words


@pytest.fixture(scope="module")
def trained(places):
    """A study of two tiny nets on held-out people and on files of pairs, and its folder."""

    def tiny(kind: str = "people") -> Study:
        if kind == "people":
            faces = find_faces(places["people"], held_out=3)
            nets = {"tiny": NET, "plain tiny": zoo.plain(NET)}
        else:
            faces = find_faces(places["shards"], files=(places["lfw"], places["agedb"]))
            nets = {"tiny": NET}
        runs = trainings(RECIPE, faces, nets, range(1), gallery=2)
        shown = 2 if faces.named else 0
        facts = Facts("six people", faces.pairs, faces.further, "arcface", shown, faces.named)
        return Study(runs, lambda *rest: conclude(runs, facts, *rest))

    for kind in ("people", "pickled"):
        folder = str(places["root"] / f"run-{kind}")
        launch(tiny, ["--devices", "1", "--kind", kind, "--workdir", folder])
    return {kind: places["root"] / f"run-{kind}" for kind in ("people", "pickled")}


@pytest.mark.slow
def test_the_page_has_curves_pairs_and_every_method(trained):
    folder = trained["people"]
    page = (folder / "report.html").read_text()
    for words in (
        "Nobody in the test is",
        "raw pixels",
        "plain tiny",
        "rank 1 (%)",
        "TAR at FAR 1 %",
        "Consent and bias",
    ):
        assert words in page
    for name in ("roc.png", "cosines.png", "cmc.png"):
        with Image.open(folder / name) as figure:
            assert np.asarray(figure).std() > 5
    assert len(list((folder / "pairs").glob("two-*.png"))) == 6
    assert len(list((folder / "pairs").glob("one-*.png"))) == 6
    assert re.search(r"p0\d/\d\.png and p0\d/\d\.png", page)
    metrics = json.loads((folder / "tiny-seed0" / "result.json").read_text())["metrics"]["test"]
    assert metrics["pairs/same"] == metrics["pairs/different"] == 45
    assert {"rank/1", "far", "threshold", "tar/0.01"} <= metrics.keys()


@pytest.mark.slow
def test_files_of_pairs_are_scored_each_by_its_own(trained):
    folder = trained["pickled"]
    metrics = json.loads((folder / "tiny-seed0" / "result.json").read_text())["metrics"]["test"]
    assert metrics["pairs/same"] == metrics["agedb_30/pairs/different"] == 10
    assert "rank/1" not in metrics
    page = (folder / "report.html").read_text()
    assert "accuracy on agedb_30 (%)" in page
    assert "whether they are trained on, their files do not say" in page
    assert not (folder / "cmc.png").exists()


@pytest.fixture
def command(capsys):
    from jresnet.__main__ import main

    def run(*arguments):
        try:
            status = main(["predict", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        return (status, *capsys.readouterr())

    return run


@pytest.mark.slow
def test_two_pictures_are_compared_at_the_run_s_threshold(trained, places, command, tmp_path):
    run, people = trained["people"] / "tiny-seed0", places["people"]
    test = json.loads((run / "result.json").read_text())["metrics"]["test"]
    status, out, _ = command(run, people / "p03" / "1.png", people / "p03" / "1.png")
    assert status == 0
    assert "1.000" in out
    assert f"threshold {test['threshold']:.3f}: in the run's test" in out
    assert "of 45 pairs of two people" in out
    status, out, _ = command(run, people / "p03" / "1.png", people / "p04" / "2.png", "--out", tmp_path / "new")  # fmt: skip
    assert status == 0
    said = json.loads((tmp_path / "new" / "predictions.json").read_text())
    (file,) = said["files"].values()
    (nearest,) = file["nearest"]
    assert nearest["verdict"] == ("same person" if nearest["similarity"] >= test["threshold"] else "different people")  # fmt: skip
    with np.load(run / "outputs-test.npz") as outputs:  # the same vectors as the run's own test
        unit = outputs["embedding"] / np.linalg.norm(outputs["embedding"], axis=1, keepdims=True)
    assert nearest["similarity"] == pytest.approx(float(unit[0] @ unit[7]), abs=1e-4)
    with Image.open(tmp_path / "new" / file["drawing"]) as drawing:
        assert drawing.size[0] > 200


@pytest.mark.slow
def test_a_run_is_evaluated_again_on_its_pairs(trained, capsys):
    from jresnet.__main__ import main

    run = trained["pickled"] / "tiny-seed0"
    assert main(["evaluate", str(run)]) == 0
    out = capsys.readouterr().out
    test = json.loads((run / "result.json").read_text())["metrics"]["test"]
    for name in ("agedb_30/accuracy", "auc", "embedding_spread"):
        (value,) = re.findall(rf" {name}\s+([\d.]+)", out)
        assert float(value) == pytest.approx(test[name], rel=1e-3)


@pytest.mark.slow
def test_a_gallery_is_searched_person_by_person(trained, places, command, tmp_path):
    run, people = trained["people"] / "tiny-seed0", places["people"]
    (tmp_path / "odd.png").write_bytes(b"no picture")
    probes = (people / "p04" / "2.png", tmp_path / "odd.png")
    status, out, err = command(run, *probes, "--gallery", people, "--threshold", "0.5")
    assert status == 1
    assert "skipped" in err
    assert "odd.png" in err
    first = out.splitlines()[1].split()
    assert first[1:3] == ["p04", "1.000"]  # the picture itself is in the gallery
    assert len(out.splitlines()) == 1 + 5 + 1
    assert "threshold 0.500: its rate of false accepts (FAR) is not known" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "images=1: expected two pictures to compare, or --gallery too"),
        (("--far", "0.3", "--gallery", "."), "far=0.3: expected one of"),
        (("--far", "0.01", "--threshold", "0.5"), "far=0.01: expected none with threshold"),
        (("--gallery", "nowhere"), "gallery=nowhere: expected a folder"),
        (("--crop", "3"), "crop=3: expected none"),
        (("--landmarks", "points.csv"), "points.csv: not a readable list"),
    ],
)
def test_flags_that_do_not_fit_are_refused(trained, places, command, flags, says):
    picture = places["people"] / "p04" / "2.png"
    status, _, err = command(trained["people"] / "tiny-seed0", picture, *flags)
    assert status == 2
    assert says in err


def test_pictures_to_compare_are_aligned_by_their_paths(places, tmp_path, caplog):
    people = places["people"]
    table = read_landmarks(table_of(tmp_path / "points.csv", ["p00/1", "p01/1"]))
    task = SimpleNamespace(predict=dict, unlabelled=labelled)
    net = Trained(task, {}, Face((23, 23), 1), Info("net", class_of=None))  # type: ignore[arg-type]
    embed = Embedding(net, table)
    pixels = embed.pixels(people / "p00" / "1.png")
    whole = np.asarray(Image.open(people / "p00" / "1.png").convert("L"))
    np.testing.assert_allclose(pixels[:, 3:22, 0], whole[:23, 1:20], atol=1)
    cut = embed.pixels(people / "p00" / "2.png")
    assert not np.array_equal(cut, pixels)
    embed.tell_unaligned([people / f"p00/{number}.png" for number in range(1, 5)])
    assert "3 pictures of predict net have no landmarks" in caplog.text


def labelled(file):
    return {"image": file, "label": 0}


def test_the_nets_of_a_study():
    nets = family("iresnet18", RECIPES["casia"], plain=True)
    assert list(nets) == ["iresnet18", "plain iresnet18"]
    assert nets["iresnet18"] == zoo.iresnet18()
