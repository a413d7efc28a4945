"""The card of a pushed net: its results and their circumstances, as Markdown with a head of YAML."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml

from jresnet.report.metrics import displayed
from jresnet.report.text import format_cell

# Tasks of the hub by those of jresnet; others are not named.
PIPELINES = {
    "Classify": "image-classification",
    "Segment": "image-segmentation",
    "Detect": "object-detection",
    "Upscale": "image-to-image",
    "Stylise": "image-to-image",
    "ClassifyClips": "video-classification",
    "Recognise": "image-feature-extraction",
}
SHOWN = 30  # classes that are listed


@dataclasses.dataclass(frozen=True)
class Card:
    """The contents of a model card.

    - name: of the net.
    - where: the folder or `hf://` name under which it is loaded.
    - task: name of the task's class.
    - parameters: of the net.
    - layout: whose names the weights have.
    - image: `[*spatial, channels]` that the net takes.
    - normalisation: how pixels become the net's input, in words.
    - classes: their names.
    - result: the run's `result.json`.
    - config: the run's `config.json`.
    - digest: SHA-256 of the weights.
    - architecture: its name in timm, if timm has the net.
    """

    name: str
    where: str
    task: str
    parameters: int
    layout: str
    image: tuple[int, ...]
    normalisation: str
    classes: Sequence[str]
    result: Mapping[str, Any]
    config: Mapping[str, Any]
    digest: str
    architecture: str | None = None

    def text(self) -> str:
        """The whole card."""
        parts = [self._head(), f"# {self.name}\n", self._about(), self._results(), self._use()]
        return "\n".join([*parts, self._input(), self._training(), self._limits()])

    def _head(self) -> str:
        head: dict[str, Any] = {"library_name": "jresnet", "tags": ["jresnet", "residual-network"]}
        if self.architecture:
            head["tags"].append("timm")
        if self.task in PIPELINES:
            head["pipeline_tag"] = PIPELINES[self.task]
        return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"

    def _about(self) -> str:
        timm = f" It is timm's `{self.architecture}`." if self.architecture else ""
        return (
            f"A residual net of {self.parameters:,} parameters, trained by "
            f"`{self.config['experiment']}` with jresnet (task `{self.task}`).{timm} "
            f"`model.safetensors` has {self.layout} names; its SHA-256 is `{self.digest}`.\n"
        )

    def _results(self) -> str:
        rows = [
            (split, *displayed(name, value))
            for split, metrics in self.result["metrics"].items()
            for name, value in metrics.items()
        ]
        lines = [f"| {split} | {label} | {format_cell(value)} |" for split, label, value in rows]
        table = ["| split | metric | value |", "|---|---|---:|", *lines]
        return "## Results\n\nMeasured by the run after its last step.\n\n" + _lines(table)

    def _use(self) -> str:
        text = (
            "## Use\n\n```bash\n"
            f"python -m jresnet predict {self.where} pictures/\n"
            f"python -m jresnet embed {self.where} pictures/ --out features.npz\n```\n"
        )
        if self.architecture:
            hub = self.where.replace("hf://", "hf-hub:")
            target = f'"{hub}"' if hub != self.where else '"local-dir:FOLDER"'
            text += f"\n```python\ntimm.create_model({target}, pretrained=True)\n```\n"
        return text

    def _input(self) -> str:
        size = " x ".join(map(str, self.image))
        text = f"## Input\n\nImages of {size}. {self.normalisation}\n"
        if self.classes:
            more = f", and {len(self.classes) - SHOWN} more" * (len(self.classes) > SHOWN)
            names = ", ".join(f"`{name.replace('`', ' ')}`" for name in self.classes[:SHOWN])
            text += f"\n{len(self.classes)} classes: {names}{more}.\n"
        return text

    def _training(self) -> str:
        arguments = self.config["arguments"]
        lines = [
            f"- experiment: `python -m {self.config['experiment']}`",
            f"- arguments: {', '.join(f'`{k}={_name(v)}`' for k, v in arguments.items())}",
            f"- data: `{_name(arguments.get('dataset', 'those of the experiment'))}`",
            f"- time: {self.result['seconds']:,.0f} s, begun {self.config.get('date', 'not recorded')}",
            f"- hardware: {self.config.get('hardware', 'not recorded')}",
            f"- commit: {self.config.get('commit', 'not recorded')}",
        ]
        numbers = self.config.get("versions", {})
        kept = [f"{name} {number}" for name, number in numbers.items()]
        return "## Training\n\n" + _lines([*lines, f"- versions: {', '.join(kept)}"])

    def _limits(self) -> str:
        return (
            "## Limits\n\nThe numbers hold for pictures like those of the splits above. Another "
            "data set, another size or another way of cutting gives other numbers. No license is "
            "stated: it depends on the data as well.\n"
        )


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _name(value: object) -> str:
    """A value as text, of a path its last name: where data lie is nobody else's business."""
    text = str(value)
    return PurePath(text).name if "/" in text or "\\" in text else text
