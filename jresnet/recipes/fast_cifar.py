"""A short training on CIFAR-10, for one accelerator: ResNet-9's speed with residual blocks.

Page 2018 (DAWNBench's entry of 94 % in 79 s, "How to train your ResNet") is followed in its widths,
its max-pools after the first convolution of a stage, its batch, its rates and its 24 epochs; label
smoothing of 0.2 is of the later parts of the same text.
"""

from typing import Any

from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.augment.windows import RandomErasing
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.pools import window_max
from jresnet.models.shortcuts import Projection
from jresnet.models.stem import Stem, StemConv
from jresnet.tasks.classify import Classify
from jresnet.train.loop import Plan
from jresnet.train.optim import sgd
from jresnet.train.schedules import polynomial, ramped

EPOCHS, WIDTH, TOGETHER = 24, 64, 8  # TOGETHER: steps of one program
BATCH, RATE, PEAK = 512, 0.4, 5  # the rate is for that batch, its peak at that epoch
EVALUATED = 2000  # images of a batch in evaluation
CUTOUT = (8 / 32) ** 2  # share of the area that is erased


def fast_net(num_classes: int = 10, width: int = WIDTH, dtype: Any = None) -> Classifier:
    """Three stages of one basic block each, of 2, 4 and 8 times `width` channels.

    A stage halves the resolution by a max-pool between its convolutions, and its shortcut by
    averages (arXiv:1812.01187, figure 2c).
    """
    return zoo.cifar_resnet(
        8,
        num_classes,
        shortcut=part(Projection, pool=True),
        stem=part(Stem, convs=(StemConv(width, 3, 1),), pool=None),
        widths=(2 * width, 4 * width, 8 * width),
        strides=(2, 2, 2),
        downsample=window_max,
        dtype=dtype,
    )


def fast_cifar(
    net: Classifier,
    data: ImageData,
    *,
    epochs: int = EPOCHS,
    learning_rate: float = RATE,
    steps_per_dispatch: int = TOGETHER,
) -> Experiment:
    """The training of a net: SGD with Nesterov momentum, whose rate rises and falls in a triangle.

    Args:
        net: the net.
        data: images; its seed is also that of the initialisation. A whole number of dispatches is
            trained, so that the last epoch may be cut short.
        epochs: length of the training.
        learning_rate: the peak; 0.4 is for `BATCH`.
        steps_per_dispatch: steps of one program.
    """
    train = data.info().sizes.get("train", 50_000)
    together = min(steps_per_dispatch, max(1, epochs * train // data.batch_size))
    steps = epochs * train // data.batch_size // together * together
    rise = min(steps - 1, PEAK * steps // EPOCHS)
    schedule = ramped(polynomial(learning_rate, steps, 1.0, rise), learning_rate, 0.0, rise)
    augment = (
        RandomCrop(4, "reflect"),
        RandomFlip(),
        RandomErasing(1.0, (CUTOUT, CUTOUT), (1.0, 1.0), "zero"),
    )
    plan = Plan(
        steps,
        data.seed,
        log_every=max(1, steps // 50 // together) * together,
        steps_per_dispatch=together,
    )
    task = Classify(net, data.normalize(), augment, label_smoothing=0.2)
    return Experiment(task, data, sgd(schedule, weight_decay=5e-4, nesterov=True), plan)
