"""The Poisson solver against SciPy's direct solver and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from deep_image_blending.poisson import (
    guidance_laplacian,
    mixed_laplacian,
    poisson_residual,
    solve_poisson,
)


def _direct(target: np.ndarray, laplacian: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Every pixel an equation, solved by elimination."""
    height, width = region.shape
    number = np.arange(region.size).reshape(region.shape)
    matrix = sparse.lil_matrix((region.size, region.size))
    right = np.zeros((region.size, target.shape[2]))
    for i in range(height):
        for j in range(width):
            row = number[i, j]
            if not region[i, j]:
                matrix[row, row] = 1
                right[row] = target[i, j]
                continue
            right[row] = laplacian[i, j]
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= a < height and 0 <= b < width:
                    matrix[row, row] += 1
                    matrix[row, number[a, b]] -= 1
    return np.stack([spsolve(matrix.tocsr(), right[:, c]) for c in range(target.shape[2])], 1).reshape(
        target.shape
    )


def _pictures(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(ndimage.gaussian_filter(random.uniform(0, 255, (height, width, 2)), (1.5, 1.5, 0)) for _ in "st")


def _regions() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    empty = np.zeros((23, 30), bool)
    blobs, border, pixel, holes = empty.copy(), empty.copy(), empty.copy(), empty.copy()
    blobs[2:9, 3:11] = blobs[12:21, 15:28] = True
    border[:, :9] = border[-5:] = True
    pixel[7, 7] = pixel[0, 0] = True
    holes[3:20, 3:26] = True
    holes[8:12, 9:15] = False
    nearly = ~empty
    nearly[11, 4] = False
    return {
        "blobs": blobs,
        "border": border,
        "pixels": pixel,
        "holes": holes,
        "specks": random.random((23, 30)) > 0.4,
        "all but one": nearly,
    }


@pytest.mark.parametrize("region", _regions().values(), ids=_regions().keys())
def test_solution_equals_the_direct_solvers(region: np.ndarray) -> None:
    source, target = _pictures(*region.shape)
    laplacian = guidance_laplacian(source)
    solved = solve_poisson(target, laplacian, region, tolerance=1e-9)
    np.testing.assert_allclose(solved, _direct(target, laplacian, region), atol=1e-4)
    assert (solved[~region] == target[~region]).all()
    assert poisson_residual(solved, laplacian, region) < 1e-14


def test_default_tolerance_is_below_a_tenth_of_a_grey_level() -> None:
    random = np.random.default_rng(2)
    region = ndimage.gaussian_filter(random.normal(size=(70, 90)), 9) > 0
    source, target = (ndimage.gaussian_filter(random.uniform(0, 255, (70, 90, 1)), (2, 2, 0)) for _ in "st")
    laplacian = guidance_laplacian(source)
    solved = solve_poisson(target, laplacian, region)
    assert np.abs(solved - _direct(target, laplacian, region)).max() < 0.1


def test_a_start_does_not_change_the_solution() -> None:
    region = _regions()["blobs"]
    source, target = _pictures(*region.shape)
    laplacian = guidance_laplacian(source)
    plain = solve_poisson(target, laplacian, region, tolerance=1e-9)
    started = solve_poisson(target, laplacian, region, initial=source, tolerance=1e-9)
    np.testing.assert_allclose(plain, started, atol=1e-4)


def test_ramp_is_continued_into_a_hole_without_guidance() -> None:
    y, x = np.mgrid[:20, :24].astype(float)
    ramp = (3 * x + 5 * y + 7)[..., None]
    region = np.zeros((20, 24), bool)
    region[4:15, 5:20] = True
    torn = np.where(region[..., None], 0.0, ramp)
    np.testing.assert_allclose(solve_poisson(torn, np.zeros_like(torn), region, tolerance=1e-10), ramp, atol=1e-5)


def test_whole_canvas_is_the_source_up_to_a_constant() -> None:
    source, target = _pictures(16, 20)
    solved = solve_poisson(target, guidance_laplacian(source), np.ones((16, 20), bool), tolerance=1e-10)
    shift = target.mean((0, 1)) - source.mean((0, 1))
    np.testing.assert_allclose(solved, source + shift, atol=1e-4)


def test_empty_region_is_the_target() -> None:
    source, target = _pictures(16, 20)
    assert (solve_poisson(target, guidance_laplacian(source), np.zeros((16, 20), bool)) == target).all()


def test_brightness_of_the_source_does_not_matter() -> None:
    region = _regions()["border"]
    source, target = _pictures(*region.shape)
    plain = solve_poisson(target, guidance_laplacian(source), region)
    np.testing.assert_allclose(plain, solve_poisson(target, guidance_laplacian(source + 40), region), atol=1e-6)


def test_laplacian_of_a_border_pixel_counts_the_neighbours_that_exist() -> None:
    image = np.array([[1.0, 4.0], [2.0, 8.0]])[..., None]
    np.testing.assert_array_equal(guidance_laplacian(image)[..., 0], [[-4, -1], [-5, 10]])


def test_mixed_gradients_take_the_stronger_edge() -> None:
    flat, edge = np.zeros((5, 6, 1)), np.zeros((5, 6, 1))
    edge[:, 3:] = 10
    region = np.ones((5, 6), bool)
    np.testing.assert_array_equal(mixed_laplacian(flat, edge, region), guidance_laplacian(edge))
    np.testing.assert_array_equal(mixed_laplacian(edge, flat, region), guidance_laplacian(edge))
    np.testing.assert_array_equal(mixed_laplacian(edge, flat, ~region), guidance_laplacian(flat))
