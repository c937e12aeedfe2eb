"""Whether there is memory for pictures, asked of their headings before anything is decoded; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import DEFAULT_MAX_PIXELS, Placement, rescaled_size
from deep_image_blending.pictures.reading import picture_heading
from deep_image_blending.pictures.turning import turned_size
from deep_image_blending.runs import memory_at_hand as memory

GIB = 2**30


def require_room_for_files(
    files: Mapping[str, Path | None],
    placement: Placement,
    limit: float | None = None,
) -> None:
    """The same of files, by their headings. files: by the names of `sizes`; None where there is none.

    Raises InputError, for a file that can't be read too.
    """
    most = placement.max_pixels or DEFAULT_MAX_PIXELS
    headings = {name: picture_heading(path, max_pixels=most) for name, path in files.items() if path is not None}
    decoding = {name: one.decoding for name, one in headings.items()}
    require_room_for_pictures({name: one.size for name, one in headings.items()}, placement, limit, decoding)


def require_room_for_pictures(
    sizes: Mapping[str, tuple[int, ...]],
    placement: Placement,
    limit: float | None,
    decoding: Mapping[str, int] | None = None,
) -> None:
    """Raise InputError where reading and rescaling pictures of these sizes alone would take too much.

    sizes: (rows, columns) of `source` and, where there are any, of `target` and of masks by any name. limit: GiB
    that the process may hold. decoding: bytes that reading each takes, at the most; None where they are in memory
    already. What is over the limit of pixels is refused elsewhere.
    """
    whole = turned_size(rescaled_size(sizes["source"], None), placement.rotate)
    own = rescaled_size(whole, placement.ss, placement.square)
    target = sizes.get("target", (0, 0))
    canvas = rescaled_size(target, placement.ts, placement.square) if "target" in sizes else (0, 0)
    most = placement.max_pixels or DEFAULT_MAX_PIXELS
    if max(canvas[0] * canvas[1], own[0] * own[1]) > most:
        return
    # Pillow rescales four bytes a pixel; then the canvas, and the source in 32-bit numbers.
    need = (3 if canvas == target[:2] else 11) * canvas[0] * canvas[1] + 16 * own[0] * own[1]
    if placement.rotate % 360:
        # Pixels and mask in 32-bit numbers, before and after.
        need += 32 * whole[0] * whole[1]
    if decoding is not None:
        # Colours and, of a mask or alpha, 32-bit numbers.
        depths = {name: 3 if name in ("source", "target") else 4 for name in sizes}
        kept = {name: depths[name] * size[0] * size[1] for name, size in sizes.items()}
        reading = max(took - kept[name] for name, took in decoding.items())
        need = sum(kept.values()) + max(need, reading)
    held = memory.resident()
    hand = host_at_hand(held, None if limit is None else round(limit * GIB))
    if held + need > hand:
        smaller = "smaller pictures, or smaller --ss and --ts" if "target" in sizes else "a smaller picture"
        raise InputError(
            f"not enough memory: the pictures alone would take about {shown_gib(held + need)}, and "
            f"{shown_gib(hand)} are at hand; give {smaller}"
        )


def host_at_hand(held: int, limit: int | None) -> int:
    """Bytes that the process may hold at its peak on the host, at most `limit`. Where nobody knows: 2**62."""
    free = memory.host_available()
    host = 1 << 62 if free is None else held + free
    return host if limit is None else min(host, limit)


def shown_gib(count: int) -> str:
    """Bytes in words."""
    return f"{count / GIB:.2f} GiB" if count < 10 * GIB else f"{count / GIB:.0f} GiB"
