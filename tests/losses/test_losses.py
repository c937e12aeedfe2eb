"""Losses against finite differences, closed forms and SciPy."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.autograd import gradcheck

from deep_image_blending import losses
from deep_image_blending.losses.colour import ColourShift
from deep_image_blending.networks.network import Head

torch.manual_seed(0)
F64 = torch.float64


def _image(height: int = 6, width: int = 7) -> torch.Tensor:
    return torch.rand(1, 3, height, width, dtype=F64) * 255


@pytest.mark.parametrize(("border", "mode"), [("zero", "constant"), ("replicate", "nearest")])
def test_laplacian_is_scipys_convolution_with_the_four_neighbour_kernel(border, mode) -> None:
    image = _image()
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    expected = np.stack([ndimage.convolve(plane, kernel, mode=mode) for plane in image[0].numpy()])
    torch.testing.assert_close(losses.laplacian(image, border)[0], torch.from_numpy(expected))


def test_gram_matrix_of_two_channels_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[1 + 4, 3 + 8], [3 + 8, 9 + 16]]) / 4
    torch.testing.assert_close(losses.gram_matrix(features), expected)


def test_second_moment_is_the_weighted_sum_over_positions() -> None:
    features = torch.rand(1, 3, 4, 5, dtype=F64)
    weights = torch.rand(1, 1, 4, 5, dtype=F64)
    expected = torch.zeros(4, 4, dtype=F64)
    for i in range(4):
        for j in range(5):
            f = torch.cat((features[0, :, i, j], torch.ones(1, dtype=F64)))
            expected += weights[0, 0, i, j] * torch.outer(f, f)
    torch.testing.assert_close(losses.second_moment(features, weights), expected)


def test_style_statistics_without_weights_are_the_gram_matrix_and_numpys_covariance() -> None:
    features = torch.rand(1, 3, 4, 5, dtype=F64)
    moment = losses.second_moment(features)
    torch.testing.assert_close(losses.style_statistics(moment), losses.gram_matrix(features))
    covariance = np.cov(features.flatten(2)[0].numpy(), bias=True) / 3
    torch.testing.assert_close(losses.style_statistics(moment, "covariance"), torch.from_numpy(covariance))


def test_projected_moment_is_the_moment_of_projected_features() -> None:
    features = torch.rand(1, 3, 4, 5, dtype=F64)
    head = Head(torch.randn(6, 3, dtype=F64), torch.randn(6, dtype=F64))
    wide = losses.apply_head(features, head)
    torch.testing.assert_close(
        losses.project_moment(losses.second_moment(features), head), losses.second_moment(wide)
    )


def test_style_distance_is_zero_for_equal_and_one_for_nothing() -> None:
    target = torch.rand(4, 4, dtype=F64)
    assert losses.style_distance(target, target) == 0
    assert losses.style_distance(torch.zeros_like(target), target) == 1


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[[[0.0, 3.0], [1.0, -1.0]]]])
    assert losses.total_variation(image) == (3 + 2) + (1 + 4)


def test_gradient_loss_is_mean_or_relative_energy() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    assert losses.gradient_loss(a, b) == 2.5


def test_histogram_matching_of_as_many_values_is_the_sorted_target_in_the_order_of_ranks() -> None:
    features, target = torch.rand(50, 3, dtype=F64), torch.randn(50, 3, dtype=F64)
    matched = losses.match_histogram(features, target.sort(0).values)
    for channel in range(3):
        ranks = features[:, channel].argsort().argsort()
        expected = target[:, channel].sort().values[ranks]
        torch.testing.assert_close(matched[:, channel], expected)


def test_histogram_matching_agrees_with_scikit_image() -> None:
    from skimage.exposure import match_histograms

    random = np.random.default_rng(0)
    features, target = random.normal(0, 1, (4000, 1)), random.gamma(2, 1, (4000, 1))
    ours = losses.match_histogram(torch.from_numpy(features), torch.from_numpy(np.sort(target, 0))).numpy()
    theirs = match_histograms(features, target)
    assert np.abs(ours - theirs).max() < 1e-9


def test_histogram_loss_is_zero_for_the_same_distribution() -> None:
    values = torch.rand(64, 2, dtype=F64)
    assert losses.histogram_loss(values, values.sort(0).values) < 1e-20


def test_smoothed_activations_have_mean_one_over_their_own_layer() -> None:
    features = torch.randn(1, 4, 5, 6) * 3
    smooth = losses.smooth_activations(features, losses.log_mean_exp(features))
    softmax = torch.softmax(features.flatten(), 0) * features.numel()
    torch.testing.assert_close(smooth.flatten(), softmax, rtol=1e-4, atol=1e-6)


def test_gaussian_blur_is_scipys() -> None:
    image = _image(40, 40)
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), 2.0, mode="constant", truncate=3.0)
    blurred = losses.gaussian_blur(image, 2.0)[0, 0].numpy()
    assert np.abs(blurred - expected).max() < 1e-9


def test_gradients_agree_with_finite_differences() -> None:
    features = torch.rand(1, 3, 3, 4, dtype=F64, requires_grad=True)
    other = torch.rand(1, 3, 3, 4, dtype=F64)
    weights = torch.rand(1, 1, 3, 4, dtype=F64)
    style = losses.style_statistics(losses.second_moment(other))
    head = Head(torch.randn(5, 3, dtype=F64), torch.randn(5, dtype=F64))

    def style_of(f: torch.Tensor) -> torch.Tensor:
        return losses.style_distance(losses.style_statistics(losses.second_moment(f, weights)), style)

    def headed(f: torch.Tensor) -> torch.Tensor:
        return losses.project_moment(losses.second_moment(f, weights), head).square().sum()

    assert gradcheck(style_of, features)
    assert gradcheck(headed, features)
    assert gradcheck(lambda f: losses.content_loss(f, other, weights), features)
    assert gradcheck(lambda f: losses.content_loss(f, other), features)
    assert gradcheck(lambda f: losses.gradient_loss(losses.laplacian(f), other), features)
    assert gradcheck(lambda f: losses.gradient_loss(losses.laplacian(f, "replicate"), other), features)
    assert gradcheck(losses.total_variation, features)
    assert gradcheck(losses.gram_matrix, features)


def test_shift_of_colour_of_a_large_object_is_that_of_its_pixels() -> None:
    """Blocks stand for pixels under a wide blur: the same number as by a Gaussian of the pixels themselves."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 1, 430, 421)
    mask[:, :, 15:420, 20:400] = 1
    reference = 255 * torch.rand(1, 3, 430, 421, generator=generator)
    ramp = torch.linspace(0, 30, 421) * torch.tensor([1.0, 0.3, -0.6]).view(1, 3, 1, 1)
    blend = reference + ramp + 5 * torch.randn(reference.shape, generator=generator)
    context = SimpleNamespace(area=mask.sum(), framed=lambda image: image, reference=reference, mask=mask)
    term = ColourShift(context)  # type: ignore[arg-type]
    assert term.block > 1
    sigma = math.sqrt(float(mask.sum())) / 20
    moved = (mask * (blend - reference)).numpy().astype(np.float64)
    low = ndimage.gaussian_filter(moved, (0, 0, sigma, sigma), mode="constant", truncate=3)
    cover = ndimage.gaussian_filter(mask.numpy().astype(np.float64), (0, 0, sigma, sigma), mode="constant")
    chroma = moved - moved.mean(1, keepdims=True)
    expected = (((low / cover.clip(0.05)) ** 2 + chroma**2) * mask.numpy()).sum() / (64**2 * 3 * mask.sum())
    assert float(term(blend)) == pytest.approx(float(expected), rel=0.01)
