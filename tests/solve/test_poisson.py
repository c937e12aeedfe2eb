"""The Poisson solver against SciPy's direct solver and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from deep_image_blending.solve import poisson
from deep_image_blending.solve.membrane import edge_stopping_membrane
from deep_image_blending.solve.poisson import guidance_laplacian, mixed_laplacian, poisson_residual, solve_poisson

Pixel = tuple[int, int]


def _neighbours(pixel: Pixel, shape: tuple[int, ...]) -> Iterator[Pixel]:
    i, j = pixel
    for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
        if 0 <= a < shape[0] and 0 <= b < shape[1]:
            yield a, b


def _eliminated(
    known: np.ndarray,
    right: np.ndarray,
    region: np.ndarray,
    weight: Callable[[Pixel, Pixel], float] = lambda p, q: 1.0,
    mass: float = 0.0,
) -> np.ndarray:
    """Σ weight (u_p - u_q) + mass u_p = right_p: every pixel of the region an equation, solved by elimination."""
    number = {(int(i), int(j)): k for k, (i, j) in enumerate(np.argwhere(region))}
    entries: list[tuple[int, int, float]] = []
    sides = np.array([right[p] for p in number], np.float64)
    for p, row in number.items():
        entries.append((row, row, mass))
        for q in _neighbours(p, region.shape):
            entries.append((row, row, weight(p, q)))
            if q in number:
                entries.append((row, number[q], -weight(p, q)))
            else:
                sides[row] += weight(p, q) * known[q]
    rows, columns, values = zip(*entries, strict=True)
    matrix = sparse.coo_matrix((values, (rows, columns))).tocsc()
    result = known.astype(np.float64)
    result[region] = np.stack([np.atleast_1d(spsolve(matrix, sides[:, c])) for c in range(known.shape[2])], 1)
    return result


def _direct(target: np.ndarray, laplacian: np.ndarray, region: np.ndarray) -> np.ndarray:
    return _eliminated(target, laplacian, region)


def _pictures(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(ndimage.gaussian_filter(random.uniform(0, 255, (height, width, 2)), (1.5, 1.5, 0)) for _ in "st")


def _regions() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    height, width = 23, 30
    y, x = np.mgrid[:height, :width]
    empty = np.zeros((height, width), bool)
    blobs, border, holes = empty.copy(), empty.copy(), empty.copy()
    blobs[2:9, 3:11] = blobs[12:21, 15:28] = True
    border[:, :9] = border[-5:] = True
    holes[3:20, 3:26] = True
    holes[8:12, 9:15] = False
    return {
        "blobs": blobs,
        "border": border,
        "corner": (y < 13) & (x > 11),
        "opposite corners": ((y < 9) & (x < 9)) | ((y > 14) & (x > 20)),
        "inner pixel": (y == 7) & (x == 7),
        "corner pixel": (y == 0) & (x == 0),
        "row": y == 11,
        "border row": y == 22,
        "column": (x == 5) & (y > 2),
        "diagonal": y == x,
        "comb": (x % 2 == 0) | (y == 9),
        "holes": holes,
        "specks": random.random((height, width)) > 0.4,
        "forty blobs": (y % 4 < 2) & (x % 4 < 3),
        "all but one": (y != 11) | (x != 4),
        "all but a corner": y + x > 0,
    }


@pytest.mark.parametrize("region", _regions().values(), ids=_regions().keys())
def test_solution_equals_the_direct_solvers(region: np.ndarray) -> None:
    source, target = _pictures(*region.shape)
    laplacian = guidance_laplacian(source)
    solved = solve_poisson(target, laplacian, region, tolerance=1e-9)
    np.testing.assert_allclose(solved, _direct(target, laplacian, region), atol=1e-4)
    assert (solved[~region] == target[~region]).all()
    assert poisson_residual(solved, laplacian, region) < 1e-14


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 90), (90, 1), (2, 61), (3, 3), (8, 9), (13, 17), (37, 41)])
@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
def test_any_canvas_and_any_region_equal_the_direct_solution(shape: tuple[int, int], share: float) -> None:
    region = np.random.default_rng(3).random(shape) < share
    region[-1, -1] = False
    source, target = _pictures(*shape)
    laplacian = guidance_laplacian(source)
    expected = _direct(target, laplacian, region) if region.any() else target
    np.testing.assert_allclose(solve_poisson(target, laplacian, region, tolerance=1e-10), expected, atol=1e-3)


def test_blobs_far_apart_are_solved_each_on_its_own() -> None:
    region = np.zeros((301, 293), bool)
    region[:12, :9] = region[280:, 270:] = region[150:163, 3:14] = True
    source, target = _pictures(*region.shape)
    laplacian = guidance_laplacian(source)
    assert len(list(poisson._parts(region))) == 3
    solved = solve_poisson(target, laplacian, region, tolerance=1e-9)
    np.testing.assert_allclose(solved, _direct(target, laplacian, region), atol=1e-4)


def test_blobs_close_together_are_solved_at_once() -> None:
    region = _regions()["forty blobs"]
    ((_, inside),) = poisson._parts(region)
    assert inside.sum() == region.sum()


def test_mixed_gradients_are_solved_as_exactly() -> None:
    region = _regions()["border"]
    source, target = _pictures(*region.shape)
    laplacian = mixed_laplacian(source, target, region)
    solved = solve_poisson(target, laplacian, region, tolerance=1e-9)
    np.testing.assert_allclose(solved, _direct(target, laplacian, region), atol=1e-4)


@pytest.mark.parametrize("region", [*_regions().values(), np.ones((23, 30), bool)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_constant_pictures_stay_constant(region: np.ndarray, kind: type) -> None:
    constant = np.full((*region.shape, 3), 77, kind)
    with np.errstate(divide="raise", invalid="raise"):
        solved = solve_poisson(constant, guidance_laplacian(constant + kind(9)), region)
        membrane = edge_stopping_membrane(constant, constant, region)
    np.testing.assert_array_equal(solved, 77)
    np.testing.assert_array_equal(membrane, 0)


def _conductances(source: np.ndarray, edge: float) -> Callable[[Pixel, Pixel], float]:
    smooth = ndimage.gaussian_filter(source.astype(float), (0.7, 0.7, 0))
    return lambda p, q: 1 / (1 + (np.sqrt(((smooth[p] - smooth[q]) ** 2).sum()) / edge) ** 4) + 1e-4


@pytest.mark.parametrize("region", _regions().values(), ids=_regions().keys())
def test_membrane_equals_the_direct_solution(region: np.ndarray) -> None:
    source, target = _pictures(*region.shape)
    source[8:15, 6:20] += 120
    added = edge_stopping_membrane(source, target, region, tolerance=1e-9)
    weight = _conductances(source, 4.0)
    none = np.zeros_like(source)
    expected = _eliminated(target - source, none, region, weight, mass=4 / region.sum())
    np.testing.assert_allclose(added, expected, atol=1e-3)
    assert (added[~region] == (target - source)[~region]).all()


def test_membranes_default_tolerance_is_a_tenth_of_a_level_on_average() -> None:
    random = np.random.default_rng(4)
    region = ndimage.gaussian_filter(random.normal(size=(70, 90)), 9) > 0
    source, target = (ndimage.gaussian_filter(random.uniform(0, 255, (70, 90, 1)), (2, 2, 0)) for _ in "st")
    source = 2 * source
    expected = _eliminated(target - source, 0 * source, region, _conductances(source, 4.0), 4 / region.sum())
    assert np.abs(edge_stopping_membrane(source, target, region) - expected)[region].mean() < 0.1


def test_membrane_without_a_boundary_adds_nothing() -> None:
    source, target = _pictures(16, 20)
    assert not edge_stopping_membrane(source, target, np.ones((16, 20), bool)).any()
    empty = edge_stopping_membrane(source, target, np.zeros((16, 20), bool))
    np.testing.assert_array_equal(empty, target - source)


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


@pytest.mark.parametrize("shape", [(16, 20), (1, 90), (33, 1), (61, 47)])
def test_whole_canvas_is_the_source_up_to_a_constant(shape: tuple[int, int]) -> None:
    source, target = _pictures(*shape)
    solved = solve_poisson(target, guidance_laplacian(source), np.ones(shape, bool), tolerance=1e-10)
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


def test_membrane_asks_nothing_where_the_source_shows_nothing() -> None:
    # The object reaches the source's last column: what lies beyond is no background of its own.
    source, target = np.full((20, 24, 3), 30.0), np.full((20, 24, 3), 200.0)
    region, known = np.zeros((20, 24), bool), np.ones((20, 24), bool)
    region[5:15, 6:18] = True
    known[:, 18:] = False
    source[region] = 90
    free = edge_stopping_membrane(source, target, region, edge=1e6, tolerance=1e-9, known=known)
    held = edge_stopping_membrane(source, target, region, edge=1e6, tolerance=1e-9)
    # Without edges it is a harmonic function with mass: flat across the border that asks nothing.
    slopes = [np.abs(np.diff(added[5:15, 16:18], axis=1)).max() for added in (free, held)]
    assert slopes[0] < 0.1 * slopes[1]
    alone = edge_stopping_membrane(source, target, region, known=np.zeros_like(region))
    np.testing.assert_array_equal(alone[region], 0)
