"""Every picture and mask that a user may bring: blended where the mask is, untouched where it is not."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_image_blending.cli.app import run_command
from deep_image_blending.pictures import read_picture, write_picture
from tests.conftest import Case, disc_mask, smooth_picture

Mask = npt.NDArray[np.uint8]
QUICK = ("--backbone", "random", "--num-steps", "2", "--threads", "1", "--quiet")
SMALLEST = 4
"""Side of a picture that the random backbone's deepest layer has a value for."""
OUTPUTS = ("composite.png", "first_pass.png", "second_pass.png")
FORMATS = ("8 bits", "16 bits", "grey", "palette", "16-bit grey", "one bit", "JPEG", "alpha")


def saved(path: Path, pixels: npt.NDArray[np.uint8], form: str) -> Path:
    """(H, W, 3) in one of the forms that files have."""
    image = Image.fromarray(pixels)
    if form in ("16 bits", "16-bit grey"):
        path, deep = path.with_suffix(".png"), pixels.astype(np.uint16) * 256 + pixels[..., ::-1]
        if form == "16 bits":
            write_picture(path, deep)
        else:
            Image.fromarray(deep[..., 0]).save(path)
    elif form == "JPEG":
        path = path.with_suffix(".jpg")
        image.save(path)
    else:
        mode = {"grey": "L", "palette": "P", "one bit": "1", "alpha": "RGBA"}.get(form, "RGB")
        path = path.with_suffix(".png")
        image.convert(mode).save(path)
    return path


def on_canvas(mask: npt.NDArray[np.float32], canvas: tuple[int, int], x: float, y: float) -> npt.NDArray[np.bool_]:
    """Where a mask centred at row x and column y is above 0 on a canvas, pixel by pixel."""
    inside = np.zeros(canvas, bool)
    top, left = math.floor(x - mask.shape[0] / 2), math.floor(y - mask.shape[1] / 2)
    for row, column in np.argwhere(mask > 0):
        if 0 <= top + row < canvas[0] and 0 <= left + column < canvas[1]:
            inside[top + row, left + column] = True
    return inside


def assert_background_untouched(run: Path, target: Path, inside: npt.NDArray[np.bool_]) -> None:
    """Bit for bit, in every picture of the run, in the target's own depth."""
    before = read_picture(target).native
    for name in OUTPUTS:
        after = read_picture(run / name).native
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after[~inside], before[~inside], name)


@dataclass(frozen=True)
class Drawn:
    """A drawn case: sizes, seed, kind of mask, place, forms of source and target."""

    source: tuple[int, int]
    canvas: tuple[int, int]
    seed: int
    mask: str
    x: float
    y: float
    forms: tuple[str, str]

    def drawn_mask(self) -> Mask:
        height, width = self.source
        dice = np.random.default_rng(self.seed)
        mask = np.zeros(self.source, np.uint8)
        if self.mask == "whole":
            mask[:] = 255
        elif self.mask == "speckled":
            mask[dice.random(self.source) < 0.3] = 255
        elif self.mask == "soft":
            mask = (dice.random(self.source) * dice.integers(1, 256) * (dice.random(self.source) < 0.7)).astype(
                np.uint8
            )
        elif self.mask == "blobs":
            for _ in range(3):
                row, column = dice.integers(height), dice.integers(width)
                mask[row : row + 4, column : column + 5] = 255
        elif self.mask == "border":
            mask[: height // 2 + 1] = 255
        elif self.mask == "inside":
            mask[height // 4 : -height // 4, width // 4 : -width // 4] = 255
        mask[int(dice.integers(height)), int(dice.integers(width))] = 255
        return mask


@st.composite
def cases(draw: st.DrawFn) -> Drawn:
    source = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    canvas = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    return Drawn(
        source,
        canvas,
        draw(st.integers(0, 99)),
        draw(st.sampled_from(("whole", "speckled", "soft", "blobs", "border", "inside", "one pixel"))),
        draw(st.integers(-10, canvas[0] + 10).map(float) | st.floats(0, canvas[0]).map(lambda v: round(v, 2))),
        draw(st.integers(-10, canvas[1] + 10).map(float) | st.floats(0, canvas[1]).map(lambda v: round(v, 2))),
        (draw(st.sampled_from(FORMATS)), draw(st.sampled_from(FORMATS))),
    )


def check_drawn(case: Drawn) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source = saved(folder / "source", smooth_picture(case.seed, *case.source), case.forms[0])
        target = saved(folder / "target", smooth_picture(case.seed + 1, *case.canvas), case.forms[1])
        mask = case.drawn_mask()
        Image.fromarray(mask).save(folder / "mask.png")
        files = Case(source, folder / "mask.png", target)
        place = (f"--x={case.x}", f"--y={case.y}")
        code = run_command(["run", *files.options(), *place, *QUICK, "--output-dir", str(folder / "run")])
        inside = on_canvas(mask.astype(np.float32), case.canvas, case.x, case.y)
        if not inside.any() or min(case.canvas) < SMALLEST:
            assert code == 2
            assert not (folder / "run").exists()
            return
        assert code == 0
        assert_background_untouched(folder / "run", target, inside)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(cases())
def test_pixels_where_the_mask_is_0_are_the_targets_own_bits(case: Drawn) -> None:
    check_drawn(case)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_pixels_where_the_mask_is_0_are_the_targets_own_bits_in_a_thousand_cases(case: Drawn) -> None:
    check_drawn(case)


def _blended(case: Case, output: Path, *more: str) -> npt.NDArray[np.bool_]:
    """Where the second pass differs from the target."""
    assert run_command(["run", *case.options(), "--output-dir", str(output), *QUICK, *more]) == 0
    target, result = (np.asarray(Image.open(path)) for path in (case.target, output / "second_pass.png"))
    assert result.shape == target.shape
    return (result != target).any(2)


def _placed(mask: Mask, canvas: tuple[int, int] = (48, 56)) -> npt.NDArray[np.bool_]:
    return on_canvas(mask.astype(np.float32), canvas, canvas[0] / 2, canvas[1] / 2)


def test_blobs_far_apart_are_all_blended(case: Case, tmp_path: Path) -> None:
    mask = np.zeros((48, 56), np.uint8)
    blobs = [(1, 1), (1, 46), (38, 1), (38, 46), (20, 24)]
    for top, left in blobs:
        mask[top : top + 8, left : left + 8] = 255
    Image.fromarray(mask).save(case.mask)
    Image.fromarray(smooth_picture(5, 48, 56)).save(case.source)
    changed = _blended(case, tmp_path / "run")
    assert not changed[mask == 0].any()
    for top, left in blobs:
        assert changed[top : top + 8, left : left + 8].mean() > 0.5


def test_a_mask_that_covers_the_whole_canvas(case: Case, tmp_path: Path) -> None:
    Image.fromarray(smooth_picture(5, 48, 56)).save(case.source)
    Image.fromarray(np.full((48, 56), 255, np.uint8)).save(case.mask)
    assert _blended(case, tmp_path / "run").mean() > 0.5


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right", "top left", "bottom right"])
def test_a_mask_at_the_canvass_border_is_blended_up_to_it(case: Case, tmp_path: Path, side: str) -> None:
    mask = np.zeros((48, 56), np.uint8)
    rows = slice(0, 10) if "top" in side else slice(-10, None) if "bottom" in side else slice(15, 30)
    columns = slice(0, 10) if "left" in side else slice(-10, None) if "right" in side else slice(15, 30)
    mask[rows, columns] = 255
    Image.fromarray(smooth_picture(5, 48, 56)).save(case.source)
    Image.fromarray(mask).save(case.mask)
    changed = _blended(case, tmp_path / "run")
    assert not changed[mask == 0].any()
    assert changed[mask > 0].mean() > 0.5


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 56), (48, 0), (48, 56), (24, -8), (-6, 28)])
def test_of_an_object_partly_off_the_canvas_the_part_on_it_is_blended(
    case: Case, tmp_path: Path, x: int, y: int
) -> None:
    changed = _blended(case, tmp_path / "run", f"--x={x}", f"--y={y}")
    inside = on_canvas(np.asarray(Image.open(case.mask), np.float32), (48, 56), x, y)
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.3


def test_a_soft_mask_blends_in_its_proportion(case: Case, tmp_path: Path) -> None:
    mask = np.zeros((24, 28), np.uint8)
    mask[:, :14], mask[:, 14:] = 255, 64
    Image.fromarray(mask).save(case.mask)
    _blended(case, tmp_path / "run")
    source, target = (np.asarray(Image.open(path), np.float64) for path in (case.source, case.target))
    part = target[12:36, 14:42]
    weight = mask[..., None] / 255
    pasted = np.asarray(Image.open(tmp_path / "run" / "composite.png"), np.float64)[12:36, 14:42]
    np.testing.assert_allclose(pasted, part + weight * (source - part), atol=0.51)
    result = np.asarray(Image.open(tmp_path / "run" / "second_pass.png"), np.float64)[12:36, 14:42]
    # Where the mask is a quarter, the picture keeps three quarters of the target.
    assert np.abs(result - part)[:, 14:].max() <= 255 * 64 / 255 + 0.5


def test_feather_stays_within_the_mask_and_grow_goes_beyond_it(case: Case, tmp_path: Path) -> None:
    inside = _placed(np.asarray(Image.open(case.mask)))
    feathered = _blended(case, tmp_path / "feathered", "--feather", "4")
    assert not feathered[~inside].any()
    grown = _blended(case, tmp_path / "grown", "--grow", "2")
    assert grown[~inside].any()
    reach = np.zeros_like(inside)
    for row in range(-2, 3):
        for column in range(-2, 3):
            if row * row + column * column <= 4:
                reach |= np.roll(inside, (row, column), (0, 1))
    assert not grown[~reach].any()
    shrunk = _blended(case, tmp_path / "shrunk", "--grow", "-2")
    assert shrunk.sum() < inside.sum()
    assert not shrunk[~inside].any()


def test_a_source_with_alpha_needs_no_mask(case: Case, tmp_path: Path) -> None:
    mask = disc_mask(24, 28)
    Image.fromarray(np.dstack((smooth_picture(1, 24, 28), mask))).save(tmp_path / "cut.png")
    files = ["--source-file", str(tmp_path / "cut.png"), "--target-file", str(case.target)]
    assert run_command(["run", *files, "--output-dir", str(tmp_path / "alpha"), *QUICK]) == 0
    _blended(case, tmp_path / "mask")
    for name in OUTPUTS:
        assert (tmp_path / "alpha" / name).read_bytes() == (tmp_path / "mask" / name).read_bytes()


def test_fit_mask_rescales_a_mask_of_another_size(case: Case, tmp_path: Path) -> None:
    Image.fromarray(disc_mask(48, 56)).save(case.mask)
    inside = _placed(np.asarray(Image.open(case.mask).resize((28, 24), Image.Resampling.BICUBIC)))
    changed = _blended(case, tmp_path / "run", "--fit-mask")
    assert changed.sum() > 0.5 * inside.sum()
    assert not changed[~inside].any()


def test_a_mask_of_zeros_and_ones_is_no_faint_one(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _blended(case, tmp_path / "white")
    mask = np.asarray(Image.open(case.mask))
    Image.fromarray((mask > 0).astype(np.uint8)).save(case.mask)
    _blended(case, tmp_path / "ones")
    assert "0 and 1" in capsys.readouterr().err
    for name in OUTPUTS:
        assert (tmp_path / "ones" / name).read_bytes() == (tmp_path / "white" / name).read_bytes()
