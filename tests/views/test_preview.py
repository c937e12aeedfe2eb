"""The preview's panels show the scene's own numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.views.contact_sheet import GAP
from deep_image_blending.views.preview import FRAME, OUTLINE, describe, mask_edge, preview
from tests.conftest import disc_mask, smooth_picture


def placed(canvas: int, x: float, y: float) -> Scene:
    source = load_picture(smooth_picture(1, 40, 50))
    mask = disc_mask(40, 50).astype(np.float32) / 255
    return compose_scene(source, mask, load_picture(smooth_picture(2, canvas, canvas)), Placement(x=x, y=y))


def panels(picture: np.ndarray, side: int) -> list[np.ndarray]:
    """The three squares, cut out of the sheet."""
    top = picture.shape[0] - GAP - side
    return [picture[top : top + side, GAP + i * (side + GAP) :][:, :side] for i in range(3)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return placed(320, 100, 200)


def test_three_panels_side_by_side(scene: Scene) -> None:
    picture = preview(scene)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 3 * 320 + 4 * GAP


def test_outline_lies_on_the_masks_edge(scene: Scene) -> None:
    paste = panels(preview(scene), 320)[0]
    drawn = (paste == OUTLINE).all(-1)
    edge = np.zeros((320, 320), bool)
    mask = np.pad(disc_mask(40, 50) > 0, 1)
    neighbours = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    edge[80:120, 175:225] = mask[1:-1, 1:-1] & ~neighbours
    assert (drawn == edge).all()


def test_box_is_the_region(scene: Scene) -> None:
    paste = panels(preview(scene), 320)[0]
    rows, columns = np.nonzero((paste == FRAME).all(-1))
    top, left, bottom, right = scene.region()
    assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (top, left, bottom, right)


def test_what_will_not_change_is_grey(scene: Scene) -> None:
    optimised = panels(preview(scene), 320)[1]
    outside = scene.window(None).mask == 0
    top, left, bottom, right = scene.region()
    outside[top:bottom, left:right] = False
    assert (np.ptp(optimised[outside], axis=-1) == 0).all()
    inside = scene.window(None).mask == 1
    inside[[top, bottom - 1]] = False
    inside[:, [left, right - 1]] = False
    pasted, _ = scene.paste()
    assert np.abs(optimised[inside].astype(float) - pasted[inside]).max() <= 0.5


def test_poisson_keeps_the_target_outside_and_the_sources_laplacian_inside(scene: Scene) -> None:
    shown = panels(preview(scene), 320)[2].astype(float)
    window = scene.window(None)
    assert (shown[window.mask == 0] == window.target[window.mask == 0]).all()

    def laplacian(u: np.ndarray) -> np.ndarray:
        centre = u[1:-1, 1:-1]
        return 4 * centre - u[:-2, 1:-1] - u[2:, 1:-1] - u[1:-1, :-2] - u[1:-1, 2:]

    # A pixel is clipped to 0..255 and rounded: up to 0.5 from each of five, with weights 4, 1, 1, 1, 1.
    core = window.mask[1:-1, 1:-1] > 0
    unclipped = ((shown > 0) & (shown < 255)).all(-1)
    for shift in ((slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1))):
        core = core & unclipped[shift]
    for shift in ((slice(1, -1), slice(0, -2)), (slice(1, -1), slice(2, None)), (slice(1, -1), slice(1, -1))):
        core = core & unclipped[shift]
    difference = laplacian(shown) - laplacian(window.source.astype(float))
    assert core.sum() > 300
    assert np.abs(difference[core]).max() <= 4 + 1.0


def test_large_canvas_is_shown_at_a_whole_fraction() -> None:
    assert preview(placed(1040, 500, 500)).shape[1] == 3 * 520 + 4 * GAP


def test_small_canvas_is_enlarged_by_a_whole_factor() -> None:
    assert preview(placed(64, 30, 30)).shape[1] == 3 * 320 + 4 * GAP


def test_mask_at_the_canvas_border_has_no_edge_there() -> None:
    mask = np.zeros((6, 6), np.float32)
    mask[:3, :3] = 1
    assert np.argwhere(mask_edge(mask)).tolist() == [[0, 2], [1, 2], [2, 0], [2, 1], [2, 2]]


def test_description_names_coordinates_and_sizes(scene: Scene) -> None:
    text = "\n".join(describe(scene))
    top, left, bottom, right = scene.region()
    assert "320 wide, 320 high" in text
    assert "row 80, column 175" in text
    assert "--x 100 (vertical) --y 200 (horizontal)" in text
    assert f"{right - left} wide, {bottom - top} high: rows {top} to {bottom - 1}" in text
    assert "cut off" not in text


def test_described_centre_places_the_object_again(scene: Scene) -> None:
    for x, y in ((100, 200), (33, 41.5), (12.25, 300)):
        first = placed(320, x, y)
        words = describe(first)[2].split()
        again = placed(320, float(words[2]), float(words[5]))
        assert (again.top, again.left) == (first.top, first.left)


def test_what_lies_off_the_canvas_is_counted() -> None:
    scene = placed(64, 32, 0)
    lost = int((disc_mask(40, 50)[:, :25] > 0).sum())
    assert describe(scene)[-1] == f"cut off   {lost} pixels of the object lie off the canvas"


def test_preview_does_not_import_torch(tmp_path: Path) -> None:
    code = "import sys, deep_image_blending.views.preview as p; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
