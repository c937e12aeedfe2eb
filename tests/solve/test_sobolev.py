"""The preconditioner is the operator it says, symmetric and positive definite."""

from __future__ import annotations

import numpy as np
import torch
from scipy import fft

from deep_image_blending.solve.pixels import Pixels
from deep_image_blending.solve.preconditioner import sine_transform, sobolev_preconditioner

F64 = torch.float64


def test_sine_transform_is_scipys() -> None:
    x = torch.randn(2, 11, dtype=F64)
    np.testing.assert_allclose(sine_transform(x).numpy(), fft.dst(x.numpy(), type=1), atol=1e-10)


def test_on_a_rectangle_it_inverts_identity_plus_the_squared_laplacian() -> None:
    height, width, cutoff = 7, 11, 2.0
    pixels = Pixels(torch.zeros(1, 3, height, width, dtype=F64), None)
    apply = sobolev_preconditioner(pixels, cutoff)

    def one_dimensional(n: int) -> np.ndarray:
        return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)

    laplacian = np.kron(one_dimensional(height), np.eye(width)) + np.kron(np.eye(height), one_dimensional(width))
    expected = np.linalg.inv(np.eye(height * width) + laplacian @ laplacian / cutoff**2)
    vector = torch.randn(3 * height * width, dtype=F64)
    found = apply(vector).view(3, -1).numpy()
    np.testing.assert_allclose(found, vector.view(3, -1).numpy() @ expected.T, atol=1e-10)


def test_on_a_mask_it_is_symmetric_and_positive_definite() -> None:
    chosen = torch.zeros(1, 1, 20, 20)
    chosen[..., 3:9, 4:15] = 1
    chosen[..., 12:18, 2:6] = 1
    pixels = Pixels(torch.zeros(1, 3, 20, 20, dtype=F64), chosen)
    apply = sobolev_preconditioner(pixels, 2.0)
    assert pixels.index is not None
    count = 3 * pixels.index.numel()
    matrix = torch.stack([apply(row) for row in torch.eye(count, dtype=F64)])
    torch.testing.assert_close(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0
