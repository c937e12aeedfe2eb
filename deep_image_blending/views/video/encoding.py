"""Frames into a file's bytes: MP4 by imageio and its ffmpeg, GIF and WebP by Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deep_image_blending.errors import RunError
from deep_image_blending.views.video.film import Film
from deep_image_blending.views.video.pace import Stays, durations

Progress = Callable[[int, int | None], None]
"""Told the frames that are done, and all of them."""


@dataclass(frozen=True)
class Reel:
    """What is encoded: a film's frames, each for as many frames of the video as it stays."""

    film: Film
    plan: Stays
    fps: float
    progress: Progress


def mp4(reel: Reel) -> bytes:
    """H.264, tagged BT.709, which players assume of untagged video in large sizes and not in small ones.

    Raises RunError where ffmpeg is missing or fails.
    """
    import imageio.v2 as iio

    output = [
        *("-crf", "17", "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-movflags", "+faststart"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
    ]
    total, done, data = sum(count for _, count in reel.plan), 0, io.BytesIO()
    try:
        writer = iio.get_writer(
            data,
            format=".mp4",
            mode="I",
            fps=reel.fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            output_params=output,
        )
        with closing(writer):
            for position, count in reel.plan:
                frame = reel.film.frame(position)
                for _ in range(count):
                    writer.append_data(frame)
                    done += 1
                    reel.progress(done, total)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(
            f"ffmpeg could not make the video ({reason}); see 'blend doctor', or --format gif"
        ) from error
    return data.getvalue()


def gif(reel: Reel) -> bytes:
    """One palette of the whole film and no dither: otherwise what stands still would flicker."""
    places = [position for position, _ in reel.plan]
    palette = _palette(reel.film, [places[i] for i in np.linspace(0, len(places) - 1, 6).astype(int)])

    def images() -> Iterator[Image.Image]:
        for done, position in enumerate(places, 1):
            yield Image.fromarray(reel.film.frame(position)).quantize(palette=palette, dither=Image.Dither.NONE)
            reel.progress(done, len(places))

    others, data, stay = images(), io.BytesIO(), durations(reel.plan, reel.fps, 10)
    next(others).save(data, "GIF", save_all=True, append_images=others, duration=stay, loop=0)
    return data.getvalue()


def webp(reel: Reel) -> bytes:
    data, stay = io.BytesIO(), durations(reel.plan, reel.fps, 1)
    _OneAtATime(reel).save(data, "WEBP", save_all=True, duration=stay, loop=0, quality=85, method=3)
    return data.getvalue()


ENCODERS: dict[str, Callable[[Reel], bytes]] = {"mp4": mp4, "gif": gif, "webp": webp}


def _palette(film: Film, positions: Sequence[float]) -> Image.Image:
    """256 colours of the frames at these places, half of the say to what changes."""
    whole = film.frame(positions[-1]).reshape(-1, 3)
    moving = np.concatenate([film.region(round(position)).reshape(-1, 3) for position in positions])
    draw = np.random.default_rng(0)
    sample = np.concatenate([draw.choice(part, 65536) for part in (whole, moving)])
    return Image.fromarray(sample.reshape(256, -1, 3)).quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)


class _OneAtATime(Image.Image):
    """The film as one image of many frames, each made when the encoder seeks it: only one is in memory.

    Pillow's WebP encoder would take a list of them all, 600 MB for a hundred frames of 1920x1080.
    """

    def __init__(self, reel: Reel) -> None:
        super().__init__()
        self._reel, self._told = reel, 0
        self.n_frames = len(reel.plan)
        self.seek(0)

    def seek(self, frame: int) -> None:
        shown = Image.fromarray(self._reel.film.frame(self._reel.plan[frame][0]))
        self.im, self._mode, self._size = shown.im, shown.mode, shown.size
        self._at = frame
        # The encoder goes back to the first at the end.
        if frame >= self._told:
            self._told = frame + 1
            self._reel.progress(self._told, self.n_frames)

    def tell(self) -> int:
        return self._at
