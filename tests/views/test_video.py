"""A video is decoded again, and what it shows is checked against the pictures that it was made of."""

from __future__ import annotations

import io
import itertools
import os
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from skimage.color import rgb2lab

from deep_image_blending.cli.progress import steps_bar
from deep_image_blending.errors import InputError, RunError
from deep_image_blending.pictures import write_picture
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.curves import PAPER, colour_of, curve_strip, terms_of
from deep_image_blending.views.video import (
    FORMATS,
    LAYOUTS,
    VideoOptions,
    film,
    make_video,
    saved_moments,
    timeline,
)
from deep_image_blending.views.video.film import GAP, NARROWEST
from deep_image_blending.views.video.pace import BEGIN, HOLD, LEAP
from tests.conftest import smooth_picture

HEIGHT, WIDTH = 49, 57
REGION = [8, 10, 40, 50]
FPS = 10.0
STILL = round(BEGIN * FPS), round(LEAP * FPS) - 1, round(HOLD * FPS)


def _grey(level: float) -> np.ndarray:
    """The canvas with a flat object."""
    picture = smooth_picture(3, HEIGHT, WIDTH)
    picture[REGION[0] : REGION[2], REGION[1] : REGION[3]] = round(level)
    return picture


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A first pass that darkens a flat object: fast at first, ever slower, from the paste's 250 to 60."""
    with RunDirectory.create(tmp_path / "run") as made:
        made.update(placement={"region": REGION, "canvas": [HEIGHT, WIDTH]}, passes={})
        write_picture(made.path / "composite.png", _grey(250))
        for index in range(1, 31):
            level = round(60 + 140 * 0.8 ** (index - 1))
            object_ = np.full((REGION[2] - REGION[0], REGION[3] - REGION[1], 3), level, np.uint8)
            made.write_frame("first_pass", index, object_)
        write_picture(made.picture_path("first_pass"), _grey(60))
        rows = [
            {"evaluation": i, "seconds": i / 4, "total": 10.0 * 0.8**i, "style": 4.0 * 0.8**i}
            for i in range(1, 31)
        ]
        made.write_losses("first_pass", rows)
    return RunDirectory.open(tmp_path / "run", write=False)


def _decoded(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Frames (H, W, 3) uint8 and how many milliseconds each stays."""
    if path.suffix == ".mp4":
        frames = list(iio.imread(path))
        return frames, [round(1000 / FPS)] * len(frames)
    frames, stays = [], []
    with Image.open(path) as film:
        for index in range(film.n_frames):
            film.seek(index)
            frames.append(np.asarray(film.convert("RGB")))
            stays.append(round(film.info["duration"]))
    return frames, stays


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_and_layout_has_even_sides_the_same_length_and_both_ends(
    run: RunDirectory, form: str, layout: str, tmp_path: Path
) -> None:
    path, count = make_video(
        run, VideoOptions(fps=FPS, seconds=3, format=form, layout=layout, output=tmp_path / f"v.{form}")
    )
    assert count == sum(STILL) + 30
    frames, stays = _decoded(path)
    assert sum(stays) == pytest.approx(1000 * count / FPS, abs=10)
    used = 2 * WIDTH + GAP if layout.startswith("side") else WIDTH
    wide = NARROWEST if layout.endswith("curve") else used + used % 2
    below = 180 if layout.endswith("curve") else 0
    assert frames[0].shape == (50 + below, wide, 3)
    left = (wide - used) // 2 + used - WIDTH
    for frame, picture in ((frames[0], _grey(250)), (frames[-1], _grey(60))):
        shown = frame[:HEIGHT, left : left + WIDTH].astype(int)
        assert np.abs(shown - picture).mean() < 6
        np.testing.assert_allclose(shown[12:36, 14:46].mean((0, 1)), picture[20, 20], atol=4)


def test_mp4_has_every_frame_and_the_colours_of_the_pictures(run: RunDirectory) -> None:
    path, count = make_video(run, VideoOptions(fps=FPS, seconds=2))
    frames = iio.imread(path)
    assert len(frames) == count
    # BT.709 read as BT.601 would be off by ten and more.
    saturated = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    saturated[:, :20], saturated[:, 20:40], saturated[:, 40:] = (200, 30, 30), (30, 160, 30), (40, 60, 190)
    write_picture(run.path / "composite.png", saturated)
    frames = iio.imread(make_video(run, VideoOptions(fps=FPS, seconds=2))[0])
    for columns in (slice(4, 8), slice(26, 34), slice(51, 55)):
        np.testing.assert_allclose(frames[0][42:47, columns].mean((0, 1)), saturated[44, columns].mean(0), atol=4)


def test_frames_are_at_equal_perceived_change(run: RunDirectory, tmp_path: Path) -> None:
    path, _ = make_video(run, VideoOptions(fps=FPS, seconds=3, format="webp", output=tmp_path / "v.webp"))
    frames, _ = _decoded(path)
    lightness = np.array([rgb2lab(frame[14:34, 16:44] / 255.0)[..., 0].mean() for frame in frames])
    # Behind the paste and the leap, the object darkens evenly, by the same from each frame to the next.
    darkening = lightness[1 + STILL[1] :]
    assert len(darkening) == 30
    np.testing.assert_allclose(darkening, np.linspace(_lightness(200), _lightness(60), 30), atol=1.0)


def _lightness(level: float) -> float:
    """L* of a grey, in 0..255."""
    return float(rgb2lab(np.full((1, 1, 3), level / 255))[0, 0, 0])


def test_timeline_holds_leaps_and_runs_evenly_along_the_change() -> None:
    places = timeline([50.0, 8.0, 2.0, 0.0, 0.0], fps=10, seconds=1.1)
    assert len(places) == 10 + 4 + 11 + 20
    assert places[:10] == [0.0] * 10
    # Eight of the ten units of change lie between moments 1 and 2, two between 2 and 3, none behind.
    np.testing.assert_allclose(places[14:24], [1, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875, 2, 2.5], atol=1e-6)
    assert places[24:] == [5.0] * 21


def test_a_run_in_which_nothing_changes_is_shown_at_an_even_pace() -> None:
    places = timeline([0.0] * 5, fps=10, seconds=0.5)
    np.testing.assert_allclose(places[14:19], [1, 2, 3, 4, 5])


def test_moments_are_the_paste_every_frame_and_the_finished_picture(run: RunDirectory) -> None:
    moments = saved_moments(run)
    assert [moment.evaluation for moment in moments] == [0, *range(1, 31), 30]
    assert [moments[0].name, moments[1].name] == [None, "first_pass"]
    assert moments[-1].path.name == "first_pass.png"


def test_curves_are_straight_for_a_loss_that_falls_by_a_share() -> None:
    rows = [{"evaluation": i, "seconds": 0.0, "total": 10.0 * 0.8**i, "style": 4.0 * 0.8**i} for i in range(1, 31)]
    strip = curve_strip([("first_pass", rows)], 400, 200)
    assert strip.pixels.shape == (200, 400, 3)
    drawn = np.abs(strip.pixels.astype(int) - _rgb(colour_of("style"))).sum(-1) < 60
    for index in (5, 15, 25):
        column = strip.column("first_pass", index)
        rows_drawn = np.flatnonzero(drawn[30:170, column]) + 30
        assert rows_drawn.size
        assert abs(rows_drawn.mean() - strip.row("first_pass", 4.0 * 0.8**index)) <= 2
    middles = [strip.row("first_pass", 4.0 * 0.8**index) for index in (5, 15, 25)]
    assert middles[1] == pytest.approx((middles[0] + middles[2]) / 2, abs=1)


def test_a_cursor_moves_along_the_curves(run: RunDirectory, tmp_path: Path) -> None:
    path, count = make_video(run, VideoOptions(fps=FPS, seconds=3, layout="curve", output=tmp_path / "v.mp4"))
    frames = iio.imread(path)
    # A pass's own diagram has no other line from top to bottom than the axis at its left.
    seen = []
    for frame in frames[sum(STILL[:2]) :]:
        below = frame[50 + 60 : 50 + 130].astype(int)
        dark = np.flatnonzero((below.sum(-1) < 300).all(0))
        seen.append(int(dark.max()))
    assert len(seen) == count - sum(STILL[:2])
    assert all(one <= other + 1 for one, other in itertools.pairwise(seen))
    assert seen[-1] - seen[0] > 12
    # At equal change the cursor is slow at first, when an evaluation changes much.
    middle = seen[15]
    assert middle - seen[0] < 0.5 * (seen[-1] - seen[0])
    assert not (np.abs(frames[0][50 + 60 : 50 + 130].astype(int) - _rgb(PAPER)).sum(-1) > 500).all(0)[40:].any()


def test_a_pass_without_evaluations_and_an_unknown_layout_are_refused(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'side-by-side'"):
        make_video(run, VideoOptions(layout="side-by-sid"))
    with pytest.raises(InputError, match="choose one of mp4, gif, webp"):
        make_video(run, VideoOptions(format="avi"))
    run.losses_path("first_pass").unlink()
    with pytest.raises(InputError, match="no loss table"):
        make_video(run, VideoOptions(layout="curve"))
    for frame in run.frames("first_pass"):
        frame.unlink()
    with pytest.raises(InputError, match="no frames"):
        make_video(run)
    assert not list(run.path.glob("blend.*"))


@pytest.mark.parametrize(
    ("format", "name", "words"),
    [
        (None, "x.avi", "a video is written as .mp4, .gif, .webp; give 'x.mp4'"),
        (None, "x", "give 'x.mp4'"),
        ("gif", "x.mp4", "is not named as gif; give 'x.gif', or another --format"),
        ("mp4", "x.avi", "is not named as mp4; give 'x.mp4'"),
    ],
)
def test_a_file_that_is_named_as_another_format_is_refused(
    run: RunDirectory, tmp_path: Path, format: str | None, name: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make_video(run, VideoOptions(format=format, output=tmp_path / name))
    assert not (tmp_path / name).exists()


def test_the_format_is_the_suffixes_where_none_is_named(run: RunDirectory, tmp_path: Path) -> None:
    path, _ = make_video(run, VideoOptions(fps=4, seconds=1, output=tmp_path / "v.GIF"))
    assert path.read_bytes()[:4] == b"GIF8"


def test_what_cannot_be_written_is_refused_before_the_first_frame(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("a frame was read")

    monkeypatch.setattr(film, "read_picture", unexpected)
    (tmp_path / "folder.gif").mkdir()
    os.mkfifo(tmp_path / "pipe.gif")
    for name, words in (
        ("folder.gif", "is a folder"),
        ("pipe.gif", "is a pipe"),
        ("missing/v.gif", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            make_video(run, VideoOptions(output=tmp_path / name))
    assert (tmp_path / "pipe.gif").is_fifo()


def test_without_ffmpeg_the_error_says_what_works_without_it(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(run.path / "no-ffmpeg"))
    with pytest.raises(RunError, match=r"ffmpeg could not make the video .*see 'blend doctor', or --format gif"):
        make_video(run, VideoOptions(fps=4, seconds=1))
    assert make_video(run, VideoOptions(fps=4, seconds=1, format="gif"))[0].is_file()
    assert not list(run.path.glob("*.mp4"))


def test_what_stands_still_does_not_flicker_in_a_gif(run: RunDirectory, tmp_path: Path) -> None:
    path, _ = make_video(run, VideoOptions(fps=FPS, seconds=1, output=tmp_path / "v.gif"))
    frames, _ = _decoded(path)
    assert all((frame[: REGION[0]] == frames[0][: REGION[0]]).all() for frame in frames)


def test_a_loss_table_is_read_by_its_header(run: RunDirectory, tmp_path: Path) -> None:
    table = "evaluation,total,neighbours,style\n1,3.0,2.0,1.0\n2,1.5,1.0,0.5\n"
    run.losses_path("first_pass").write_text(table)
    rows = run.read_losses("first_pass")
    assert terms_of(rows) == ["total", "neighbours", "style"]
    assert len(rows) == 2
    with RunDirectory.open(run.path) as opened:
        opened.write_losses("first_pass", rows)
    assert run.read_losses("first_pass") == rows
    strip = curve_strip([("first_pass", rows)], 400, 200)
    for term in ("style", "neighbours"):
        assert (np.abs(strip.pixels.astype(int) - _rgb(colour_of(term))).sum(-1) < 60).any()
    make_video(run, VideoOptions(fps=4, seconds=1, layout="curve", output=tmp_path / "v.webp"))


def test_a_loss_without_a_colour_of_its_own_has_always_the_same_one() -> None:
    assert colour_of("neighbours") == colour_of("neighbours")
    assert len({colour_of(name) for name in ("style", "neighbours", "statistics", "form", "total")}) == 5


def test_progress_counts_every_frame(run: RunDirectory) -> None:
    for form in FORMATS:
        told: list[tuple[int, int | None]] = []
        tell = partial(_append, told)
        _, count = make_video(run, VideoOptions(fps=FPS, seconds=1, format=form), progress=tell)
        done, total = zip(*told, strict=True)
        assert set(total) == {total[0]}
        assert done[-1] == total[0] <= count
        assert sorted(set(done)) == list(range(1, total[0] + 1))


def test_encoding_says_how_far_it_is_in_a_pipe_and_nothing_when_quiet() -> None:
    for style, lines in (
        ("plain", ["frame 25 of 100", "frame 50 of 100", "frame 75 of 100", "frame 100 of 100"]),
        ("quiet", []),
    ):
        console = Console(file=io.StringIO(), width=100)
        with steps_bar(console, style, "frame") as update:
            for done in range(1, 101):
                update(done, 100)
        assert console.file.getvalue().splitlines() == lines


def _append(told: list[tuple[int, int | None]], done: int, total: int | None) -> None:
    told.append((done, total))


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
