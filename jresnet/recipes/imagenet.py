"""Recipes of ImageNet, each from a cited source: `experiments.imagenet` says which."""

import dataclasses
from typing import Literal

from jresnet.data.augment.colour import PCA_IMAGENET
from jresnet.data.augment.flip_and_crop import RandomFlip
from jresnet.data.augment.mix import CutMix, Mixup, OneOf
from jresnet.data.augment.policies import RandAugment, TrivialAugment
from jresnet.data.augment.windows import RandomErasing
from jresnet.data.crops import RandomScaleCrop
from jresnet.recipes.recipe import Recipe
from jresnet.tasks.losses import BinaryCrossEntropy
from jresnet.train.optim import DECAY_ALL

Net = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
    "wide_resnet50_2", "wide_resnet101_2",
    "resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "resnet10t", "resnet26d", "resnet34d", "resnet50d", "resnet101d", "resnext50d_32x4d",
    "seresnet50", "resnetrs50", "ecaresnet50d", "resnetaa50", "resnetblur50",
    "resnetv2_50", "resnetv2_101", "resnetv2_152",
]  # fmt: skip


RecipeName = Literal[
    "goyal", "he2015", "nvidia90", "nvidia250", "mlperf_lars", "bag_of_tricks", "resnet_rs",
    "rsb_a1", "rsb_a2", "rsb_a3", "torchvision_v2",
]  # fmt: skip

NVIDIA = Recipe(
    90, 0.256, momentum=0.875, weight_decay=1 / 32768, label_smoothing=0.1, batch_norm_group=None
)
RSB_A2 = Recipe(
    300, 5e-3, 2048, "lamb", weight_decay=0.02, criterion=BinaryCrossEntropy(0.2),
    mix=OneOf((Mixup(0.1), CutMix(1.0))), pixel_augment=(RandAugment(2, 21),), repeats=3,
    drop_path=0.05, test_resize=236, zero_init_residual=True, batch_norm_group=None,
)  # fmt: skip

RECIPES: dict[RecipeName, Recipe] = {
    "goyal": Recipe(
        90, 0.1, optimizer="nesterov", schedule="steps", drops=(30, 60, 80), warmup_start=1.0
    ),
    # Shorter sides of 256 to 480 and noise along the colours' principal axes. The rate fell where
    # the error stood still; by figure 4 after 30 and 60 of 120 epochs.
    "he2015": Recipe(
        120, 0.1, schedule="steps", drops=(30, 60, 90), warmup_epochs=0, decay=DECAY_ALL,
        augment=(RandomFlip(), PCA_IMAGENET), zero_init_residual=False, train_crop=RandomScaleCrop,
    ),
    "nvidia90": NVIDIA,
    "nvidia250": dataclasses.replace(NVIDIA, epochs=250, mix=Mixup(0.2)),
    "mlperf_lars": Recipe(
        42, 10.0, 4096, "lars", weight_decay=2e-4, schedule="polynomial", label_smoothing=0.1,
    ),
    "bag_of_tricks": Recipe(200, 0.4, 1024, "nesterov", label_smoothing=0.1, mix=Mixup(0.2)),
    "resnet_rs": Recipe(
        350, 0.1, weight_decay=4e-5, label_smoothing=0.1, pixel_augment=(RandAugment(2, 30),),
        ema_decay=0.9999, dropout=0.25, train_size=160, test_resize=183, test_size=160,
    ),
    "rsb_a1": dataclasses.replace(
        RSB_A2, epochs=600, weight_decay=0.01, label_smoothing=0.1, criterion=BinaryCrossEntropy(),
        mix=OneOf((Mixup(0.2), CutMix(1.0))),
    ),
    "rsb_a2": RSB_A2,
    "rsb_a3": dataclasses.replace(
        RSB_A2, epochs=100, learning_rate=8e-3, repeats=1, drop_path=0.0, train_size=160,
        pixel_augment=(RandAugment(2, 18),),
    ),
    "torchvision_v2": Recipe(
        600, 0.5, 1024, weight_decay=2e-5, decay=((r"norm", False), (r".*", True)),
        label_smoothing=0.1, mix=OneOf((Mixup(0.2), CutMix(1.0))), pixel_augment=(TrivialAugment(),),
        augment=(RandomFlip(), RandomErasing(0.1)), repeats=4, ema_decay=0.99997, train_size=176,
        test_resize=232, zero_init_residual=False, batch_norm_group=128,
    ),
}  # fmt: skip

# Nets that a recipe is for, where that is not resnet50.
NETS: dict[RecipeName, Net] = {"bag_of_tricks": "resnet50d", "resnet_rs": "resnetrs50"}
