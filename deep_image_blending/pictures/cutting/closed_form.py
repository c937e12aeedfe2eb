"""Closed-form matting (Levin, Lischinski, Weiss 2008) of an unknown band.

In every 3x3 window colours are taken to lie on a line between one foreground and one background colour. Alpha is
then a linear function of colour there, and the sum of what it misses over all windows is `alpha^T L alpha` with
the matting Laplacian L. Only windows that touch unknown pixels are ever computed, and known pixels are put into
the right-hand side, so that time and memory grow with the band and not with the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.regions import EIGHT, Bool, Float, box_of

if TYPE_CHECKING:
    from scipy.sparse import linalg

Matrix = Any
"""scipy.sparse.csr_array; its stubs make it generic, which the installed class is not everywhere."""

EPSILON = 1e-5
# Windows computed at once: few enough that a processor's cache holds them.
_CHUNK = 4_000
# Up to here a sparse factorisation is the fastest; a band's fills in little, as it is long and narrow.
_DIRECT = 30_000
# Alpha is then right to half a grey level of 8 bits.
_TOLERANCE = 2e-5
_ITERATIONS = 400
# Cells of one aggregate of the coarse level: a block of this side.
_BLOCK = 4
_WINDOW = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_REACH = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
# Where in the reach a window's pixel b lies, seen from its pixel a.
_SLOTS = [[_REACH.index((b[0] - a[0], b[1] - a[1])) for b in _WINDOW] for a in _WINDOW]


def closed_form_alpha(picture: Float, known: Float, unknown: Bool, *, epsilon: float = EPSILON) -> Float:
    """Alpha: solved for where `unknown`, `known` elsewhere.

    picture (H, W, 3) and known (H, W) float32 in 0..1, unknown (H, W) bool, both sides at least 3. Returns
    (H, W) float32 in 0..1. `epsilon` keeps alpha smooth where a window has one colour (Levin et al., eq. 12).
    Raises InputError for a picture without a window.
    """
    if min(unknown.shape) < 3:
        height, width = unknown.shape
        raise InputError(f"matting needs a picture of at least 3x3 pixels, not {width}x{height}")
    alpha = known.astype(np.float32, copy=True)
    if not unknown.any():
        return alpha
    box = box_of(unknown, 2)
    matrix, pull = matting_system(picture[box], alpha[box], unknown[box], epsilon)
    rows, columns = np.nonzero(unknown[box])
    solved = _solved(matrix, pull, rows, columns)
    alpha[box][rows, columns] = solved.clip(0, 1)
    return alpha


def matting_system(picture: Float, known: Float, unknown: Bool, epsilon: float) -> tuple[Matrix, npt.NDArray[Any]]:
    """The rows of the matting Laplacian of unknown pixels, row by row: (n, n) CSR, and (n,) their right-hand side.

    Arguments as in `closed_form_alpha`. `matrix @ alpha[unknown] = right` has the alpha that is sought.
    """
    from scipy import sparse

    stencil, neighbours = _stencils(picture, unknown, epsilon)
    numbers = _numbered(unknown)
    padded = np.pad(known.astype(np.float64), 2).ravel()
    inner = np.pad(numbers, 2, constant_values=-1).ravel()
    right = np.zeros(len(stencil))
    columns = np.empty(stencil.shape, np.int32)
    for k in range(len(_REACH)):
        place = neighbours[:, k]
        columns[:, k] = inner[place]
        outer = columns[:, k] < 0
        right[outer] -= stencil[outer, k] * padded[place[outer]]
    there = columns >= 0
    # 32 bits throughout: indices of two kinds make every product convert one of them.
    starts = np.cumsum(np.concatenate([[0], there.sum(1)]), dtype=np.int32)
    shape = (len(stencil), len(stencil))
    return sparse.csr_array((stencil[there], columns[there], starts), shape=shape), right


def _stencils(picture: Float, unknown: Bool, epsilon: float) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(n, 25) entries of L for the 5x5 pixels around each of n unknown ones; their flat places, padded by 2."""
    width = unknown.shape[1]
    numbers = _numbered(unknown).ravel()
    centres = np.asarray(ndimage.binary_dilation(unknown, EIGHT))
    centres[[0, -1]] = False
    centres[:, [0, -1]] = False
    flat = np.flatnonzero(centres)
    steps = np.array([y * width + x for y, x in _WINDOW])
    pixels = picture.reshape(-1, 3)
    stencil = np.zeros((len(_REACH), int(unknown.sum())))
    for start in range(0, len(flat), _CHUNK):
        places = steps[:, None] + flat[start : start + _CHUNK]
        weights = _window_laplacians(np.moveaxis(pixels[places], 2, 1).astype(np.float64), epsilon)
        rows = numbers[places]
        for a in range(9):
            # A pixel is the a-th of one window only, so no row comes twice here.
            of_band = np.flatnonzero(rows[a] >= 0)
            own = rows[a, of_band]
            for b in range(9):
                stencil[_SLOTS[a][b], own] += weights[min(a, b), max(a, b)][of_band]
    down, across = np.nonzero(unknown)
    middle = (down + 2) * (width + 4) + across + 2
    return stencil.T, middle[:, None] + np.array([y * (width + 4) + x for y, x in _REACH])


def _window_laplacians(colours: npt.NDArray[Any], epsilon: float) -> dict[tuple[int, int], npt.NDArray[Any]]:
    """(9, 3, m) colours of windows -> each window's share of L (Levin et al., eq. 12): (m,) for pixels a <= b.

    Entry by entry over all windows: NumPy multiplies so many matrices of 3x3 far more slowly.
    """
    centred = colours - colours.mean(0)
    reds, greens, blues = centred[:, 0], centred[:, 1], centred[:, 2]
    p, q, r, s, t, u = (
        np.einsum("im,im->m", one, other) / 9 + (epsilon / 9 if one is other else 0)
        for one, other in (
            (reds, reds), (reds, greens), (reds, blues), (greens, greens), (greens, blues), (blues, blues),
        )
    )  # fmt: skip
    # The covariance [p q r; q s t; r t u] inverted by cofactors.
    inverse = [[s * u - t * t, r * t - q * u, q * t - r * s], [p * u - r * r, q * r - p * t], [p * s - q * q]]
    scale = 1 / (p * inverse[0][0] + q * inverse[0][1] + r * inverse[0][2])
    (a, b, c), (d, e), (f,) = ([entry * scale for entry in row] for row in inverse)
    found = {}
    for i in range(9):
        x, y, z = centred[i]
        along = a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z
        for j in range(i, 9):
            spread = along[0] * reds[j] + along[1] * greens[j] + along[2] * blues[j]
            found[i, j] = (1.0 if i == j else 0.0) - (1 + spread) / 9
    return found


def _solved(matrix: Matrix, right: npt.NDArray[Any], rows: Any, columns: Any) -> npt.NDArray[Any]:
    """Direct for small bands; conjugate gradients with a coarse level for large ones."""
    from scipy import sparse
    from scipy.sparse import linalg

    # A pixel that no known one reaches has nothing to say; a little weight keeps the matrix regular.
    matrix = matrix + sparse.diags_array(np.full(len(right), 1e-9)).tocsr()
    if len(right) <= _DIRECT:
        return np.asarray(_factorised(matrix).solve(right))
    precondition = _two_levels(matrix, rows, columns)
    solved, _ = linalg.cg(matrix, right, rtol=_TOLERANCE, maxiter=_ITERATIONS, M=precondition)
    return solved


def _two_levels(matrix: Matrix, rows: Any, columns: Any) -> linalg.LinearOperator:
    """One smoothing, a coarse correction, one smoothing: a symmetric preconditioner.

    The coarse level has one unknown a block of pixels, its basis smoothed once (Vanek, Mandel, Brezina 1996).
    """
    from scipy import sparse
    from scipy.sparse import linalg

    count = len(rows)
    _, block = np.unique((rows // _BLOCK) * (columns.max() // _BLOCK + 1) + columns // _BLOCK, return_inverse=True)
    plain = sparse.csr_array((np.ones(count), (np.arange(count), block)))
    scale = 1 / matrix.diagonal()
    jacobi = sparse.diags_array(scale / _greatest(matrix, scale))
    basis = (plain - (4 / 3) * (jacobi @ (matrix @ plain))).tocsr()
    smooth = scale / _greatest(matrix, scale)
    back = basis.T.tocsr()
    coarse = _factorised(back @ matrix @ basis)

    def applied(residual: npt.NDArray[Any]) -> npt.NDArray[Any]:
        guess = smooth * residual
        guess += basis @ coarse.solve(back @ (residual - matrix @ guess))
        return np.asarray(guess + smooth * (residual - matrix @ guess))

    return linalg.LinearOperator(matrix.shape, matvec=applied, dtype=np.float64)


def _factorised(matrix: Matrix) -> Any:
    from scipy.sparse import linalg

    return linalg.splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})


def _greatest(matrix: Matrix, scale: npt.NDArray[Any]) -> float:
    """The greatest eigenvalue of the matrix over its diagonal, by a few power steps, and a little more."""
    vector = np.cos(np.arange(len(scale)) * 2.4)
    for _ in range(12):
        vector = scale * (matrix @ vector)
        size = float(np.linalg.norm(vector))
        vector /= size
    return 1.1 * size


def _numbered(unknown: Bool) -> npt.NDArray[np.int32]:
    numbers = np.full(unknown.shape, -1, np.int32)
    numbers[unknown] = np.arange(int(unknown.sum()), dtype=np.int32)
    return numbers
