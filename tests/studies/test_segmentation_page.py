"""The page of the study of label maps: its pictures, and the scores that were asked for."""

import functools
import json

import pytest

from jresnet.data.sources.label_maps import LabelMaps
from jresnet.experiment import Result, Study
from jresnet.run.launch import launch
from jresnet.studies.segmentation.report import PICTURES, Facts, conclude, further
from jresnet.tasks.scales import Scales
from jresnet.tasks.windows import Windows
from tests.commands.test_maps import RECIPE, folder_of_maps
from tests.tasks.test_segment import Pixelwise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of one net in windows, with all that can be measured."""
    folder = tmp_path_factory.mktemp("study")
    maps = LabelMaps(folder_of_maps(folder / "maps"), ("dark", "bright"))

    def study():
        data = RECIPE.data(maps, True, batch_size=2, eval_batch_size=2)
        evaluation = {"windows": Windows(RECIPE.crop), "views": Scales((1.0,), mirrored=True)}
        experiment = RECIPE.experiment(Pixelwise(), data, boundaries=True, **evaluation)
        runs = {"tiny-seed0": experiment}
        return Study(runs, functools.partial(conclude, runs, Facts({})), pictures=PICTURES)

    launch(study, ["--devices", "1", "--workdir", str(folder / "run")])
    return folder / "run"


@pytest.mark.slow
def test_worst_middle_and_best_pictures_are_shown_without_being_asked_for(folder):
    record = json.loads((folder / "tiny-seed0" / "pictures" / "pictures.json").read_text())
    groups = [picture["group"] for picture in record["pictures"]]
    assert groups == [group for group in ("worst", "median", "best") for _ in range(2)]  # of six
    page = (folder / "report.html").read_text()
    assert "Pictures, by tiny" in page
    assert page.count('image, truth, prediction"') == len(groups)
    assert page.index("Pictures, by tiny") < page.index(">Result<")


@pytest.mark.slow
def test_the_table_has_the_scores_that_were_asked_for(folder):
    page = (folder / "report.html").read_text()
    for heading in ("mean IoU of the views", "Hausdorff 95", "surface distance", "missed"):
        assert heading in page
    metrics = json.loads((folder / "tiny-seed0" / "result.json").read_text())["metrics"]["test"]
    assert f"{metrics['mean_hausdorff95']:.3f}" in page


def test_without_them_there_is_no_such_table(tmp_path):
    usual = dict.fromkeys(("mean_iou", "mean_dice", "pixel_accuracy", "mean_accuracy"), 0.5)
    results = {"tiny-seed0": Result({"test": usual}, 1.0, 56, tmp_path)}
    assert further({"tiny": ["tiny-seed0"]}, results) == []
