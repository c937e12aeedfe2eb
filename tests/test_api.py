"""The Python API takes arrays, images and paths, and prints nothing; the README's example runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deep_image_blending as dib
from deep_image_blending.errors import InputError
from deep_image_blending.pictures.placement import Placement
from tests.conftest import Case, disc_mask, smooth_picture

SOURCE, MASK, TARGET = smooth_picture(1, 24, 28), disc_mask(24, 28), smooth_picture(2, 48, 56)
FAST = {"backbone": "random", "num_steps": 4}


def test_blend_of_arrays_images_and_paths_is_the_same(case: Case, capsys) -> None:
    of_arrays = dib.blend(SOURCE, MASK, TARGET, **FAST)
    of_images = dib.blend(Image.fromarray(SOURCE), Image.fromarray(MASK), Image.fromarray(TARGET), **FAST)
    of_paths = dib.blend(case.source, str(case.mask), case.target, **FAST)
    np.testing.assert_array_equal(of_arrays.picture, of_images.picture)
    np.testing.assert_array_equal(of_arrays.picture, of_paths.picture)
    assert capsys.readouterr() == ("", "")
    assert of_arrays.picture.dtype == np.uint8
    outside = np.ones((48, 56), bool)
    outside[12:36, 14:42] = MASK == 0
    np.testing.assert_array_equal(of_arrays.picture[outside], TARGET[outside])


def test_second_pass_continues_the_first() -> None:
    both = dib.blend(SOURCE, MASK, TARGET, **FAST)
    first = dib.first_pass(SOURCE, MASK, TARGET, **FAST)
    np.testing.assert_array_equal(first.picture, both.first_pass)
    assert set(first.passes) == {"first_pass"}
    mask = np.zeros((48, 56), np.uint8)
    mask[12:36, 14:42] = MASK
    second = dib.second_pass(first.picture, mask, TARGET, **FAST)
    np.testing.assert_array_equal(second.picture, both.picture)


def test_options_for_one_pass_are_a_pair() -> None:
    result = dib.blend(SOURCE, MASK, TARGET, style_weight=(0.1, 0.2), **FAST)
    assert result.options.first.weights["style"] == 0.1
    assert result.options.second.weights["style"] == 0.2


def test_poisson_blend_meets_the_target_at_the_boundary() -> None:
    ramp = np.broadcast_to(np.linspace(50, 200, 56, dtype=np.uint8)[None, :, None], (48, 56, 3)).copy()
    flat = np.full((24, 28, 3), 90, np.uint8)
    # A flat source has no gradients: the ramp is continued through the hole.
    found = dib.poisson_blend(flat, MASK, ramp, placement=Placement(x=24, y=28))
    assert np.abs(found.astype(int) - ramp).max() <= 1


def test_evaluate_gives_the_measures() -> None:
    pasted = TARGET.copy()
    pasted[12:36, 14:42][MASK > 0] = SOURCE[MASK > 0]
    found = dib.evaluate(SOURCE, MASK, TARGET, pasted, backbone="random")
    assert found["background_difference"] == 0
    assert found["colour_bleed"] == 0
    assert found["contrast_kept"] == 1


def test_unknown_options_are_named() -> None:
    with pytest.raises(InputError, match="unknown option 'colourr'"):
        dib.blend(SOURCE, MASK, TARGET, colourr=1)


def test_the_readmes_example_runs(tmp_path: Path, monkeypatch) -> None:
    readme = Path(__file__).parents[1] / "README.md"
    examples = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for name, array in (("cat.png", SOURCE), ("cat_mask.png", MASK), ("sofa.jpg", TARGET)):
        Image.fromarray(array).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "blended.png").is_file()


def test_grain_is_the_second_passs_alone() -> None:
    result = dib.blend(SOURCE, MASK, TARGET, **FAST, grain=0.3, palette=0.5)
    assert (result.options.first.grain, result.options.second.grain) == (0.0, 0.3)
    assert (result.options.first.palette, result.options.second.palette) == (0.5, 0.5)
