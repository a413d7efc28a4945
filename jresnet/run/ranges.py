"""The values that arguments accept: a table for the flags of all experiments and commands."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jresnet.errors import UsageError
from jresnet.run.values import Numbers, OneOf, Place, Range, Text, written

_INT32 = 2**31 - 1
COUNT = Numbers(1, _INT32, whole=True)
COUNT_OR_0 = Numbers(0, _INT32, whole=True)
ODD_GRID = Numbers(3, _INT32, whole=True, odd=True)
SEED = Numbers(0, 2**32 - 1, whole=True)
AT_LEAST_0 = Numbers(0)
POSITIVE = Numbers(0, above=True)
SHARE = Numbers(0, 1)
SHARE_BELOW_1 = Numbers(0, 1, below=True)
STORED, TEXT = Place(stored=True), Text()
WEIGHTS = Place(stored=True, named=True)

# By the argument's name; where one name has two meanings, also by the name of the function or flags.
# Switches and choices of words need no entry: the parser knows their values.
RANGES: dict[str, Range] = {
    # Every run.
    "workdir": Place(written=True, stored=True),
    "devices": COUNT,
    "model_parallel": COUNT,
    "patience": AT_LEAST_0,
    "pictures": COUNT_OR_0,
    "interrupted_status": Numbers(0, 255, whole=True),
    "coordinator_address": TEXT,
    "num_processes": COUNT,
    "process_id": COUNT_OR_0,
    "startup_timeout": POSITIVE,
    # Training.
    "dataset": STORED,
    "data_dir": STORED,
    "steps": COUNT,
    "epochs": COUNT,
    "seeds": COUNT,
    "seed": SEED,
    "batch_size": COUNT,
    "eval_batch_size": COUNT,
    "batch_norm_group": COUNT,
    "accumulate": COUNT,
    "steps_per_dispatch": COUNT,
    "workers": COUNT_OR_0,
    "per_class": COUNT,
    "learning_rate": AT_LEAST_0,
    "judge_width": COUNT,
    "scratch_learning_rate": AT_LEAST_0,
    "judge_learning_rate": AT_LEAST_0,
    "sensitivity.rates": POSITIVE,
    "finetune.rates": TEXT,
    "weight_decay": AT_LEAST_0,
    "clip": POSITIVE,
    "label_smoothing": SHARE,
    "mixup": POSITIVE,
    "cutmix": POSITIVE,
    "ema_decay": SHARE_BELOW_1,
    "train_size": COUNT,
    "test_size": COUNT,
    "size": COUNT,
    "freeze": TEXT,
    "loss": TEXT,
    # Nets.
    "net": TEXT,
    "nets": TEXT,
    "depth": COUNT,
    "features_depth": COUNT,
    "depths": COUNT,
    "deeper": COUNT,
    "lesion_depth": COUNT,
    "layers": COUNT,
    "width": COUNT,
    "k": COUNT,
    "cardinality": COUNT,
    "blocks": COUNT,
    "modules": COUNT,
    "dropout": SHARE_BELOW_1,
    "num_classes": COUNT,
    "keypoints": COUNT,
    "version": OneOf((1, 1.5)),
    "weights": WEIGHTS,
    "teacher": WEIGHTS,
    "teacher_net": TEXT,
    "temperature": POSITIVE,
    # Studies.
    "studies": TEXT,
    "shortcut_worth.data": STORED,
    "only": TEXT,
    "length": POSITIVE,
    "tables": TEXT,
    "examples": COUNT,
    "hessian_examples": COUNT,
    "points": Numbers(2, _INT32, whole=True),
    "landscape.points": ODD_GRID,
    "hessian_points": ODD_GRID,
    "lanczos_steps": COUNT,
    "probes": COUNT,
    "reach": POSITIVE,
    "scales": POSITIVE,
    "products": COUNT,
    "samples": COUNT,
    "repeats": COUNT,
    "resamples": COUNT_OR_0,
    "draws": COUNT,
    "lines": COUNT,
    "seconds": POSITIVE,
    "batch": COUNT,
    "segment.classes": TEXT,
    "segment.ignored": COUNT_OR_0,
    "detect.classes": TEXT,
    "mirrored": COUNT_OR_0,
    "scale": COUNT,
    "first_class": COUNT_OR_0,
    "multi_grid": COUNT,
    "class_weights": SHARE,
    "colour": SHARE,
    "random_scale": POSITIVE,
    "sigmas": POSITIVE,
    "keypoint_limit": COUNT,
    "overlap": SHARE_BELOW_1,
    "test_pictures": STORED,
    "reduced": STORED,
    "test_reduced": STORED,
    "features": WEIGHTS,
    "features_net": TEXT,
    "feature": TEXT,
    "feature_weight": AT_LEAST_0,
    "pixel_weight": AT_LEAST_0,
    "adversarial_weight": AT_LEAST_0,
    "Predict.strength": SHARE,
    "saliency": TEXT,
    "films": Place(written=True),
    "lists": Numbers(1, 3, whole=True),
    "video.views": COUNT,
    "stride": POSITIVE,
    "game": TEXT,
    "frames": COUNT,
    "worlds": COUNT,
    "turns": COUNT,
    "replay": COUNT,
    "games.first": COUNT,
    "n_steps": COUNT,
    "support": Numbers(),
    "atoms": Numbers(2, _INT32, whole=True),
    "longest": COUNT,
    "sticky": SHARE,
    "entropy": AT_LEAST_0,
    "episodes": COUNT,
    "restyle.patch": COUNT,
    "style_size": COUNT,
    "upscale.patch": COUNT,
    "content": STORED,
    "styles": STORED,
    "twin": WEIGHTS,
    "blend": AT_LEAST_0,
    "style_layers": TEXT,
    "content_layer": TEXT,
    "style_weight": AT_LEAST_0,
    "content_weight": AT_LEAST_0,
    "variation_weight": AT_LEAST_0,
    "volumes.classes": TEXT,
    "volumes.ignored": COUNT_OR_0,
    "volumes.spacing": POSITIVE,
    "volumes.window": Numbers(),
    "volumes.patch": COUNT,
    "fold": COUNT_OR_0,
    "recognize.pairs": STORED,
    "test_people": STORED,
    "held_out": COUNT,
    "margin": AT_LEAST_0,
    "recognize.combined": AT_LEAST_0,
    "recognize.scale": POSITIVE,
    "recognize.sampled": Numbers(0, 1, above=True),
    "groups": COUNT,
    "recognize.gallery": COUNT_OR_0,
    "benchmark_analyses.images": COUNT,
    "benchmark.minutes": POSITIVE,
    # Commands.
    "Predict.images": STORED,
    "Predict.annotations": STORED,
    "Embed.images": STORED,
    "Embed.index": Numbers(-_INT32, _INT32, whole=True),
    "neighbours": COUNT,
    "run": STORED,
    "dest": TEXT,
    "episode": COUNT_OR_0,
    "Predict.gallery": STORED,
    "landmarks": STORED,
    "Predict.threshold": Numbers(-1, 1),
    "Predict.far": Numbers(0, 1, above=True),
    "labels": STORED,
    "out": Place(written=True),
    "source": WEIGHTS,
    "file": STORED,
    "folder": STORED,
    "runs": STORED,
    "resize": COUNT,
    "crop": COUNT,
    "mean": Numbers(),
    "std": AT_LEAST_0,  # 0, the default, stands for the run's or the published one
    "image": COUNT,
    "image_size": COUNT,
    "photos": COUNT,
    "threads": COUNT,
}
# Tuples that may be empty although their default is not. Other such tuples need a value.
MAY_BE_EMPTY = {"per_class", "switches"}


def find(name: str, scope: str) -> Range | None:
    """The range of an argument of the function or flags `scope`; None if the table has none."""
    return RANGES.get(f"{scope}.{name}", RANGES.get(name))


def check(values: Mapping[str, Any], defaults: Mapping[str, Any], scope: str) -> None:
    """Raise UsageError for the first value that its argument does not accept.

    An argument whose default is out of the table's range is not checked: it is one of a user's own
    function, with another meaning.

    Args:
      values: by name; numbers, texts, paths, tuples of them, or None.
      defaults: of the same names.
      scope: name of the function or flags whose arguments they are.
    """
    for name, value in values.items():
        default, accepted = defaults.get(name), find(name, scope)
        if value == () and default not in ((), None) and name not in MAY_BE_EMPTY:
            raise UsageError(f"{name}=(): expected at least one value")
        if accepted is None or not all(map(accepted.holds, _each(default))):
            continue
        for one in _each(value):
            if not accepted.holds(one):
                raise UsageError(f"{name}={written(one)}: expected {accepted}")


def check_fields(flags: Any) -> None:
    """Check the values of a dataclass of flags. Raises UsageError."""
    names = [field.name for field in dataclasses.fields(flags)]
    check({name: getattr(flags, name) for name in names}, {}, type(flags).__name__)


def check_words(argv: Sequence[str]) -> None:
    """Raise UsageError for an empty word, which no argument takes."""
    for before, word in zip(("", *argv), argv, strict=False):
        flag = word.removesuffix("=") if word.startswith("--") and word.endswith("=") else before
        if not word or flag is not before:
            name = (
                flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else "argument"
            )
            raise UsageError(f"{name}='': expected a value; leave it out for the default")


def _each(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, tuple | list) else (value,)
