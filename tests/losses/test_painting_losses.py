"""The losses of painting: what they are 0 for, and their gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from deep_image_blending.losses.covariance import covariance_loss
from deep_image_blending.losses.form import Form, form_loss
from deep_image_blending.losses.moments import mean_and_covariance, moments_loss
from deep_image_blending.losses.neighbours import neighbours_loss
from deep_image_blending.losses.tone import Tone, beyond_range, tone_loss
from deep_image_blending.networks.network import Head

DICE = torch.Generator().manual_seed(0)


def _random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=DICE, dtype=torch.float64)


ROWS, OTHERS = _random(20, 5), _random(20, 5)
PIXELS, WANTED = 255 * _random(1, 3, 24, 24), 255 * _random(1, 3, 24, 24)
MASK = torch.zeros(1, 1, 24, 24, dtype=torch.float64)
MASK[..., 6:18, 6:18] = 1
FORM = Form.of(WANTED, MASK, 128 + 20 * _random(1, 3, 40, 40), 4, 3.0)
FREEDOM = torch.full((1, 3, 1, 1), 0.01, dtype=torch.float64)
TONE = Tone(WANTED, MASK, 3 * MASK, 4, FREEDOM, torch.ones(3, dtype=torch.float64))


def _moments(rows: Tensor) -> Tensor:
    return moments_loss(mean_and_covariance(rows), mean_and_covariance(OTHERS), None)


def _covariance(rows: Tensor) -> Tensor:
    return covariance_loss(mean_and_covariance(rows)[1], mean_and_covariance(OTHERS)[1])


@pytest.mark.parametrize(
    ("loss", "at", "same"),
    [
        (lambda rows: neighbours_loss(rows, OTHERS), ROWS, OTHERS),
        (_moments, ROWS, OTHERS),
        (_covariance, ROWS, OTHERS),
        (lambda pixels: form_loss(pixels, FORM), PIXELS, WANTED),
        (lambda pixels: tone_loss(pixels, TONE), PIXELS, WANTED),
        (beyond_range, 3 * PIXELS - 200, PIXELS),
    ],
    ids=["neighbours", "moments", "covariance", "form", "tone", "beyond range"],
)
def test_a_loss_is_zero_for_what_is_wanted_and_its_gradient_is_right(
    loss: Callable[[Tensor], Tensor], at: Tensor, same: Tensor
) -> None:
    assert float(loss(same)) == pytest.approx(0, abs=1e-9)
    x = at.clone().requires_grad_()
    value = loss(x)
    assert float(value.detach()) > 0
    (gradient,) = torch.autograd.grad(value, x)
    direction = torch.randn(at.shape, generator=DICE, dtype=torch.float64)
    step = 1e-5
    measured = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(measured), rel=1e-4)


def test_moments_through_a_head_equal_those_of_the_mapped_features() -> None:
    head = Head(_random(7, 5) - 0.5, _random(7))
    mapped = [mean_and_covariance(rows @ head.weight.T + head.bias) for rows in (ROWS, OTHERS)]
    through = moments_loss(mean_and_covariance(ROWS), mean_and_covariance(OTHERS), head)
    torch.testing.assert_close(through, moments_loss(mapped[0], mapped[1], None))


def test_contours_that_stand_out_of_the_paintings_texture_count_and_others_do_not() -> None:
    picture = torch.full((1, 3, 40, 40), 100.0)
    picture[..., 20:] = 180.0
    mask, noise = torch.ones(1, 1, 40, 40), np.random.default_rng(0)
    calm = torch.from_numpy(noise.normal(128, 2, (1, 3, 60, 60))).float()
    rough = torch.from_numpy(noise.normal(128, 60, (1, 3, 60, 60))).float()
    weights = [Form.of(picture, mask, around, 2, 3.0).weight for around in (calm, rough)]
    assert float(weights[0][..., 20].mean()) > 0.95
    assert float(weights[0][..., 5].mean()) < 0.05
    assert float(weights[1][..., 20].mean()) < 0.5


def test_tone_is_free_within_the_strokes_contrast_and_less_where_it_counts_more() -> None:
    evenly = replace(TONE, counted=MASK)
    assert float(tone_loss(WANTED + 2.0, evenly)) == 0
    assert float(tone_loss(WANTED + 20.0, evenly)) > 0
    # Three times the weight: a third of the freedom, which is a hundredth of the range.
    assert float(tone_loss(WANTED + 0.8, TONE)) == 0
    beyond = (2.0 - 2.55 / 3) / 255
    assert float(tone_loss(WANTED + 2.0, TONE)) == pytest.approx(beyond**2, rel=0.3)
