"""Gradients by hand, against autograd on what they stand for."""

from __future__ import annotations

import torch

from deep_image_blending.losses.by_hand import chroma, squared_laplacian, variation, weighted_form, weighted_gram
from deep_image_blending.losses.gradient import laplacian
from deep_image_blending.losses.total_variation import total_variation

F64 = torch.float64


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_weighted_gram_and_its_gradient_are_autograds() -> None:
    rows, weights, up, along = _drawn(31, 5), _drawn(31, 1).abs(), _drawn(5, 5), _drawn(5)
    found, expected = (rows.clone().requires_grad_(True) for _ in range(2))
    gram, mean = weighted_gram(found, weights)
    plain = expected.T @ (expected * weights)
    torch.testing.assert_close(gram, plain)
    torch.testing.assert_close(mean, (expected * weights).sum(0))
    ((gram * up).sum() + mean @ along).backward()
    ((plain * up).sum() + (expected * weights).sum(0) @ along).backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_the_weighted_form_and_its_gradient_are_autograds() -> None:
    rows, weights, root = _drawn(31, 5), _drawn(31).abs(), _drawn(7, 5)
    found, expected = (rows.clone().requires_grad_(True) for _ in range(2))
    value = weighted_form(found, root.T @ root, weights)
    plain = ((expected @ root.T).square().sum(1) * weights).sum()
    torch.testing.assert_close(value, plain)
    (3 * value).backward()
    (3 * plain).backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_the_squared_laplacian_and_its_gradient_are_autograds() -> None:
    image, guidance = _drawn(1, 3, 6, 9), _drawn(1, 3, 6, 9)
    inside = (_drawn(1, 1, 6, 9) > 0).to(F64)
    found, expected = (image.clone().requires_grad_(True) for _ in range(2))
    value = squared_laplacian(found, inside, guidance * inside)
    plain = ((laplacian(expected, "replicate") - guidance) * inside).square().sum()
    torch.testing.assert_close(value, plain)
    (3 * value).backward()
    (3 * plain).backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_the_variation_and_its_gradient_are_autograds() -> None:
    found, expected = (_drawn(1, 3, 6, 9).requires_grad_(True) for _ in range(2))
    value, plain = variation(found), total_variation(expected)
    torch.testing.assert_close(value, plain)
    (3 * value).backward()
    (3 * plain).backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_the_chroma_and_its_gradient_are_autograds() -> None:
    image, weights = _drawn(1, 3, 6, 9), _drawn(1, 1, 6, 9).abs()
    found, expected = (image.clone().requires_grad_(True) for _ in range(2))
    value = chroma(found, weights)
    plain = ((expected - expected.mean(1, keepdim=True)).square() * weights).sum()
    torch.testing.assert_close(value, plain)
    (3 * value).backward()
    (3 * plain).backward()
    torch.testing.assert_close(found.grad, expected.grad)
