"""The pyramid's coefficients: a picture and back, whatever its size, and steps that leave fine chroma alone."""

from __future__ import annotations

import pytest
import torch

from deep_image_blending.solve.pyramid import Pyramid


@pytest.mark.parametrize("size", [(16, 24), (17, 31), (1, 1), (9, 2)])
def test_coefficients_give_the_picture_back(size: tuple[int, int]) -> None:
    picture = 255 * torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pyramid = Pyramid(picture)
    x = pyramid.coefficients(picture)
    assert x.shape == (pyramid.count,)
    torch.testing.assert_close(pyramid.picture(x), picture, rtol=1e-12, atol=1e-9)


def test_a_gradient_step_moves_fine_chroma_least() -> None:
    picture = torch.full((1, 3, 32, 32), 128.0, dtype=torch.float64)
    pyramid = Pyramid(picture)
    x = pyramid.coefficients(picture).requires_grad_()
    wanted = picture + 40 * torch.randn(
        picture.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    (gradient,) = torch.autograd.grad((pyramid.picture(x) - wanted).square().sum(), x)
    change = pyramid.picture(x.detach() - 0.01 * gradient) - picture
    opponent = torch.einsum("kc,nchw->nkhw", pyramid.to_opponent, change)
    fine = opponent - torch.nn.functional.avg_pool2d(opponent, 3, 1, 1)
    luminance, blue, red = fine.square().mean((0, 2, 3))
    assert luminance > 4 * blue
    assert luminance > 4 * red
