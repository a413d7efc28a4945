"""Clips and videos classified by residual nets, their plain twins, and controls without motion.

    python -m experiments.video
    python -m experiments.video --films digits/
    python -m experiments.video --dataset UCF101/ --recipe ucf --net r3d_18 --weights r3d_18.pth \\
        --views 1 10 30
    python -m experiments.video --dataset kinetics400/ --recipe kinetics --net r2plus1d_18

Without a data set digits of scikit-learn move in eight directions. Video files need PyAV:
pip install 'jresnet[video]'.
"""

import functools
from pathlib import Path

from jresnet.data.info import Dataset
from jresnet.data.sources.clips import Films
from jresnet.data.sources.moving_digits import MovingDigits, write_films
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.recipes.video import RECIPES, RecipeName
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.video.measure import check_views
from jresnet.studies.video.nets import NetName, read_start
from jresnet.studies.video.report import PICTURES, conclude
from jresnet.studies.video.trainings import subjects, trainings

FILMS = {"train": 4800, "test": 800}  # of the digits' 12,000 and 2,376 clips
FILM_EPOCHS = 10  # as many steps as four passes over all clips


def video(
    dataset: Path | None = None,
    films: Path | None = None,
    recipe: RecipeName = "small",
    net: NetName = "small",
    blocks: int | None = None,
    plain: bool = True,
    controls: bool = True,
    weights: Path | None = None,
    lists: int = 1,
    views: tuple[int, ...] = (1,),
    frames: int | None = None,
    stride: float | None = None,
    size: int | None = None,
    resize: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Classification of clips: a 3-D residual net, its plain twin, and controls without motion.

    small: digits that move in 8 directions, 80 classes of digit and direction, 8 frames of 16 x 16
    pixels; AdamW, half a cosine after a ramp. A single frame says nothing about the direction, so
    that a net without the axis of time is right about 12.5 % of them. Frames in a random order
    show the line of motion and not which way along it: 50 % at most.

    kinetics: torchvision's training of the nets of Tran et al. 2018 (arXiv:1711.11248): 45 epochs of
    five clips a video, 16 frames of 112 x 112, every second one, SGD at 0.64 for 1,536 clips, a ramp
    of 10 epochs, a tenth at 20, 30 and 40. Cost: 24 hours on 64 V100 GPUs. Published top-1 on
    Kinetics-400 in %, clip / video, of the paper (18 layers, 16 frames): r3d 52.5 / 64.2, mc3 53.7 /
    64.7, r2plus1d 56.8 / 68.0; 2-D frames 47.0 / 58.9. torchvision's r2plus1d_18: video 67.46.
    Hara et al. 2018 (arXiv:1711.09577) trained their nets another way: video top-1 hara_r3d_18 54.2,
    34 60.1, 50 61.3, 101 62.8.

    ucf: fine-tuning on UCF-101 or HMDB-51 from Kinetics' weights, 60 epochs of SGD from 0.001. Hara
    et al., first split of UCF-101: hara_r3d_18 from scratch 42.4, fine-tuned 84.4.

    r3d_rs: the training of R3D-RS (Du et al. 2021, arXiv:2109.01696) in TensorFlow's model garden:
    350 epochs of batches of 1,024 clips of 32 frames, every second one, SGD at 0.8, half a cosine,
    dropout 0.5, drop-path 0.1, smoothing 0.1, an average of the weights. With 30 views r3d_rs_50 has
    78.2, 101 79.5, 200 80.4.

    Deviations: the published recipes have not been run here. Frames are scaled by their shorter
    side, where torchvision squeezes them to 128 x 171, and parts are cut at that scale, where the
    model garden draws their scale and shape too. Hara et al. fine-tune the last stage and the head
    alone, ucf the whole net; its rate and decay are theirs from memory, its length is ours.

    Args:
        dataset: folder of videos, files or folders of frames: train/CLASS/VIDEO and the same of
            `test` or `val`, or UCF-101, HMDB-51 or Kinetics with their lists. Without it, moving
            digits.
        films: a folder for moving digits as MP4 files of 64 x 64 pixels: 4,800 to train on and 800
            to test. Those that are missing are written, and then they are the data set.
        recipe: which of the above.
        net: small, or a published net.
        blocks: residual blocks a stage of net small, by default 1.
        plain: also train the plain twin, unless weights are given: these had shortcuts.
        controls: also train the same net on frames in a random order and, for net small, one
            without the axis of time on single frames; not with weights.
        weights: a checkpoint in torch's layout or a run's folder that the backbone starts from. Of a
            net for images, such as resnet18 for r3d_18 or resnet50 for hara_r3d_50, kernels are
            inflated along time.
        lists: which of the three splits of UCF-101 and HMDB-51.
        views: clips of each test video, each number measured apart after the training: 1 in the
            middle, 10 along time, 30 with three parts of each of the 10.
        frames: frames of a clip instead of the recipe's.
        stride: frames of the video from one to the next, instead of the recipe's.
        size: height and width of a clip's frames instead of the recipe's.
        resize: pixels that the shorter side is scaled to first, instead of the recipe's.
        epochs: passes over the training videos instead of the recipe's. Of films small makes 10,
            which are as many steps as it takes of all moving digits.
        batch_size: clips a training step instead of the recipe's; the rate scales with it.
        learning_rate: peak rate instead of the recipe's.
        seeds: repetitions.
        workers: processes that decode.
    """
    if dataset is not None and films is not None:
        raise UsageError(f"films={films}: expected none beside dataset, which is read as it is")
    if films is not None and recipe == "small" and epochs is None:
        epochs = FILM_EPOCHS
    chosen = RECIPES[recipe].changed(
        frames=frames, stride=stride, size=size, resize=resize, epochs=epochs,
        batch_size=batch_size, learning_rate=learning_rate,
    )  # fmt: skip
    videos: Dataset = MovingDigits()
    if films is not None:
        write_films(films, FILMS)
        videos = Films(films, lists)
    elif dataset is not None:
        videos = Films(dataset, lists)
    elif changed := {"frames": frames, "stride": stride, "size": size, "resize": resize}:
        for name, value in changed.items():
            if value is not None:
                raise UsageError(
                    f"{name}={value}: expected dataset or films too, digits are as they are"
                )
    check_views(views, videos)
    alone = weights is not None
    info = videos.info()
    nets = subjects(net, info.num_classes, blocks, plain and not alone, controls and not alone)
    start = None if weights is None else read_start(weights, nets[next(iter(nets))].net, net)
    runs = trainings(chosen, videos, nets, range(seed, seed + seeds), start, workers)
    return Study(
        runs,
        functools.partial(conclude, runs, info, views),
        functools.partial(conclude, None, info, ()),
        pictures=PICTURES,
    )


if __name__ == "__main__":
    launch(video)
