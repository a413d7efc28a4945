"""Nets for label maps beside torchvision's and segmentation_models_pytorch's own code, if installed.

MedicalNet has no package: its architecture is written down here again in PyTorch's layers.

Weights and statistics are random, so that no term of a layer can be missed.
"""

import functools
import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models import zoo
from jresnet.models.headed import with_backbone
from jresnet.models.zoo.segmentation import DILATED
from jresnet.weights import from_torch

pytestmark = pytest.mark.slow


def peer(name):
    """A module of PyTorch's world; skips where it is not installed, or not for this PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"{name} cannot be imported: {error}")


def torchvision_net(name, stride=8, **options):
    """A net of torchvision, also at the output stride of 16, which it builds no name for."""
    models = peer("torchvision.models")
    maps = peer(f"torchvision.models.segmentation.{name.partition('_')[0]}")
    if stride == 8:
        options = {"weights": None, "weights_backbone": None, "aux_loss": True} | options
        return getattr(maps, name)(**options)
    body = getattr(models, name.partition("_")[2])
    backbone = body(weights=None, replace_stride_with_dilation=[False, False, True])
    return maps._deeplabv3_resnet(backbone, options["num_classes"], True)


def smp_net(kind, encoder, **options):
    """A net of segmentation_models_pytorch."""
    library = peer("segmentation_models_pytorch")
    return getattr(library, kind)(encoder, encoder_weights=None, **options)


def plus(body, stride):
    return zoo.deeplabv3plus(body(**DILATED[stride]), 5)


def medical_net(depths, bottleneck, padded):
    """MedicalNet by its published description, of PyTorch's own layers under MedicalNet's names.

    With `padded` a block whose width grows pads its input with zero channels after the others
    (shortcut A); otherwise a convolution projects it (B).
    """
    torch = peer("torch")
    nn = torch.nn

    def conv(inputs, outputs, kernel, stride=1, dilation=1):
        padding = dilation * (kernel // 2)
        return nn.Conv3d(inputs, outputs, kernel, stride, padding, dilation, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs, width, stride, dilation):
            super().__init__()
            self.stride, self.last = stride, width * (4 if bottleneck else 1)
            sizes = [(3, stride, dilation), (3, 1, dilation)]
            widths = [inputs, width, width]
            if bottleneck:
                sizes = [(1, 1, 1), (3, stride, dilation), (1, 1, 1)]
                widths = [inputs, width, width, self.last]
            for number, (size, one, other) in enumerate(
                zip(sizes, widths[:-1], widths[1:], strict=True), 1
            ):
                setattr(self, f"conv{number}", conv(one, other, *size))
                setattr(self, f"bn{number}", nn.BatchNorm3d(other))
            self.count = len(sizes)
            if not padded and (stride > 1 or inputs != self.last):
                layers = conv(inputs, self.last, 1, stride), nn.BatchNorm3d(self.last)
                self.downsample = nn.Sequential(*layers)

        def forward(self, x):
            y = x
            for number in range(1, self.count + 1):
                y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
                y = torch.relu(y) if number < self.count else y
            if hasattr(self, "downsample"):
                return torch.relu(y + self.downsample(x))
            x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
            return torch.relu(y + nn.functional.pad(x, (0,) * 7 + (self.last - x.shape[1],)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = conv(1, 64, 7, 2), nn.BatchNorm3d(64)
            width = 64
            plan = zip(depths, (64, 128, 256, 512), (1, 2, 1, 1), (1, 1, 2, 4), strict=True)
            for number, (depth, features, stride, dilation) in enumerate(plan, 1):
                blocks = []
                for place in range(depth):
                    blocks.append(Block(width, features, 1 if place else stride, dilation))
                    width = blocks[-1].last
                setattr(self, f"layer{number}", nn.Sequential(*blocks))
            self.conv_seg = nn.Sequential(
                nn.ConvTranspose3d(width, 32, 2, 2),
                *(nn.BatchNorm3d(32), nn.ReLU(), conv(32, 32, 3)),
                *(nn.BatchNorm3d(32), nn.ReLU(), conv(32, 5, 1)),
            )

        def forward(self, x):
            size = x.shape[2:]
            x = nn.functional.max_pool3d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return nn.functional.interpolate(self.conv_seg(x), size, mode="trilinear")

    return Net()


CASES = {
    "medicalnet_resnet18": (
        functools.partial(medical_net, (2, 2, 2, 2), False, True),
        lambda: zoo.medicalnet_resnet18(5),
    ),
    "medicalnet_resnet34": (
        functools.partial(medical_net, (3, 4, 6, 3), False, True),
        lambda: zoo.medicalnet_resnet34(5),
    ),
    "medicalnet_resnet50": (
        functools.partial(medical_net, (3, 4, 6, 3), True, False),
        lambda: zoo.medicalnet_resnet50(5),
    ),
    "fcn_resnet50": (
        functools.partial(torchvision_net, "fcn_resnet50", num_classes=5),
        lambda: zoo.fcn_resnet50(5),
    ),
    "fcn_resnet101": (
        functools.partial(torchvision_net, "fcn_resnet101", num_classes=5),
        lambda: zoo.fcn_resnet101(5),
    ),
    "deeplabv3_resnet101": (
        functools.partial(torchvision_net, "deeplabv3_resnet101", num_classes=5),
        lambda: zoo.deeplabv3_resnet101(5),
    ),
    "deeplabv3_resnet50 without aux": (
        functools.partial(torchvision_net, "deeplabv3_resnet50", num_classes=5, aux_loss=False),
        lambda: zoo.deeplabv3_resnet50(5, auxiliary=False),
    ),
    "deeplabv3_resnet50 at 16": (
        functools.partial(torchvision_net, "deeplabv3_resnet50", 16, num_classes=5),
        lambda: zoo.deeplabv3(zoo.resnet50(output_stride=16), 5, rates=(12, 24, 36)),
    ),
    **{
        f"{encoder} U-Net": (
            functools.partial(smp_net, "Unet", encoder, classes=5),
            functools.partial(lambda body: zoo.unet(body(), 5), getattr(zoo, encoder)),
        )
        for encoder in ("resnet18", "resnet50", "resnext50_32x4d")
    },
    **{
        f"{encoder} DeepLabV3Plus at {stride}": (
            functools.partial(
                smp_net, "DeepLabV3Plus", encoder, encoder_output_stride=stride, classes=5
            ),
            functools.partial(plus, getattr(zoo, encoder), stride),
        )
        for encoder, stride in (
            ("resnet18", 16), ("resnet50", 16), ("resnet50", 8), ("resnet101", 16),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_same_weights_give_the_same_maps(name):
    torch = peer("torch")
    build_theirs, build_ours = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        theirs = build_theirs().eval()
        with torch.no_grad():
            for module in theirs.modules():
                if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
                    module.running_mean.uniform_(-0.3, 0.3)
                    module.running_var.uniform_(0.6, 1.5)
                    module.weight.uniform_(0.3, 0.8)  # deep nets stay of the size of one
                    module.bias.uniform_(-0.3, 0.3)
            shape = (1, 1, 16, 32, 48) if "medical" in name else (2, 3, 64, 96)
            x = torch.randn(*shape)
            wanted = theirs(x)
    wanted = wanted if isinstance(wanted, dict) else {"out": wanted}
    state = {key: value.detach().numpy() for key, value in theirs.state_dict().items()}

    net = with_backbone(build_ours(), scan=True)  # compiled in a fraction of the time
    variables = from_torch(state, net)
    images = jnp.asarray(np.moveaxis(x.numpy(), 1, -1))
    maps = jax.jit(functools.partial(net.apply, train=False))(variables, images)
    maps = maps if isinstance(maps, dict) else {"out": maps}
    assert maps.keys() == wanted.keys()
    for key, values in wanted.items():
        expected = values.numpy()
        scale = np.abs(expected).max()
        assert 1e-3 < expected.std() < 1e3
        ours = np.moveaxis(np.asarray(maps[key]), -1, 1)
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours / scale, expected / scale, rtol=0, atol=1e-4)
