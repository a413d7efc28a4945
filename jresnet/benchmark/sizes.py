"""The size of each application: lines, compiled programs, and the time to its first result.

    python -m jresnet.benchmark.sizes
    python -m jresnet.benchmark.sizes --data FOLDER

Lines are those that an application adds to the applications before it: blank lines, comments and
docstrings count. With the folder of the data sets (`experiments.shortcut_worth`) the shallow
residual net of each is trained for a step and evaluated, in a process of its own without a cache of
compiled programs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jresnet.errors import UsageError
from jresnet.report.text import format_markdown
from jresnet.studies.shortcut_worth.application import Application, Case, shortened
from jresnet.studies.shortcut_worth.applications import ALL

ROOT = Path(__file__).parents[2]
PARTS = ("task", "net", "data", "recipe", "study", "experiment")
COMPILED = "/jax/core/compile/backend_compile_duration"
LONG = 0.05  # seconds of compilation; shorter programs are single operations
HEADERS = ("application", *PARTS, "lines", "programs", "CPU seconds", "times the first")

# Files of each application by part, as patterns below the repository. A file that an application
# before it lists is not counted again. The trainer and what every application uses is in no list.
FILES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "classification": {
        "task": ("jresnet/tasks/classify.py", "jresnet/tasks/losses.py"),
        "net": ("jresnet/models/heads/classifier.py", "jresnet/models/zoo/cifar.py"),
        "data": ("jresnet/data/sources/digits.py", "jresnet/data/augment/flip_and_crop.py"),
        "recipe": ("jresnet/recipes/cifar.py",),
        "study": ("jresnet/studies/degradation/*.py",),
        "experiment": ("experiments/degradation.py",),
    },
    "transfer": {
        "task": ("jresnet/tasks/measures.py",),
        "net": ("jresnet/models/heads/precomputed.py",),
        "data": ("jresnet/data/features.py", "jresnet/data/sources/few.py", "jresnet/data/sources/folder.py"),
        "recipe": ("jresnet/train/hyperrule.py",),
        "study": ("jresnet/studies/transfer/*.py",),
        "experiment": ("experiments/finetune.py",),
    },
    "segmentation": {
        "task": ("jresnet/tasks/segment.py", "jresnet/tasks/map_*.py", "jresnet/tasks/windows.py",
                 "jresnet/tasks/views.py", "jresnet/tasks/scales.py", "jresnet/tasks/boundaries.py"),
        "net": ("jresnet/models/heads/maps.py", "jresnet/models/heads/unet.py",
                "jresnet/models/heads/deeplab.py", "jresnet/models/zoo/segmentation.py"),
        "data": ("jresnet/data/with_map.py", "jresnet/data/class_weights.py",
                 "jresnet/data/sources/label_maps.py", "jresnet/data/sources/map_*.py",
                 "jresnet/data/sources/known_maps.py", "jresnet/data/sources/tfds_maps.py"),
        "recipe": ("jresnet/recipes/segmentation.py",),
        "study": ("jresnet/studies/segmentation/*.py", "jresnet/studies/backbone_start.py"),
        "experiment": ("experiments/segment.py",),
    },
    "volumes": {
        "task": ("jresnet/tasks/surfaces.py", "jresnet/tasks/volume_pictures.py"),
        "net": ("jresnet/models/heads/medical.py", "jresnet/models/zoo/medical.py"),
        "data": ("jresnet/data/volumes.py", "jresnet/data/volume_parts.py",
                 "jresnet/data/sources/volume*.py", "jresnet/data/sources/mni152.py"),
        "recipe": ("jresnet/recipes/volumes.py",),
        "study": ("jresnet/studies/segmentation/volumes.py",),
        "experiment": ("experiments/volumes.py",),
    },
    "detection": {
        "task": ("jresnet/tasks/detect.py", "jresnet/tasks/detect_losses.py",
                 "jresnet/tasks/detection_*.py", "jresnet/tasks/objects.py",
                 "jresnet/tasks/overlaps.py", "jresnet/tasks/average_precision.py",
                 "jresnet/tasks/froc.py", "jresnet/tasks/coco_results.py"),
        "net": ("jresnet/models/heads/fpn.py", "jresnet/models/heads/rcnn.py",
                "jresnet/models/heads/regions.py", "jresnet/models/zoo/detection.py",
                "jresnet/models/detection/[abnprs]*.py", "jresnet/models/detection/matching.py"),
        "data": ("jresnet/data/with_boxes.py", "jresnet/data/sources/box*.py",
                 "jresnet/data/sources/*_boxes.py"),
        "recipe": ("jresnet/recipes/detection.py",),
        "study": ("jresnet/studies/detection/*.py",),
        "experiment": ("experiments/detect.py",),
    },
    "masks": {
        "task": ("jresnet/tasks/mask_parts.py",),
        "net": ("jresnet/models/detection/masks.py",),
        "data": ("jresnet/data/runs.py",),
    },
    "keypoints": {
        "net": ("jresnet/models/detection/keypoints.py",),
        "data": ("jresnet/data/sources/extreme_points.py",),
    },
    "faces": {
        "task": ("jresnet/tasks/recognise.py", "jresnet/tasks/margins.py",
                 "jresnet/tasks/verification.py", "jresnet/tasks/face_*.py"),
        "net": ("jresnet/models/heads/embedding.py", "jresnet/models/zoo/faces.py"),
        "data": ("jresnet/data/alignment.py", "jresnet/data/face_pairs.py",
                 "jresnet/data/sources/people.py", "jresnet/data/sources/drawn_faces.py",
                 "jresnet/data/sources/two_sets.py"),
        "recipe": ("jresnet/recipes/recognition.py",),
        "study": ("jresnet/studies/recognition/*.py",),
        "experiment": ("experiments/recognize.py",),
    },
    "upscaling": {
        "task": ("jresnet/tasks/upscale*.py", "jresnet/tasks/picture_*.py", "jresnet/tasks/tiles.py"),
        "net": ("jresnet/models/heads/upsample.py", "jresnet/models/upsample.py",
                "jresnet/models/zoo/restoration.py"),
        "data": ("jresnet/data/patches.py", "jresnet/data/sources/pictures.py",
                 "jresnet/data/augment/resize.py"),
        "recipe": ("jresnet/recipes/upscaling.py",),
        "study": ("jresnet/studies/upscaling/*.py",),
        "experiment": ("experiments/upscale.py",),
    },
    "style": {
        "task": ("jresnet/tasks/stylise*.py", "jresnet/tasks/style_losses.py",
                 "jresnet/tasks/styled_pictures.py"),
        "net": ("jresnet/models/heads/restyle.py", "jresnet/models/zoo/style.py"),
        "data": ("jresnet/data/one_batch.py",),
        "recipe": ("jresnet/recipes/styling.py", "jresnet/recipes/restyling.py"),
        "study": ("jresnet/studies/stylising/*.py", "jresnet/studies/style_features/*.py",
                  "jresnet/studies/restyling/*.py", "jresnet/studies/feature_net.py"),
        "experiment": ("experiments/style*.py", "experiments/restyle.py"),
    },
    "video": {
        "task": ("jresnet/tasks/classify_clips.py",),
        "net": ("jresnet/models/frames.py", "jresnet/models/zoo/video.py"),
        "data": ("jresnet/data/clips.py", "jresnet/data/films.py", "jresnet/data/sources/clip*.py",
                 "jresnet/data/sources/moving_digits.py"),
        "recipe": ("jresnet/recipes/video.py",),
        "study": ("jresnet/studies/video/*.py",),
        "experiment": ("experiments/video.py",),
    },
    "games": {
        "task": ("jresnet/tasks/play.py", "jresnet/tasks/ppo.py", "jresnet/tasks/pqn.py",
                 "jresnet/tasks/dqn.py", "jresnet/tasks/q_values.py", "jresnet/tasks/replay.py",
                 "jresnet/tasks/returns.py", "jresnet/tasks/rounds.py", "jresnet/tasks/watch.py"),
        "net": ("jresnet/models/encoders.py", "jresnet/models/heads/policy.py",
                "jresnet/models/heads/noisy.py", "jresnet/models/zoo/agents.py"),
        "data": ("jresnet/data/worlds/*.py",),
        "recipe": ("jresnet/recipes/games.py", "jresnet/recipes/value_games.py"),
        "study": ("jresnet/studies/games/*.py", "jresnet/studies/deep_agents/*.py"),
        "experiment": ("experiments/games.py", "experiments/deep_agents.py"),
    },
    "disease": {
        "data": ("jresnet/data/sources/array_file.py",),
    },
}  # fmt: skip


def counted(root: Path = ROOT) -> Iterator[tuple[str, dict[str, int]]]:
    """Each application with the lines that it adds, by part; files named before count for nothing.

    A file that an application names exactly is not one of those before it whose pattern it fits.
    Raises FileNotFoundError for a pattern without a file.
    """
    exact = {
        (root / pattern): name
        for name, parts in FILES.items()
        for patterns in parts.values()
        for pattern in patterns
        if "*" not in pattern
    }
    seen: set[Path] = set()
    for name, parts in FILES.items():
        lines = dict.fromkeys(PARTS, 0)
        for part, patterns in parts.items():
            for pattern in patterns:
                paths = sorted(root.glob(pattern))
                if not paths:
                    raise FileNotFoundError(f"{pattern}: no file of application {name}")
                new = [path for path in paths if path not in seen and exact.get(path, name) == name]
                seen.update(new)
                lines[part] += sum(len(path.read_text().splitlines()) for path in new)
        yield name, lines


def first_result(application: Application, data: Path) -> dict[str, float]:
    """Programs that are compiled, and CPU seconds of this process, to the result of one step."""
    import jax

    from jresnet.experiment import after
    from jresnet.run.training import train
    from jresnet.runtime import environment
    from jresnet.runtime.mesh import make_mesh

    programs: list[float] = []

    def listen(event: str, seconds: float, **details: Any) -> None:
        del details
        if event == COMPILED and seconds >= LONG:
            programs.append(seconds)

    environment.set_cpu_flag()
    jax.monitoring.register_event_duration_secs_listener(listen)
    case = Case(application.blocks[0], True, 0, application.steps, data)
    runs = dict(application.sources(case)) if application.sources else {}
    runs[application.name] = application.build(case)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, experiment in runs.items():
            together = experiment.plan.steps_per_dispatch
            once = shortened(experiment, steps=together, save_every=together, log_every=together)
            results[label] = train(
                after(once, results), Path(folder) / label, label, make_mesh(1, 1)
            )
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"programs": len(programs), "seconds": used.ru_utime + used.ru_stime}


def measured(name: str, data: Path) -> dict[str, float]:
    """`first_result` in a process of its own. Raises RuntimeError with its last line if it fails."""
    command = [sys.executable, "-m", "jresnet.benchmark.sizes", "--only", name, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(data: Path | None) -> list[tuple[object, ...]]:
    """A row for each application; None for what is not measured."""
    applications = {application.name: application for application in ALL}
    rows, first = [], None
    for name, lines in counted():
        costs: tuple[object, ...] = (None, None, None)
        if data is not None and applications[name].lacking(data) is None:
            values = measured(name, data)
            first = first or values["seconds"]
            times = f"{values['seconds'] / first:.1f}"
            costs = (values["programs"], f"{values['seconds']:.0f}", times)
        rows.append((name, *lines.values(), sum(lines.values()), *costs))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table in Markdown, or with --only the costs of one application as JSON."""
    parser = argparse.ArgumentParser(prog="python -m jresnet.benchmark.sizes", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--only", choices=list(FILES), help="measure one application alone")
    flags = parser.parse_args(argv)
    if flags.only is None:
        print(format_markdown(HEADERS, table(flags.data)))
        return
    if flags.data is None:
        raise UsageError("data=None: expected the folder of the data sets, with only")
    application = next(one for one in ALL if one.name == flags.only)
    print(json.dumps(first_result(application, flags.data)))


if __name__ == "__main__":
    main()
