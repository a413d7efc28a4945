"""A layout: how a torch code base names the layers of a net, and how their arrays lie there.

It turns the path of a parameter here, `backbone/stage2/block1/conv3/kernel`, into its name there,
`layer2.0.conv3.weight`. Only this direction is written: the names that a net expects are those of
its own parameters, so a checkpoint is checked against them both ways.

Nets with a head of their own get theirs from `composed`: the backbone by the names of a classifier
under a prefix, and a table for all else.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping

from jresnet.weights.forms import KERNEL, PLAIN, Form
from jresnet.weights.names import Path

LEAVES = {
    "kernel": "weight", "scale": "weight", "slope": "weight", "weight": "weight",
    "embedding": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var",
}  # fmt: skip

# From paths here to names there: `"decoder/block{n}/conv": "decoder.blocks.{n-1}.conv.0"`. A path
# is a layer's, or with its leaf a parameter's. A pair gives the form of its kernel as well.
Table = Mapping[str, str | tuple[str, Form]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """A code base's names.

    - owner: the layer of a path without its leaf; KeyError or ValueError if it has none.
    - marks: patterns of whole names; a checkpoint that has one of each is in this layout.
    - table: paths that are looked up before `owner` is asked.
    - prefix: stands before the names of the backbone; empty if these begin at the top.
    - classes: the parameter with a row for each class, by its path; None if there is none.
    - nets: classes of nets whose checkpoints are written in this layout.
    - base: the layout that names the backbone; None if this one does.
    - ignored: patterns of whole names of entries that no net here has a place for.
    - left_out: the same, of layers whose absence is told in the log.
    - is_open: layers that have no name keep their path, with dots.
    """

    name: str
    owner: Callable[[Path], str]
    marks: tuple[str, ...]
    table: Table = dataclasses.field(default_factory=dict)
    prefix: str = ""
    classes: Path | None = ("head", "kernel")
    nets: tuple[type, ...] = ()
    base: "Layout | None" = None
    ignored: tuple[str, ...] = ()
    is_open: bool = False
    left_out: tuple[str, ...] = ()

    def torch_name(self, path: Path) -> str:
        """The state-dict entry of one leaf; raises ValueError if the layout has no place for it."""
        return self.entry(path)[0]

    def form(self, path: Path) -> Form:
        """How the leaf's array lies in torch."""
        return self.entry(path)[1]

    def entry(self, path: Path) -> tuple[str, Form]:
        """Name and form of one leaf. Raises ValueError if the layout has no place for it."""
        *owner, leaf = path
        usual = KERNEL if leaf == "kernel" else PLAIN
        if whole := look_up(self.table, path):
            return whole[0], whole[1] or usual
        kind = LEAVES.get(leaf, leaf if self.is_open else None)
        try:
            layer, form = look_up(self.table, owner) or (self._owner(tuple(owner)), None)
        except (KeyError, ValueError):
            layer, form = None, None
        if kind is None or layer is None:
            raise ValueError(f"layout {self.name} has no name for {'/'.join(path)}")
        return f"{layer}.{kind}" if layer else kind, (form if leaf == "kernel" else None) or usual

    def _owner(self, owner: Path) -> str:
        try:
            return self.owner(owner)
        except (KeyError, ValueError):
            if not self.is_open:
                raise
            return ".".join(owner)

    @property
    def class_entry(self) -> str | None:
        """The entry of a state dict that has a row for each class."""
        return None if self.classes is None else self.torch_name(self.classes)

    def is_beside(self, name: str) -> bool:
        """Whether an entry of a checkpoint belongs to a head, whatever head that is.

        One may stand within the backbone's names, as the last layers of SimCLR do.
        """
        if self.prefix:
            inner = name.removeprefix(self.prefix)
            within = self.base is not None and self.base.is_beside(inner)
            return not name.startswith(self.prefix) or within
        heads = [
            value if isinstance(value, str) else value[0]
            for path, value in self.table.items()
            if not path.startswith("backbone/")
        ]
        if self.classes is not None:
            heads.append(self.torch_name(self.classes).rpartition(".")[0])
        return any(re.match(rf"{_pattern(head)}(\.|$)", name) for head in heads)


def composed(
    name: str,
    base: Layout,
    prefix: str,
    table: Table,
    *,
    marks: tuple[str, ...] = (),
    classes: str | None = None,
    nets: tuple[type, ...] = (),
    ignored: tuple[str, ...] = (),
    is_open: bool = False,
    left_out: tuple[str, ...] = (),
) -> Layout:
    r"""The layout of a net whose backbone is named as in `base`.

    torchvision's `fcn_resnet50`, for a net with modules `classifier` and `aux`:

        composed(
            "torchvision FCN", TORCHVISION, "backbone.",
            {"classifier/conv": "classifier.0", "classifier/norm": "classifier.1",
             "classifier/logits": "classifier.4", "aux/conv": "aux_classifier.0", ...},
            marks=(r"classifier\.4\.weight",), classes="classifier/logits/kernel", nets=(Fcn,),
        )

    Args:
        name: for messages.
        base: names of the backbone.
        prefix: before these, such as `encoder.`; may be empty.
        table: all else, and layers of the backbone that `base` names otherwise.
        marks: patterns of names that this layout has and others over the same backbone have not.
        classes: path of the parameter whose rows in torch are the classes.
        nets: classes of nets that are written in this layout, where their backbone is as `base`.
        ignored: patterns of entries that no net here has a place for.
        is_open: layers that the table lacks keep their path, with dots.
        left_out: patterns of entries of layers that are left out, which the log tells.
    """

    def owner(path: Path) -> str:
        if path[0] != "backbone":
            raise ValueError(f"no name for {'/'.join(path)}")
        return prefix + base.owner(path)

    layout = Layout(
        name,
        owner,
        marks,
        {**_under(prefix, base.table), **table},
        prefix,
        None if classes is None else tuple(classes.split("/")),
        nets,
        base,
        ignored,
        is_open,
        left_out,
    )
    first = layout.torch_name(("backbone", "stage1", "block1", "conv1", "kernel"))
    return dataclasses.replace(layout, marks=(re.escape(first), *marks))


def _under(prefix: str, table: Table) -> dict[str, str | tuple[str, Form]]:
    """The part of a table that is about the backbone, with a prefix before its names."""
    return {
        path: prefix + value if isinstance(value, str) else (prefix + value[0], value[1])
        for path, value in table.items()
        if path.startswith("backbone/")
    }


def look_up(table: Table, path: Path | list[str]) -> tuple[str, Form | None] | None:
    """Name and form of a path in a table, whose numbers are filled in; None if it is not there."""
    whole = "/".join(path)
    for pattern, value in table.items():
        name, form = (value, None) if isinstance(value, str) else value
        if match := re.fullmatch(_pattern(pattern), whole):
            numbers = {key: int(number) for key, number in match.groupdict().items()}
            return _FIELD.sub(lambda field, n=numbers: str(_number(field, n)), name), form
    return None


_FIELD = re.compile(r"\{([a-z]+)([+-]\d+)?\}")


def _pattern(text: str) -> str:
    """A regex with a group of digits for each `{n}`; the second `{n}`, or `{n-1}`, are digits."""
    parts: list[str] = []
    position = 0
    seen: set[str] = set()
    for field in _FIELD.finditer(text):
        parts.append(re.escape(text[position : field.start()]))
        named = field[2] is None and field[1] not in seen
        parts.append(rf"(?P<{field[1]}>\d+)" if named else r"\d+")
        seen.add(field[1])
        position = field.end()
    return "".join(parts) + re.escape(text[position:])


def _number(field: re.Match[str], numbers: Mapping[str, int]) -> int:
    return numbers[field[1]] + int(field[2] or 0)
