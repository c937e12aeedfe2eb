"""Features on a region equal those of the whole canvas, for every backbone there is."""

from __future__ import annotations

import pytest
import torch

from deep_image_blending.losses.style import gram_matrix
from deep_image_blending.networks.backbones import default_taps
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.network import IMAGENET, Layer, Network
from deep_image_blending.networks.region import RegionFeatures

from .narrow import deepest, every_backbone, narrow

FLOAT64 = torch.float64
TAPS = {
    "vgg16": {"relu1_2", "relu2_2", "relu3_3", "relu4_3"},
    "resnet50": {"stem", "layer1", "layer2", "layer3", "layer4"},
    "squeezenet1_0": {"relu1", "pool1", "fire2", "fire4", "pool4", "fire9"},
    "random": {"relu1_2", "relu2_2", "relu3_3"},
}
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
    require_the_whole_canvas_s_features(narrow(name), TAPS[name], box, (163, 205))


@pytest.mark.parametrize("box", [Box(50, 61, 67, 90), Box(90, 0, 117, 31)], ids=["inside", "at two borders"])
@pytest.mark.parametrize("name", every_backbone())
def test_every_backbone_is_exact_on_a_region(name: str, box: Box) -> None:
    style, content = default_taps(name)
    taps = {*style, content}
    if name not in ("embedded", "random"):
        taps |= deepest(name)
    require_the_whole_canvas_s_features(narrow(name, taps), taps, box, (117, 133))


def require_the_whole_canvas_s_features(network: Network, taps: set[str], box: Box, size: tuple[int, int]) -> None:
    """Features, Gram matrices and the gradient, by the region and by the whole canvas."""
    canvas = torch.rand(1, 3, *size, dtype=FLOAT64) * 255
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
        assert place.area > 0
        scale = float(full[tap].detach().abs().max())
        torch.testing.assert_close(found[tap], inside, rtol=1e-9, atol=1e-9 * scale)
        elsewhere = (full[tap] - before[tap]).detach()
        elsewhere[:, :, place.top : place.bottom, place.left : place.right] = 0
        assert elsewhere.abs().max() < 1e-9 * scale, "a feature outside the region changed"
        # G(B) = G(T) + (sums over the region of the blend's and of the target's products) / C H W
        of_blend = found[tap].flatten(2)[0]
        of_target = before[tap][:, :, place.top : place.bottom, place.left : place.right].flatten(2)[0]
        gram = gram_matrix(before[tap]) + (of_blend @ of_blend.T - of_target @ of_target.T) / before[tap].numel()
        wanted = gram_matrix(full[tap])
        assert (gram - wanted).norm() <= 1e-4 * wanted.norm()
        losses = losses[0] + gram.square().sum(), losses[1] + gram_matrix(full[tap]).square().sum()
    (of_region,) = torch.autograd.grad(losses[0], region_patch)
    (of_whole,) = torch.autograd.grad(losses[1], whole_patch)
    assert (of_region - of_whole).norm() <= 1e-4 * of_whole.norm()


def test_a_maximum_counts_windows_that_end_beyond_the_canvas_as_torch_does() -> None:
    for size in range(4, 20):
        for kernel, stride, padding in ((3, 2, 0), (3, 2, 1), (2, 2, 0), (2, 2, 1), (3, 3, 1)):
            layer = Layer("max", "out", ("image",), kernel=kernel, stride=stride, padding=padding, ceil=True)
            wanted = torch.nn.functional.max_pool2d(
                torch.zeros(1, 1, size, size), kernel, stride, padding, ceil_mode=True
            )
            assert layer.output_size(size) == wanted.shape[2], (size, kernel, stride, padding)


def test_pixels_that_no_window_reads_change_nothing() -> None:
    # Of 118 rows, AlexNet's windows of 11 rows at every fourth end at row 117 with the padding's two.
    network = narrow("alexnet", {"relu2"})
    canvas = torch.rand(1, 3, 118, 133, dtype=FLOAT64) * 255
    region = RegionFeatures(network, canvas, Box(117, 10, 118, 40), {"relu1", "relu2"})
    found = region(canvas[:, :, 117:, 10:40])
    assert all(region.boxes[tap].area == 0 and found[tap].numel() == 0 for tap in found)


def test_imagenet_normalisation_is_mean_and_deviation_of_unit_rgb() -> None:
    x = torch.rand(1, 3, 2, 2) * 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(IMAGENET(x), (x / 255 - mean) / std)


def test_reach_holds_the_receptive_field_of_every_feature_that_meets_a_pixel() -> None:
    network = narrow("vgg16")
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
    network = narrow("random")
    canvas = torch.rand(1, 3, 32, 32, dtype=FLOAT64)
    assert RegionFeatures(network, canvas, whole((32, 32)), {"relu1_2"})._constants == {}
