"""A video of a run, from the frames that its passes saved.

Pace. A run changes most in its first evaluations, and hardly at all in its last. The video therefore moves at
equal perceived change: the distance between two saved moments is the mean CIELAB difference (ΔE 1976) of the
object's box, and time runs evenly along the sum of these distances; between two saved moments, frames are linear
mixtures of both. The leap from the paste to the first evaluation, which no optimisation made, takes a fixed time.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.color import rgb2lab

from deep_image_blending.errors import InputError, RunError, require_one_of
from deep_image_blending.files import atomic_write
from deep_image_blending.options.options import PASSES, PassName
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.curves import CurveStrip, curve_strip

Frame = npt.NDArray[np.uint8]
Progress = Callable[[int, int | None], None]

FORMATS = ("mp4", "gif", "webp")
LAYOUTS = ("blend", "side-by-side", "curve", "side-by-side-curve")
LONGEST = 1920
"""Longer side of a picture in a frame; larger canvases are scaled down."""
BEGIN, LEAP, HOLD = 1.0, 0.5, 2.0
"""Seconds for which the paste stays, turns into the first evaluation, and the finished picture stays."""
PAPER, INK = (250, 250, 248), (32, 34, 38)
GAP = 8
"""Pixels between the pictures of a frame."""
NARROWEST = 320
"""Pixels that a frame with curves has at least in width, so that they can be read."""
SEEN = 256
"""Longer side at which the change from one moment to the next is measured."""


@dataclass(frozen=True)
class Moment:
    """A saved picture of the run: where, of which pass, after how many evaluations. The paste is of no pass."""

    path: Path
    name: PassName | None
    evaluation: int


def make_video(
    run: RunDirectory,
    *,
    fps: float = 12.0,
    seconds: float = 6.0,
    layout: str = "blend",
    format: str = "mp4",
    output: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, int]:
    """Encode a run's frames; the file and the number of frames in it at `fps`.

    seconds: for what the passes do, besides the stillness at either end. layout: `blend`, `side-by-side` with the
    plain paste on the left, and either with the loss curves below. In GIF and WebP, a picture that stays is one
    frame of a longer duration. progress: told the frames done, and all of them.

    Raises InputError for an unknown layout or format, for a run without frames or, for curves, without a loss
    table, and for a folder that can't be written; RunError where ffmpeg is missing or fails.
    """
    if output is not None and output.suffix.lstrip(".").lower() in FORMATS:
        format = output.suffix.lstrip(".").lower()
    require_one_of("--format", format, FORMATS)
    require_one_of("--layout", layout, LAYOUTS)
    moments = saved_moments(run)
    film = _Film(run, moments, layout)
    positions = timeline(changes(film, len(moments)), fps=fps, seconds=seconds)
    path = output if output is not None else run.path / f"blend.{format}"
    encode = {"mp4": _mp4, "gif": _gif, "webp": _webp}[format]
    data = encode(film, _runs_of_equal(positions), fps, progress)
    try:
        with atomic_write(path) as stream:
            stream.write(data)
    except OSError as error:
        raise InputError(
            f"video '{path}' can't be written ({error.strerror}); give another --output-file"
        ) from error
    return path, len(positions)


def saved_moments(run: RunDirectory) -> list[Moment]:
    """The paste, then every saved frame and the finished picture of each pass. InputError where there are none."""
    paste = run.path / "composite.png"
    if not paste.is_file():
        raise InputError(f"run '{run.path}' has no composite.png to show frames on")
    found = [Moment(paste, None, 0)]
    for name in PASSES:
        frames = [Moment(path, name, int(path.name.split(".")[1])) for path in run.frames(name)]
        found += frames
        finished = run.picture_path(name)
        if frames and finished.is_file():
            found.append(Moment(finished, name, frames[-1].evaluation))
    if len(found) == 1:
        raise InputError(f"run '{run.path}' has no frames: none of its passes has begun")
    return found


def changes(film: _Film, count: int) -> list[float]:
    """Mean CIELAB difference of the object's box from each moment to the next."""
    seen = [_lab(film.region(0))]
    steps = []
    for i in range(1, count):
        seen = [seen[-1], _lab(film.region(i))]
        steps.append(float(np.linalg.norm(seen[1] - seen[0], axis=-1).mean()))
    return steps


def timeline(steps: Sequence[float], *, fps: float, seconds: float) -> list[float]:
    """For every frame of the video, its place among the moments: 0 is the paste, 1.5 lies between two frames.

    steps: the perceived change from each moment to the next, the first of them the leap from the paste.
    """
    leap, path = max(1, round(LEAP * fps)), np.concatenate(([0.0], np.cumsum(steps[1:])))
    if path[-1] <= 0:
        path = np.arange(len(path), dtype=np.float64)
    # Where nothing changes the place is not unique; a slope far below sight makes it so.
    path = path + np.linspace(0, 1e-9 * max(path[-1], 1.0), len(path))
    moving = np.interp(np.linspace(0, path[-1], max(2, round(seconds * fps))), path, np.arange(1, len(steps) + 1))
    return [
        *([0.0] * max(1, round(BEGIN * fps))),
        *np.linspace(0, 1, leap + 1)[1:-1].tolist(),
        *moving.tolist(),
        *([float(len(steps))] * max(1, round(HOLD * fps))),
    ]


class _Film:
    """The moments as pictures, and the frames between them, laid out."""

    def __init__(self, run: RunDirectory, moments: Sequence[Moment], layout: str) -> None:
        self.moments, self.beside = moments, layout.startswith("side-by-side")
        self.paste = _read(moments[0].path)
        self.box = tuple(run.manifest["placement"]["region"])
        self._kept: dict[int, Frame] = {}
        height, width = self.paste.shape[:2]
        columns = 2 if self.beside else 1
        self.scale = min(1.0, LONGEST / max(height, width * columns))
        self.least = NARROWEST if layout.endswith("curve") else 1
        self.strip = _strip(run, self._size()[0]) if layout.endswith("curve") else None

    def picture(self, index: int) -> Frame:
        """A moment on the whole canvas."""
        if index not in self._kept:
            found = _read(self.moments[index].path)
            if found.shape != self.paste.shape:
                top, left, bottom, right = self.box
                canvas = self.paste.copy()
                canvas[top:bottom, left:right] = found
                found = canvas
            # Two neighbours are mixed; no others are needed.
            self._kept = {i: kept for i, kept in self._kept.items() if abs(i - index) <= 1}
            self._kept[index] = found
        return self._kept[index]

    def region(self, index: int) -> Frame:
        """A moment's object, its longer side at most SEEN."""
        top, left, bottom, right = self.box
        part = self.picture(index)[top:bottom, left:right]
        factor = -(-max(part.shape[:2]) // SEEN)
        return np.asarray(Image.fromarray(part).reduce(factor)) if factor > 1 else part

    def frame(self, position: float) -> Frame:
        """The frame at a place of the timeline, with even sides."""
        before = int(min(position, len(self.moments) - 1))
        share = position - before
        blend = self.picture(before)
        if share > 0:
            mixed = blend * np.float32(1 - share) + self.picture(before + 1) * np.float32(share)
            blend = np.rint(mixed).astype(np.uint8)
        shown = [self._scaled(part) for part in ((self.paste, blend) if self.beside else (blend,))]
        width, height = self._size()
        strip = 0 if self.strip is None else self.strip.pixels.shape[0]
        page = np.full((height + strip, width, 3), PAPER, np.uint8)
        used = sum(part.shape[1] for part in shown) + GAP * (len(shown) - 1)
        left = max(0, (width - used) // 2)
        for part in shown:
            rows, columns = part.shape[:2]
            page[:rows, left : left + columns] = part
            if width - left - columns == 1 and self.strip is None:
                page[:rows, -1] = part[:, -1]
            if height - rows == 1:
                page[height - 1, left : left + columns] = part[-1]
            left += columns + GAP
        if self.strip is not None:
            page[height:] = self._curves(self.strip, position)
        return page

    def _scaled(self, picture: Frame) -> Frame:
        if self.scale == 1.0:
            return picture
        height, width = picture.shape[:2]
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))

    def _size(self) -> tuple[int, int]:
        """Width and height of the pictures' part of a frame: even, as H.264's colour at half resolution asks."""
        height, width = (max(1, round(side * self.scale)) for side in self.paste.shape[:2])
        if self.beside:
            width = 2 * width + GAP
        width = max(width, self.least)
        return width + width % 2, height + height % 2

    def _curves(self, strip: CurveStrip, position: float) -> Frame:
        """The curves with a line at the evaluation that the frame shows."""
        before = int(min(position, len(self.moments) - 1))
        after = min(before + 1, len(self.moments) - 1)
        one, other = self.moments[before], self.moments[after]
        share = position - before
        if one.name != other.name:
            one, share = (other, 0.0) if share >= 0.5 else (one, 0.0)
        if one.name is None or one.name not in strip.axes:
            return strip.pixels
        column = strip.column(one.name, one.evaluation + share * (other.evaluation - one.evaluation))
        pixels = strip.pixels.copy()
        pixels[strip.span(one.name), max(0, column - 1) : column + 1] = INK
        return pixels


def _strip(run: RunDirectory, width: int) -> CurveStrip:
    try:
        tables = [(name, rows) for name in PASSES if (rows := run.read_losses(name))]
    except InputError as error:
        raise InputError(f"{error}, or choose --layout blend") from error
    if not tables:
        raise InputError(f"run '{run.path}' has no loss table to draw; choose --layout blend")
    height = int(np.clip(0.4 * width, 180, 420)) // 2 * 2
    return curve_strip(tables, width, height)


def _read(path: Path) -> Frame:
    from deep_image_blending.pictures.images import read_picture

    pixels = read_picture(path).pixels
    return np.asarray(pixels // 257, np.uint8) if pixels.dtype == np.uint16 else pixels


def _lab(pixels: Frame) -> npt.NDArray[np.float32]:
    return np.asarray(rgb2lab(pixels.astype(np.float32) / 255), np.float32)


def _runs_of_equal(positions: Sequence[float]) -> list[tuple[float, int]]:
    """(place, how many frames it stays) in order."""
    found: list[tuple[float, int]] = []
    for position in positions:
        if found and found[-1][0] == position:
            found[-1] = (position, found[-1][1] + 1)
        else:
            found.append((position, 1))
    return found


def _durations(counts: Sequence[int], fps: float, unit: int) -> list[int]:
    """Milliseconds of each, in whole units, so that the sum strays by less than a unit from `counts / fps`."""
    ends = np.rint(np.concatenate(([0], np.cumsum(counts))) * 1000 / fps / unit).astype(int) * unit
    return [int(value) for value in np.diff(ends)]


def _mp4(film: _Film, plan: Sequence[tuple[float, int]], fps: float, progress: Progress) -> bytes:
    import imageio_ffmpeg

    total, done = sum(count for _, count in plan), 0
    height, width = film.frame(0.0).shape[:2]
    # Tagged BT.709, which players assume of untagged video in large sizes and not in small ones.
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    with tempfile.TemporaryDirectory() as folder:
        # A path, since ffmpeg seeks in the file that it writes.
        path = Path(folder) / "blend.mp4"
        try:
            writer = imageio_ffmpeg.write_frames(  # type: ignore[attr-defined, no-untyped-call]
                str(path),
                (width, height),
                fps=fps,
                codec="libx264",
                quality=None,
                macro_block_size=2,
                output_params=[
                    *("-crf", "17", "-vf", "scale=out_color_matrix=bt709:out_range=tv"),
                    *tags,
                    *("-movflags", "+faststart"),
                ],
            )
            writer.send(None)
            for position, count in plan:
                frame = np.ascontiguousarray(film.frame(position))
                for _ in range(count):
                    writer.send(frame)
                    done += 1
                    progress(done, total)
            writer.close()
            return path.read_bytes()
        except (OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RunError(
                f"ffmpeg could not make the video ({reason}); see 'blend doctor', or --format gif"
            ) from error


def _gif(film: _Film, plan: Sequence[tuple[float, int]], fps: float, progress: Progress) -> bytes:
    """One palette of the whole film, and dither of a fixed pattern: otherwise what stands still would flicker."""
    palette = _palette(film, [plan[i][0] for i in np.linspace(0, len(plan) - 1, 6).astype(int)])
    height, width = film.frame(0.0).shape[:2]
    pattern = np.tile(_BAYER, (height // 8 + 1, width // 8 + 1))[:height, :width, None] * np.float32(SPREAD)
    images = []
    for done, (position, _) in enumerate(plan, 1):
        dithered = np.rint((film.frame(position) + pattern).clip(0, 255)).astype(np.uint8)
        images.append(Image.fromarray(dithered).quantize(palette=palette, dither=Image.Dither.NONE))
        progress(done, len(plan))
    data = io.BytesIO()
    durations = _durations([count for _, count in plan], fps, 10)
    images[0].save(data, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return data.getvalue()


def _palette(film: _Film, positions: Sequence[float]) -> Image.Image:
    """256 colours of the frames at these places, half of the say to what changes."""
    whole = film.frame(positions[-1]).reshape(-1, 3)
    moving = np.concatenate([film.region(round(position)).reshape(-1, 3) for position in positions])
    draw = np.random.default_rng(0)
    sample = np.concatenate([draw.choice(part, 65536) for part in (whole, moving)])
    return Image.fromarray(sample.reshape(256, -1, 3)).quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)


def _bayer(order: int) -> npt.NDArray[np.float32]:
    """Bayer's threshold matrix of side 2^order, around 0 and within one half of it."""
    matrix = np.zeros((1, 1))
    for _ in range(order):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return np.asarray((matrix + 0.5) / matrix.size - 0.5, np.float32)


_BAYER = _bayer(3)
SPREAD = 14.0
"""Grey levels that a GIF's dither spreads a colour over: about what lies between two of its 256."""


def _webp(film: _Film, plan: Sequence[tuple[float, int]], fps: float, progress: Progress) -> bytes:
    data = io.BytesIO()
    durations = _durations([count for _, count in plan], fps, 1)
    _Sequence(film, plan, progress).save(
        data, "WEBP", save_all=True, duration=durations, loop=0, quality=85, method=3
    )
    return data.getvalue()


class _Sequence(Image.Image):
    """The film as one image of many frames, each made when the encoder seeks it: only one is in memory."""

    def __init__(self, film: _Film, plan: Sequence[tuple[float, int]], progress: Progress) -> None:
        super().__init__()
        self._film, self._plan, self._progress, self._told = film, plan, progress, 0
        self.n_frames = len(plan)
        self.seek(0)

    def seek(self, frame: int) -> None:
        shown = Image.fromarray(self._film.frame(self._plan[frame][0]))
        self.im, self._mode, self._size = shown.im, shown.mode, shown.size
        self._at = frame
        # The encoder goes back to the first at the end.
        if frame >= self._told:
            self._told = frame + 1
            self._progress(self._told, self.n_frames)

    def tell(self) -> int:
        return self._at
