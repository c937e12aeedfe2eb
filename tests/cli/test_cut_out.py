"""`blend cut-out` and `--matte`, run for real on a disc before a gradient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli import run_command

SIZE = 96


def _disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.hypot(y, x) <= radius


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A red disc of radius 26 on green, with a mask of radius 38 around it, and a target."""
    random = np.random.default_rng(4)
    picture = np.array([40.0, 150, 60]) + random.normal(0, 4, (SIZE, SIZE, 3))
    picture[_disc(26)] += (170, -120, -20)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "source.png")
    Image.fromarray((_disc(38) * 255).astype(np.uint8)).save(tmp_path / "loose.png")
    target = np.array([120.0, 120, 200]) + random.normal(0, 9, (120, 120, 3))
    Image.fromarray(target.clip(0, 255).astype(np.uint8)).save(tmp_path / "target.png")
    return tmp_path


def _overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("start", [("--mask-file", "loose.png"), ("--box", "15,15,81,81")])
def test_cut_out_finds_the_disc_from_a_loose_mask_and_from_a_box(folder: Path, start: tuple[str, str]) -> None:
    value = str(folder / start[1]) if start[1].endswith("png") else start[1]
    outputs = {name: folder / f"{name}.png" for name in ("mask", "rgba", "preview")}
    words = ["cut-out", str(folder / "source.png"), "--output-file", str(outputs["mask"]), start[0], value]
    words += ["--rgba", str(outputs["rgba"]), "--preview-file", str(outputs["preview"]), "--quiet"]
    assert run_command(words) == 0
    mask = np.asarray(Image.open(outputs["mask"]))
    assert (mask.dtype, mask.shape) == (np.uint8, (SIZE, SIZE))
    assert _overlap(mask > 127, _disc(26)) > 0.96
    assert Image.open(outputs["rgba"]).mode == "RGBA"
    assert np.asarray(Image.open(outputs["preview"])).shape == (SIZE, 2 * SIZE, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--box", "1,2,3"), "is not a box"),
        (("--box", "0,0,500,20"), "box"),
        (("--mask-file", "target.png"), "target.png"),
        ((), "--box"),
    ],
)
def test_bad_starts_are_one_line_and_write_nothing(
    folder: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(folder / word) if word.endswith("png") else word for word in words]
    output = folder / "mask.png"
    assert run_command(["cut-out", str(folder / "source.png"), "--output-file", str(output), *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not output.exists()


def test_a_loose_mask_is_tightened_and_what_is_given_back_is_the_targets(folder: Path) -> None:
    run = folder / "run"
    pictures = ["--source-file", "source.png", "--mask-file", "loose.png", "--target-file", "target.png"]
    words = [str(folder / word) if word.endswith("png") else word for word in pictures]
    fast = ["--backbone", "random", "--num-steps", "2", "--quiet", "--output-dir", str(run)]
    assert run_command(["run", *words, *fast]) == 0
    used = np.asarray(Image.open(run / "mask.png"))[12:108, 12:108]
    assert _overlap(used > 127, _disc(26)) > 0.95
    result, target = (np.asarray(Image.open(path)) for path in (run / "second_pass.png", folder / "target.png"))
    given_back = np.zeros((120, 120), bool)
    given_back[12:108, 12:108] = _disc(38) & (used == 0)
    assert given_back.sum() > 1500
    np.testing.assert_array_equal(result[given_back], target[given_back])
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["options"]["matte"] == "auto"
    assert any("tightened" in line for line in manifest["decisions"])
    assert manifest["matte"]["confidence"] > 0.5
    assert run_command(["run", *words, *fast, "--force", "--matte", "off"]) == 0
    assert (np.asarray(Image.open(run / "mask.png")) > 0).sum() == _disc(38).sum()


@pytest.mark.parametrize("part", ["picture", "--mask-file", "--strokes", "--trimap"])
def test_memory_for_a_huge_picture_is_asked_before_it_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    large = folder / "large.png"
    Image.new("L", (9000, 8000)).save(large)
    for name in ("load_picture", "load_mask"):
        monkeypatch.setattr(
            f"deep_image_blending.pictures.reading.{name}", lambda *_, **__: pytest.fail("decoded")
        )
        monkeypatch.setattr(f"deep_image_blending.pictures.{name}", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr("deep_image_blending.runs.memory_at_hand.host_available", lambda: 500_000_000)
    picture = large if part == "picture" else folder / "source.png"
    start = ["--box", "15,15,81,81"] if part == "picture" else [part, str(large)]
    assert run_command(["cut-out", str(picture), "--output-file", str(folder / "m.png"), *start]) == 2
    assert "not enough memory: the pictures alone" in capsys.readouterr().err
    assert not (folder / "m.png").exists()


@pytest.mark.parametrize("part", ["source", "mask", "target"])
def test_preview_asks_for_the_memory_of_huge_pictures_before_decoding(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    large = folder / "large.png"
    Image.new("L", (9000, 8000)).save(large)
    for name in ("load_picture", "load_mask"):
        monkeypatch.setattr(f"deep_image_blending.pictures.{name}", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr("deep_image_blending.runs.memory_at_hand.host_available", lambda: 500_000_000)
    files = {"source": folder / "source.png", "mask": folder / "loose.png", "target": folder / "target.png"}
    files[part] = large
    words = [word for name, path in files.items() for word in (f"--{name}-file", str(path))]
    assert run_command(["preview", *words, "--output-file", str(folder / "p.png")]) == 2
    assert "not enough memory: the pictures alone" in capsys.readouterr().err
    assert not (folder / "p.png").exists()
