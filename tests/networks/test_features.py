"""Features on a region equal those of the whole canvas."""

from __future__ import annotations

import pytest
import torch
import torchvision

from deep_image_blending.losses.style import gram_matrix
from deep_image_blending.networks import backbones
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.network import IMAGENET, Network
from deep_image_blending.networks.region import RegionFeatures

FLOAT64 = torch.float64
TAPS = {
    "vgg16": {"relu1_2", "relu2_2", "relu3_3", "relu4_3"},
    "resnet50": {"stem", "layer1", "layer2", "layer3", "layer4"},
    "random": {"relu1_2", "relu2_2", "relu3_3"},
}


def _narrow(name: str) -> Network:
    """The layers of a backbone with a few random channels each, so that full canvases stay cheap."""
    torch.manual_seed(0)
    layers = {
        "vgg16": lambda: backbones._vgg_layers("vgg16"),
        "resnet50": backbones._resnet_layers,
        "random": backbones._embedded_layers,
    }[name]()
    width, parameters, channels = 4, {}, {"image": 3}
    for layer in layers:
        incoming = channels[layer.inputs[0]]
        channels[layer.output] = incoming
        if layer.kind == "conv":
            weight = torch.randn(width, incoming, layer.kernel, layer.kernel) / (incoming * layer.kernel**2) ** 0.5
            parameters[layer.output] = (weight, 0.1 * torch.randn(width))
            channels[layer.output] = width
    return Network(name, layers, parameters, IMAGENET).to(torch.device("cpu"), FLOAT64)


BOXES = {
    "inside": Box(60, 70, 100, 130),
    "corner": Box(0, 0, 40, 50),
    "far corner": Box(100, 170, 163, 205),
    "one pixel": Box(81, 91, 82, 92),
    "across": Box(0, 100, 163, 120),
    "whole": Box(0, 0, 163, 205),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
@pytest.mark.parametrize("name", TAPS)
def test_region_features_and_gradient_equal_the_whole_canvas(name: str, box: Box) -> None:
    network, taps = _narrow(name), TAPS[name]
    canvas = torch.rand(1, 3, 163, 205, dtype=FLOAT64) * 255
    patch = torch.rand(1, 3, box.height, box.width, dtype=FLOAT64) * 255

    region_patch = patch.clone().requires_grad_(True)
    region = RegionFeatures(network, canvas, box, taps)
    found = region(region_patch)

    whole_patch = patch.clone().requires_grad_(True)
    rows, columns = box.slices()
    changed = canvas.clone()
    changed[:, :, rows, columns] = whole_patch
    full, before = network.features(changed, taps), network.features(canvas, taps)

    losses = torch.zeros((), dtype=FLOAT64), torch.zeros((), dtype=FLOAT64)
    for tap in taps:
        place = region.boxes[tap]
        inside = full[tap][:, :, place.top : place.bottom, place.left : place.right]
        torch.testing.assert_close(found[tap], inside, rtol=1e-9, atol=1e-9)
        elsewhere = (full[tap] - before[tap]).detach()
        elsewhere[:, :, place.top : place.bottom, place.left : place.right] = 0
        assert elsewhere.abs().max() < 1e-9, "a feature outside the region changed"
        # G(B) = G(T) + (sums over the region of the blend's and of the target's products) / C H W
        of_blend = found[tap].flatten(2)[0]
        of_target = before[tap][:, :, place.top : place.bottom, place.left : place.right].flatten(2)[0]
        gram = gram_matrix(before[tap]) + (of_blend @ of_blend.T - of_target @ of_target.T) / before[tap].numel()
        torch.testing.assert_close(gram, gram_matrix(full[tap]), rtol=1e-4, atol=1e-9)
        losses = losses[0] + gram.square().sum(), losses[1] + gram_matrix(full[tap]).square().sum()
    (of_region,) = torch.autograd.grad(losses[0], region_patch)
    (of_whole,) = torch.autograd.grad(losses[1], whole_patch)
    assert (of_region - of_whole).norm() <= 1e-4 * of_whole.norm()


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "resnet50"])
def test_full_features_equal_torchvision(name: str, tmp_path) -> None:
    torch.manual_seed(3)
    model = getattr(torchvision.models, name)(weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    x = torch.rand(1, 3, 64, 72) * 255
    normal = IMAGENET(x)
    if name == "resnet50":
        taps = {"stem", "layer2"}
        stem = model.relu(model.bn1(model.conv1(normal)))
        expected = {"stem": stem, "layer2": model.layer2(model.layer1(model.maxpool(stem)))}
    else:
        taps = {"relu1_2", "relu3_3"}
        last = {"vgg16": 15, "vgg19": 15}[name]
        expected = {"relu1_2": model.features[:4](normal), "relu3_3": model.features[: last + 1](normal)}
    found = backbones.load_backbone(name, taps, weights=path).network.features(x, taps)
    for tap in taps:
        assert (found[tap] - expected[tap]).norm() <= 1e-5 * expected[tap].norm()


def test_imagenet_normalisation_is_mean_and_deviation_of_unit_rgb() -> None:
    x = torch.rand(1, 3, 2, 2) * 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(IMAGENET(x), (x / 255 - mean) / std)


def test_reach_holds_the_receptive_field_of_every_feature_that_meets_a_pixel() -> None:
    network = _narrow("vgg16")
    size, middle = 260, 130
    reach = network.reach()
    canvas = torch.rand(1, 3, size, size, dtype=FLOAT64, requires_grad=True)
    region = RegionFeatures(network, canvas.detach(), Box(middle, middle, middle + 1, middle + 1), TAPS["vgg16"])
    deepest = region.boxes["relu4_3"]
    found = network.features(canvas * 255, {"relu4_3"})["relu4_3"]
    total = found[:, :, deepest.top : deepest.bottom, deepest.left : deepest.right].sum()
    (gradient,) = torch.autograd.grad(total, canvas)
    rows = torch.nonzero(gradient.abs().amax((0, 1, 3))).flatten()
    assert middle - reach <= int(rows.min())
    assert int(rows.max()) <= middle + reach


def test_whole_box_keeps_no_constants() -> None:
    network = _narrow("random")
    canvas = torch.rand(1, 3, 32, 32, dtype=FLOAT64)
    assert RegionFeatures(network, canvas, whole((32, 32)), {"relu1_2"})._constants == {}
