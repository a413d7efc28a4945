"""Label maps that are killed and resumed to the same bits: pictures of mixed sizes, and volumes."""

import numpy as np
import pytest
from PIL import Image

from jresnet.data.buckets import Bucketed
from jresnet.data.normalisation import Prepared
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.volumes import Volumes
from jresnet.data.with_map import FitWithMap
from jresnet.models import zoo
from jresnet.recipes.volumes import RECIPES
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.segment import Segment
from jresnet.tasks.windows import Windows
from jresnet.train.loop import Plan, fit
from tests.commands.conftest import write_image
from tests.data.volumes import decathlon
from tests.tasks.test_segment import Pixelwise
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying, fields

PLAN = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)
SMALL = RECIPES["small"].changed(
    steps=6, patch=(8, 8, 8), depths=(1, 1), widths=(4, 8), strides=(1, 2)
)


def mixed(folder):
    """Pictures of two sizes, trained and evaluated in a bucket each, evaluated in windows."""
    for split in ("train", "val"):
        for number in range(6):
            size = (8, 16) if number % 2 else (16, 8)
            pixels = write_image(folder / split / "images" / f"{number}.png", number, size)
            path = folder / split / "labels" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels[..., 0] > 127).astype(np.uint8)).save(path)
    buckets = Bucketed((FitWithMap((8, 16)), FitWithMap((16, 8))))
    data = ImageData(
        LabelMaps(folder, ("dark", "bright")), 2, 2, train_transform=buckets,
        eval_transform=buckets, threads=1,
    )  # fmt: skip
    task = Segment(Pixelwise(), lambda x: x / 255.0, windows=Windows((8, 8), margin=1))
    return task, data


def volumes(folder):
    """Random patches, moved and changed at random, of the recipe's net; whole volumes evaluated."""
    pytest.importorskip("nibabel", reason="the extra `medical` is not installed")
    cases = Volumes(decathlon(folder))
    net = zoo.residual_unet(2, (1, 1), (4, 8), (1, 2))
    task = Segment(net, Prepared(), places=SMALL.places, pixel_augment=SMALL.intensity)
    return task, SMALL.data(cases, cases.largest(), threads=1)


@pytest.mark.parametrize("make", [mixed, volumes])
def test_killed_and_resumed_to_the_same_bits(make, tmp_path):
    task, data = make(tmp_path / "set")
    if make is mixed:
        batches = (batch["image"].shape for batch, _ in zip(data.train(), range(6), strict=False))
        assert len(set(batches)) == 2  # steps of both sizes

    def train(name, data=data):
        optimizer = SMALL._optimizer()
        return fit(task, optimizer, data, PLAN, tmp_path / name, "maps", make_mesh(1))

    whole = train("whole")
    with pytest.raises(Killed):
        train("killed", Dying(**fields(data)))
    assert (tmp_path / "killed" / "checkpoints" / "2").is_dir()
    resumed = train("killed")
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
