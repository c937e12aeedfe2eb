"""What is traced of torchvision's classifiers gives torchvision's features; what can't be described is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from deep_image_blending.networks.backbone import Pretrained
from deep_image_blending.networks.backbones import DECLARED, load_backbone
from deep_image_blending.networks.network import IMAGENET
from deep_image_blending.networks.tracing import Untraceable, classifier, trace

# Taps, and the modules of torchvision whose output they are.
MODULES = {
    "vgg11_bn": {
        "relu1_1": "features.2",
        "relu2_1": "features.6",
        "pool2": "features.7",
        "relu3_2": "features.13",
    },
    "vgg16": {"relu1_2": "features.3", "relu3_3": "features.15", "relu4_3": "features.22"},
    "vgg19": {"relu1_2": "features.3", "relu3_3": "features.15"},
    "alexnet": {"relu1": "features.1", "pool2": "features.5", "relu5": "features.11"},
    "squeezenet1_0": {"relu1": "features.1", "fire2": "features.3", "fire4": "features.5", "fire9": "features.12"},
    "squeezenet1_1": {"pool3": "features.5", "fire4": "features.6", "fire9": "features.12"},
    "resnet18": {"stem": "relu", "layer1.0": "layer1.0", "layer1": "layer1", "layer4": "layer4"},
    "resnet50": {"stem": "relu", "layer2": "layer2", "layer3.4": "layer3.4"},
    "resnext50_32x4d": {"layer1": "layer1", "layer3": "layer3"},
    "mnasnet0_5": {"stem": "layers.2", "stack2": "layers.9", "stack6": "layers.13"},
    "regnet_x_400mf": {"stem": "stem", "block2.0": "trunk_output.block2.block2-0", "block4": "trunk_output"},
}


def random_features(name: str) -> nn.Module:
    """torchvision's module with random weights and statistics, without the classes at its end."""
    torch.manual_seed(3)
    model = classifier(name)
    for end in ("classifier", "fc"):
        if hasattr(model, end):
            setattr(model, end, nn.Identity())
    for module in model.to_empty(device="cpu").modules():
        if isinstance(module, nn.BatchNorm2d):
            for part in (module.running_var, module.weight):
                part.data.uniform_(0.5, 1.5)
            for part in (module.running_mean, module.bias):
                part.data.normal_(0, 0.1)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
    return model


@pytest.mark.parametrize("name", MODULES)
def test_full_features_equal_torchvisions(name: str, tmp_path: Path) -> None:
    model = random_features(name)
    path = tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    expected: dict[str, Tensor] = {}

    def keep(tap: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            expected[tap] = output.clone()

        return hook

    for tap, module in MODULES[name].items():
        model.get_submodule(module).register_forward_hook(keep(tap))
    x = torch.rand(1, 3, 96, 75) * 255
    with torch.no_grad():
        model(IMAGENET(x))
    found = load_backbone(name, set(expected), weights=path).network.features(x, set(expected))
    for tap, wanted in expected.items():
        assert found[tap].shape == wanted.shape
        assert (found[tap] - wanted).norm() <= 1e-5 * wanted.norm(), tap


@pytest.mark.slow
def test_whatever_of_torchvision_can_be_traced_is_declared() -> None:
    traceable = set()
    for name in models.list_models(module=models):
        try:
            trace(classifier(name))
        except Untraceable:
            continue
        traceable.add(name)
    assert traceable == {name for name, one in DECLARED.items() if isinstance(one, Pretrained)}


def test_building_a_classifier_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    assert all(parameter.is_meta for parameter in classifier("resnet18").parameters())
    classifier("regnet_x_400mf")
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_normalisation_keeps_its_own_epsilon() -> None:
    (step,) = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.25), nn.ReLU(), nn.Dropout()).eval())
    assert step.layer.relu
    assert step.convolution is not None
    assert step.convolution.norm == "1"
    assert math.isclose(step.convolution.eps, 0.25)


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class _Twice(nn.Module):
    """A convolution that is read both rectified and as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.relu(x)


class _Doubled(nn.Module):
    """A sum, or a concatenation, of one thing with itself."""

    def __init__(self, join: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2)), "dilated"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "padded"),
        (nn.Sequential(nn.Conv2d(3, 4, (1, 7))), "not square"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")), "not square"),
        (nn.Sequential(nn.BatchNorm2d(3)), "follows no convolution"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)), "keeps no statistics"),
        (nn.Sequential(nn.MaxPool2d(2), nn.ReLU()), "follows neither"),
        (nn.Sequential(nn.AvgPool2d(3, padding=1)), "pooling '0'"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU()), "contains GELU"),
        (_Branching(), "depends on what it is given"),
        (_Twice(), "follows neither"),
        (_Doubled(lambda x: x + x), "calls 'add'"),
        (_Doubled(lambda x: x + 1), "calls 'add'"),
        (_Doubled(lambda x: torch.cat([x, x], 1)), "calls 'cat'"),
        (_Doubled(lambda x: torch.cat([x, x])), "calls 'cat'"),
    ],
)
def test_what_can_not_be_described_is_refused(module: nn.Module, words: str) -> None:
    with pytest.raises(Untraceable, match=words):
        trace(module.eval())
