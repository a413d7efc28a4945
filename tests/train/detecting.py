"""A study of one small detector on a folder of images and boxes, to be run by several processes.

python -m tests.train.detecting --dataset FOLDER --workdir FOLDER
"""

from pathlib import Path

from jresnet.data.sources.boxes import Boxes
from jresnet.experiment import Study
from jresnet.recipes.detection import RECIPES
from jresnet.run.launch import launch
from tests.killable import conclude
from tests.models.tiny_detectors import tiny


def detecting(dataset: Path = Path("set"), steps: int = 2) -> Study:
    """Two images a step, at most 32 x 64 pixels, evaluated in the middle and at the end."""
    recipe = RECIPES["small"].changed(steps=steps, batch_size=2, size=(32, 64))
    boxes = Boxes(dataset)
    net = tiny().clone(num_classes=boxes.info().num_classes + 1)
    return Study({"tiny": recipe.experiment(net, recipe.data(boxes, "boxes"))}, conclude)


if __name__ == "__main__":
    launch(detecting)
