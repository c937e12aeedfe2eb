"""A video of a run, from the frames that its passes saved."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.config import PASSES
from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.runs import RunDirectory

Frame = npt.NDArray[np.uint8]

FORMATS = ("mp4", "gif", "webp")
LAYOUTS = ("blend", "side-by-side")
LONGEST = 1920
"""Longer side of a frame; larger canvases are scaled down."""
HOLD = 1.5
"""Seconds for which the first and the last picture stay."""


def make_video(
    run: RunDirectory,
    *,
    fps: float = 12.0,
    layout: str = "blend",
    format: str = "mp4",
    output: Path | None = None,
) -> tuple[Path, int]:
    """Encode a run's frames; the file and the number of frames in it.

    layout: `blend`, or `side-by-side` with the plain paste on the left. Raises InputError for an unknown layout or
    format, and for a run without frames.
    """
    if output is not None and output.suffix.lstrip(".").lower() in FORMATS:
        format = output.suffix.lstrip(".").lower()
    if format not in FORMATS:
        raise InputError(f"--format {format!r}: choose {', '.join(FORMATS)}")
    if layout not in LAYOUTS:
        raise InputError(f"--layout {layout!r}: choose {', '.join(LAYOUTS)}")
    frames = [_laid_out(frame, paste, layout) for frame, paste in _moments(run)]
    hold = max(1, round(HOLD * fps))
    frames = [frames[0]] * hold + frames + [frames[-1]] * hold
    path = output if output is not None else run.path / f"blend.{format}"
    with atomic_write(path) as stream:
        stream.write(_encoded(frames, fps, format))
    return path, len(frames)


def _moments(run: RunDirectory) -> Iterator[tuple[Frame, Frame]]:
    """(frame, paste) on the whole canvas: the paste, then every saved moment, then the finished pictures."""
    composite_path = run.path / "composite.png"
    if not composite_path.is_file():
        raise InputError(f"run '{run.path}' has no composite.png to show frames on")
    paste = _read(composite_path)
    top, left, bottom, right = run.manifest["placement"]["region"]
    found = False
    yield paste, paste
    for name in PASSES:
        for path in run.frames(name):
            found = True
            moment = _read(path)
            frame = paste.copy()
            if moment.shape == paste.shape:
                frame = moment
            else:
                frame[top:bottom, left:right] = moment
            yield frame, paste
        finished = run.path / f"{name}.png"
        if finished.is_file():
            yield _read(finished), paste
    if not found:
        raise InputError(f"run '{run.path}' has no frames: none of its passes has begun")


def _read(path: Path) -> Frame:
    from deep_image_blending.images import read_picture

    pixels = read_picture(path).pixels
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _laid_out(frame: Frame, paste: Frame, layout: str) -> Frame:
    shown = frame if layout == "blend" else np.concatenate((paste, frame), 1)
    height, width = shown.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    # H.264's colour is at half resolution: sides must be even.
    size = (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
    if scale == 1.0:
        return np.ascontiguousarray(shown[: size[1], : size[0]]) if min(height, width) > 1 else shown
    return np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.LANCZOS))


def _encoded(frames: list[Frame], fps: float, format: str) -> bytes:
    if format == "mp4":
        # A path, since ffmpeg seeks in the file it writes.
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "blend.mp4"
            iio.imwrite(path, np.stack(frames), fps=fps, codec="libx264", macro_block_size=2, quality=8)
            return path.read_bytes()
    images = [Image.fromarray(frame) for frame in frames]
    data = io.BytesIO()
    images[0].save(
        data, format.upper(), save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0
    )
    return data.getvalue()
