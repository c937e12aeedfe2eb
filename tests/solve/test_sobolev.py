"""The preconditioner is the operator it says, symmetric and positive definite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_image_blending.solve.pixels import Pixels
from deep_image_blending.solve.preconditioner import sobolev_preconditioner, widened

F64 = torch.float64


def test_on_a_rectangle_it_inverts_identity_plus_the_squared_laplacian_of_the_widened_box() -> None:
    height, width, cutoff = 7, 11, 2.0
    pixels = Pixels(torch.zeros(1, 3, height, width, dtype=F64), None)
    rows, columns = widened((height, width), cutoff)
    assert rows >= height + 6
    assert columns >= width + 6

    def periodic(n: int) -> np.ndarray:
        return 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0)

    laplacian = np.kron(periodic(rows), np.eye(columns)) + np.kron(np.eye(rows), periodic(columns))
    inverse = np.linalg.inv(np.eye(rows * columns) + laplacian @ laplacian / cutoff**2)
    inside = np.zeros((rows, columns), bool)
    inside[:height, :width] = True
    expected = inverse[np.ix_(inside.ravel(), inside.ravel())]
    vector = torch.randn(3 * height * width, dtype=F64)
    found = sobolev_preconditioner(pixels, cutoff)(vector).view(3, -1).numpy()
    np.testing.assert_allclose(found, vector.view(3, -1).numpy() @ expected.T, atol=1e-10)


@pytest.mark.parametrize("cutoff", [0.3, 2.0])
def test_opposite_edges_hardly_see_each_other(cutoff: float) -> None:
    pixels = Pixels(torch.zeros(1, 3, 1, 200, dtype=F64), None)
    pushed = torch.zeros(3, 200, dtype=F64)
    pushed[:, 0] = 1
    found = sobolev_preconditioner(pixels, cutoff)(pushed.view(-1)).view(3, 200)
    assert float(found[:, 100:].abs().max()) < 0.01 * float(found.max())


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
