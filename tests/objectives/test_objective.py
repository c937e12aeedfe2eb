"""The objective of the mask alone equals the same losses evaluated on the whole canvas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.losses.term import TargetStatistics
from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.networks.mask_regions import clusters, off_the_border, resample
from deep_image_blending.objectives.natural import NormalisedObjective, WindowTensors
from deep_image_blending.objectives.target_style import (
    fine_texture,
    log_totals,
    pooled,
    recoloured,
    recolouring,
    similarity,
    target_moments,
    tiled_features,
)
from deep_image_blending.options.pass_options import PassOptions, Weights
from deep_image_blending.solve.pixels import Pixels
from tests.conftest import disc_mask, smooth_picture

F64 = torch.float64
TAPS = ("relu1_2", "relu2_2", "relu3_3")


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64)).permute(2, 0, 1)[None]


def _mask(places: list[tuple[int, int]], size: tuple[int, int]) -> torch.Tensor:
    mask = np.zeros(size)
    blob = disc_mask(20, 24) / 255
    for top, left in places:
        height, width = min(20, size[0] - top), min(24, size[1] - left)
        mask[top : top + height, left : left + width] = blob[:height, :width]
    return torch.from_numpy(mask)[None, None]


def _inner(weight: Tensor) -> Tensor:
    """Nothing counts in the two outermost rows and columns of the canvas, unless most of the object is there."""
    inner = F.pad(weight[..., 2:-2, 2:-2], (2, 2, 2, 2))
    return weight if 2 * inner.sum() <= weight.sum() else inner


PLACES = {
    "inside": [(40, 50)],
    "canvas corner": [(0, 0)],
    "far corner": [(90, 110)],
    "two far blobs": [(4, 4), (90, 110)],
    "two near blobs": [(40, 40), (60, 60)],
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("tile", [0, 8], ids=["at once", "tile by tile"])
@pytest.mark.parametrize("laid", [False, True], ids=["other surroundings", "the target around the source"])
def test_every_term_and_its_gradient_equal_the_whole_canvas(
    places: list[tuple[int, int]], tile: int, laid: bool
) -> None:
    size = (102, 126)
    network = load_backbone("random", set(TAPS)).network.to(torch.device("cpu"), F64)
    source, target = (_tensor(smooth_picture(seed, *size)) for seed in (5, 6))
    mask = 0.25 * _mask(places, size) + 0.75 * (_mask(places, size) > 0.5)
    if laid:
        source = torch.where(mask > 0, source, target)
    moments = target_moments(network, target, TAPS)
    options = PassOptions(
        num_steps=1,
        weights=Weights(gradient=0.7, style=1.3, content=0.9, tv=0.4),
        backbone="random",
    )
    objective = NormalisedObjective(
        network,
        options,
        WindowTensors(source, mask, target),
        TargetStatistics(moments),
        (TAPS, "relu2_2"),
        tile,
    )
    assert not tile or len(objective.regions) >= 4
    pixels = Pixels(target, mask)
    x = pixels.gather(source + 20 * torch.randn_like(source)).requires_grad_(True)
    terms = objective.terms(x)

    free = x.detach().clone().requires_grad_(True)
    image = target.reshape(3, -1).index_copy(1, torch.nonzero(mask.flatten() > 0).flatten(), free)
    blend = mask * image.reshape(target.shape) + (1 - mask) * target
    features = network.features(blend, set(TAPS))
    of_source = network.features(source, {"relu2_2"})["relu2_2"]
    guidance = losses.laplacian(source, "replicate") * mask + losses.laplacian(target, "replicate") * (1 - mask)
    distances = []
    for tap in TAPS:
        weight = F.adaptive_avg_pool2d(mask, features[tap].shape[2:])
        if network.strides()[tap] > 1:
            weight = F.avg_pool2d(mask, network.strides()[tap], ceil_mode=True, count_include_pad=False)
            weight = weight[:, :, : features[tap].shape[2], : features[tap].shape[3]]
        weight = _inner(weight)
        flat, wanted = features[tap].flatten(2)[0], network.features(target, {tap})[tap].flatten(2)[0]
        gram = (flat * weight.flatten()) @ flat.T / weight.sum()
        of_target = wanted @ wanted.T / wanted.shape[1]
        distances.append((gram - of_target).square().sum() / of_target.square().sum())
    weight = F.avg_pool2d(mask, 2, ceil_mode=True, count_include_pad=False)
    content = ((features["relu2_2"] - of_source).square() * weight).sum() / (of_source.square() * weight).sum()
    difference = (losses.laplacian(blend, "replicate") - guidance) * (mask > 0)
    # The variation of the rest of the canvas is constant: only its gradient can be compared.
    variation = losses.total_variation(blend) / (255 * 3 * mask.sum())
    expected = {
        "gradient": 0.7 * difference.square().sum() / (guidance.square() * mask).sum(),
        "style": 1.3 * torch.stack(distances).mean(),
        "content": 0.9 * content,
        "tv": 0.4 * variation,
    }
    for name, value in expected.items():
        if name != "tv":
            torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-9)
        (ours,) = torch.autograd.grad(terms[name], x, retain_graph=True)
        (whole,) = torch.autograd.grad(value, free, retain_graph=True)
        assert (ours - whole).norm() <= 1e-4 * whole.norm(), name


def test_gradient_of_every_term_agrees_with_finite_differences() -> None:
    # Some draws step over a kink of ReLU, where differences are no gradient.
    torch.manual_seed(0)
    size = (24, 28)
    network = load_backbone("random", set(TAPS)).network.to(torch.device("cpu"), F64)
    source, target = (_tensor(smooth_picture(seed, *size)) for seed in (5, 6))
    mask = _mask([(3, 2)], size)
    options = PassOptions(
        num_steps=1,
        weights=Weights(gradient=1, style=1, content=1, histogram=1, tv=1),
        backbone="random",
        colour_weight=2.0,
        statistics="covariance",
    )
    objective = NormalisedObjective(
        network,
        options,
        WindowTensors(source, mask, target),
        TargetStatistics(
            target_moments(network, target, TAPS),
            sorted_values={
                tap: found.permute(0, 2, 3, 1).reshape(-1, found.shape[1]).sort(0).values
                for tap, found in network.features(target, set(TAPS)).items()
            },
        ),
        (TAPS, "relu2_2"),
    )
    # Off the integers, where total variation has kinks.
    start = objective.pixels.gather(source * 0.7 + 40 + torch.rand_like(source))
    direction = torch.randn_like(start)
    for name in ("gradient", "style", "content", "tv"):
        x = start.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective.terms(x)[name], x)
        step = 1e-4
        with torch.no_grad():
            ahead = objective.terms(start + step * direction)[name]
            behind = objective.terms(start - step * direction)[name]
        slope = float((ahead - behind) / (2 * step))
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-9), name
    assert objective.terms(start)["histogram"] > 0


def test_far_blobs_are_evaluated_apart_and_near_ones_together() -> None:
    size = (200, 300)
    assert len(clusters(_mask([(0, 0), (170, 270)], size), 32, 4)) == 2
    assert len(clusters(_mask([(0, 0), (22, 26)], size), 32, 4)) == 1


def test_mask_of_a_layer_is_the_mean_over_its_cells() -> None:
    mask = torch.zeros(1, 1, 5, 4)
    mask[0, 0, :2, 0] = 1
    resampled = resample(mask, 2, (2, 2))
    torch.testing.assert_close(resampled, torch.tensor([[[[0.5, 0.0], [0.0, 0.0]]]]))


def test_tiled_features_equal_the_whole() -> None:
    network = load_backbone("random", set(TAPS)).network.to(torch.device("cpu"), F64)
    image = torch.rand(1, 3, 75, 90, dtype=F64) * 255
    full = network.features(image, set(TAPS))
    seen = {tap: torch.zeros_like(full[tap]) for tap in TAPS}
    for found, places in tiled_features(network, image, set(TAPS), tile=32):
        for tap in TAPS:
            rows, columns = places[tap].slices()
            seen[tap][:, :, rows, columns] = found[tap]
    for tap in TAPS:
        torch.testing.assert_close(seen[tap], full[tap])
    moments = target_moments(network, image, TAPS)
    for tap in TAPS:
        torch.testing.assert_close(moments[tap], losses.second_moment(full[tap]))
    totals = log_totals(network, image, TAPS)
    torch.testing.assert_close(totals["relu3_3"], losses.log_mean_exp(full["relu3_3"]), check_dtype=False)


def test_similarity_prefers_the_part_of_the_target_that_looks_like_the_object() -> None:
    network = load_backbone("random", set(TAPS)).network.to(torch.device("cpu"))
    y, x = np.mgrid[:96, :96]
    stripes = 128 + 100 * np.sign(np.sin(x * 1.2))[..., None] * np.ones(3)
    checks = 128 + 100 * np.sign(np.sin(y * 0.4) * np.sin(x * 0.4))[..., None] * np.ones(3)
    target = np.where((x < 48)[..., None], stripes, checks)
    blend = stripes
    mask = torch.zeros(1, 1, 96, 96)
    mask[:, :, 30:60, 30:60] = 1
    seen = pooled(network, _tensor(target).float(), "relu3_3")
    weights = similarity(network, seen, _tensor(blend).float(), mask, "relu3_3")
    assert float(weights.mean()) == pytest.approx(1, abs=0.02)
    assert float(weights[..., :40].mean()) > 1.3 * float(weights[..., 56:].mean())


def _colourful(seed: int, mean: tuple[float, float, float], spread: np.ndarray) -> Tensor:
    """A picture (1, 3, 40, 50) whose colours have about this mean and these directions."""
    noise = np.random.default_rng(seed).normal(size=(40, 50, 3))
    return torch.from_numpy(np.array(mean) + noise @ spread).permute(2, 0, 1)[None]


def _moments_of(image: Tensor, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = image[0].flatten(1).numpy()
    return np.average(flat, axis=1, weights=weights), np.cov(flat, aweights=weights, ddof=0)


def test_recoloured_target_has_the_objects_mean_and_covariance() -> None:
    skewed = np.array([[9.0, 2, 0], [1, 8, 3], [0, 1, 10]])
    target, blend = _colourful(1, (90, 140, 110), skewed), _colourful(2, (150, 120, 100), 1.2 * skewed.T)
    counted, mask = torch.rand(1, 1, 40, 50, dtype=F64), _mask([(4, 6)], (40, 50))
    mean, covariance = _moments_of(blend, mask.flatten().numpy())
    moved = recoloured(target, recolouring(target, counted, blend, mask, 0.0))
    own_mean, own_covariance = _moments_of(moved, counted.flatten().numpy())
    np.testing.assert_allclose(own_mean, mean, atol=1e-6)
    # Both covariances are taken with a noise of two grey levels.
    np.testing.assert_allclose(own_covariance, covariance, atol=4)
    half = recoloured(target, recolouring(target, counted, blend, mask, 0.5))
    torch.testing.assert_close(half, (target + moved) / 2)
    torch.testing.assert_close(recoloured(target, recolouring(target, counted, blend, mask, 1.0)), target)


def test_recolouring_stretches_no_colour_axis_beyond_its_limit() -> None:
    flat, lively = _colourful(1, (90, 140, 110), np.eye(3)), _colourful(2, (120, 120, 100), 20 * np.eye(3))
    whole = torch.ones(1, 1, 40, 50, dtype=F64)
    for target, blend, gain in ((flat, lively, 1.5), (lively, flat, 1 / 1.5)):
        matrix = recolouring(target, None, blend, whole, 0.0)[:, :3]
        np.testing.assert_allclose(np.linalg.eigvalsh(matrix), gain, rtol=1e-6)


def test_fine_texture_is_what_a_gaussian_leaves_out() -> None:
    target = _tensor(smooth_picture(3, 60, 70)) + 10 * torch.randn(1, 3, 60, 70, dtype=F64)
    ones = ndimage.gaussian_filter(np.ones((60, 70)), 6, mode="constant", radius=18)
    expected = [
        plane - ndimage.gaussian_filter(plane, 6, mode="constant", radius=18) / ones for plane in target[0].numpy()
    ]
    np.testing.assert_allclose(fine_texture(target)[0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("shift", [(20.0, 20.0, 20.0), (30.0, -10.0, -20.0), (0.0, 0.0, 50.0)])
def test_colour_held_is_the_square_of_a_shift_and_again_of_its_chroma(shift: tuple[float, float, float]) -> None:
    size = (60, 70)
    network = load_backbone("random", {"relu2_2"}).network.to(torch.device("cpu"), F64)
    target = _tensor(smooth_picture(6, *size))
    mask = _mask([(18, 20)], size)
    plain, held = (
        NormalisedObjective(
            network,
            PassOptions(num_steps=1, weights=Weights(content=0.5), backbone="random", colour_weight=colour),
            WindowTensors(target, mask, target),
            TargetStatistics(),
            ((), "relu2_2"),
        )
        for colour in (0.0, 3.0)
    )
    moved = held.pixels.gather(target + torch.tensor(shift, dtype=F64).view(1, 3, 1, 1))
    found = (held.terms(moved)["content"] - plain.terms(moved)["content"]) / (0.5 * 3.0)
    chroma = np.array(shift) - np.mean(shift)
    expected = (np.square(shift).mean() + np.square(chroma).mean()) / 64**2
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_style_is_not_measured_along_the_canvas_border_unless_the_object_is_there() -> None:
    weights = torch.zeros(1, 1, 12, 10)
    weights[..., 4:, 3:7] = 1
    inner = off_the_border(weights)
    assert float(inner.sum()) == 6 * 4
    assert float(inner[..., -2:, :].abs().sum()) == 0
    at_the_edge = torch.zeros(1, 1, 12, 10)
    at_the_edge[..., 9:, 3:7] = 1
    assert torch.equal(off_the_border(at_the_edge), at_the_edge)
    assert torch.equal(off_the_border(weights[..., :3, :3]), weights[..., :3, :3])
