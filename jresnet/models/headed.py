"""Nets of any head: everything beside the heads sees a module with a backbone, and no more."""

from typing import Any, Protocol, TypeVar, runtime_checkable

from jresnet.models.part import part
from jresnet.models.shortcuts import NoShortcut


@runtime_checkable
class Headed(Protocol):
    """A linen module with a field `backbone`, called as `net(images, train=...)`.

    `images` are `[batch, *spatial, channels]`; the output is any tree of arrays. Beside the
    backbone there may be any number of modules. The plain twin, scanned stages, frozen parts,
    checkpoints, `jresnet.weights` and `summary` need nothing else of a net.

    A backbone may be wrapped (`jresnet.models.frames.Frames`): a wrapper is a Headed as well, and
    shares its scope with what it wraps, so that parameters lie under `backbone/` all the same.
    """

    @property
    def backbone(self) -> Any: ...

    def clone(self, **updates: Any) -> Any: ...

    def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any: ...

    def init_with_output(self, rngs: Any, *args: Any, **kwargs: Any) -> Any: ...

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any: ...


Net = TypeVar("Net", bound=Headed)


def backbone_of(net: Headed) -> Any:
    """The backbone without its wrappers: in most nets a `ResNet`."""
    inner = net.backbone
    return backbone_of(inner) if isinstance(inner, Headed) else inner


def folded_axes(net: Headed) -> int:
    """How many axes of its input stand before the spatial ones: 1 where frames are folded."""
    inner = net.backbone
    return (getattr(inner, "folded", 0) + folded_axes(inner)) if isinstance(inner, Headed) else 0


def with_backbone(net: Net, **fields: Any) -> Net:
    """`net` with fields of its backbone replaced: `with_backbone(net, frozen=("stem", "stage1"))`."""
    inner = net.backbone
    changed = with_backbone(inner, **fields) if isinstance(inner, Headed) else inner.clone(**fields)
    return net.clone(backbone=changed)


def is_scanned(net: Headed) -> bool:
    """Whether the net's variables are stacked, as `jresnet.models.scan.stack` does it."""
    return bool(getattr(backbone_of(net), "scan", False))


def unrolled(net: Net) -> Net:
    """The same net without scanned stages: it takes variables in canonical form."""
    return with_backbone(net, scan=False) if is_scanned(net) else net


def plain(net: Net) -> Net:
    """The same net whose blocks have no shortcuts."""
    return with_backbone(net, shortcut=part(NoShortcut))
