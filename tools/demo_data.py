"""Make the demo cases: `python -m tools.demo_data` writes the pictures of the package's `data/`, always the same.

Photographs are those that scikit-image's package carries under CC0 or in the public domain, paintings those in
`data/paintings` (see its README.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data
from skimage.segmentation import random_walker

DATA = Path(__file__).parents[1] / "deep_image_blending" / "data"
SIZE = 448


def noise(random: np.random.Generator, size: int, roughness: float, stretch: float = 1.0) -> np.ndarray:
    """(size, size) noise of power spectrum 1/f^(2 roughness), mean 0, deviation 1, stretched sideways."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    amplitude = (np.hypot(fy, fx * stretch) + 1 / size) ** -roughness
    phase = random.normal(size=amplitude.shape) + 1j * random.normal(size=amplitude.shape)
    plane = np.fft.irfft2(phase * amplitude, (size, size))
    return np.asarray((plane - plane.mean()) / plane.std())


def polygon(shape: tuple[int, int], points: list[tuple[int, int]]) -> np.ndarray:
    """(H, W) bool, the polygon through (column, row) points."""
    image = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(image).polygon(points, fill=1)
    return np.asarray(image, bool)


def matte(image: np.ndarray, sure: np.ndarray, possible: np.ndarray, beta: float) -> np.ndarray:
    """Probability (H, W) of the object by a random walk from the sure object and from the sure background."""
    seeds = np.zeros(sure.shape, int)
    seeds[~possible] = 2
    seeds[sure] = 1
    walked = random_walker(image / 255, seeds, beta=beta, channel_axis=-1, return_full_prob=True, mode="cg_j")
    return np.asarray(walked[0])


def disc(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2


def save(
    name: str, title: str, source: np.ndarray, mask: np.ndarray, target: np.ndarray | str, place: dict[str, Any]
) -> None:
    """Write one case. mask in 0..1; target: a picture, or a painting's name; place: ss, ts, x, y and the
    sources."""
    folder = DATA / name
    folder.mkdir(exist_ok=True)
    Image.fromarray(source).save(folder / "source.jpg", quality=92)
    Image.fromarray(np.rint(mask.clip(0, 1) * 255).astype(np.uint8)).save(folder / "mask.png", optimize=True)
    if isinstance(target, str):
        place = {"target": f"paintings/{target}.jpg", **place}
    else:
        Image.fromarray(np.rint(target).astype(np.uint8)).save(folder / "target.jpg", quality=90)
    (folder / "case.json").write_text(json.dumps({"title": title, **place}, indent=2) + "\n", encoding="utf-8")


def with_tip(photograph: np.ndarray, rows: int) -> np.ndarray:
    """The shuttle's photograph with `rows` more rows above, in which its tank, cut off by the frame, ends.

    The tank's half width follows the ellipse that fits it below: 20.5 px at row 42, 9.5 px at row 0.
    """
    columns = np.arange(photograph.shape[1])
    first = photograph[0].astype(float)
    beside = np.delete(columns, np.s_[58:94])
    backdrop = np.stack([np.interp(columns, beside, first[beside, c]) for c in range(3)], -1)
    added = np.repeat(backdrop[None], rows, 0)
    for row in range(1, rows + 1):
        remaining = 1 - ((42 + row) / 47.4) ** 2
        if remaining > 0:
            half = 20.5 * remaining**0.5
            near = np.abs(columns - 75.5) < half + 2
            where = 75.5 + (columns - 75.5) * 9.5 / half
            narrowed = np.stack([np.interp(where, columns, first[:, c]) for c in range(3)], -1)
            added[-row][near] = narrowed[near]
    whole = np.concatenate([added, photograph])
    # As soft as the photograph is there, fading out where its own rows begin.
    share = (1 - (np.arange(len(whole)) - rows) / 3).clip(0, 1)[:, None, None]
    whole = whole + share * (ndimage.gaussian_filter(whole, (1.2, 1.2, 0)) - whole)
    return np.asarray(np.rint(whole), np.uint8)


def shuttle() -> None:
    above = 16
    photograph = with_tip(data.astronaut()[0:296, 340:490], above)
    shape = photograph.shape[:2]
    outline = [
        (39, 104), (40, 60), (42, 48), (45, 40), (49, 40), (53, 50), (56, 46), (56, 32), (58, 20), (61, 10),
        (65, 0), (70, -6), (81, -6), (86, 0), (91, 9), (95, 19), (98, 30), (99, 42), (102, 37), (106, 38),
        (110, 46), (114, 58), (116, 120), (116, 180), (118, 215), (117, 262), (133, 268), (128, 282), (40, 284),
        (29, 272), (30, 252), (37, 225), (14, 222), (17, 205), (38, 178),
    ]  # fmt: skip
    wide = polygon(shape, [(column, row + above) for column, row in outline])
    inner = ndimage.binary_erosion(wide, disc(3))
    probability = matte(photograph, inner, ndimage.binary_dilation(wide, disc(3)), 400)
    hard = ndimage.binary_fill_holes(probability > 0.35)
    hard = ndimage.binary_dilation(ndimage.binary_opening(hard, disc(1)), disc(2))
    save(
        "shuttle", "A model of the Space Shuttle in The Starry Night",
        photograph, hard.astype(float), "starry_night",
        {"ss": 264, "ts": None, "x": 190, "y": 330, "sources": {
            "source": "NASA, portrait of Eileen Collins, public domain; skimage.data.astronaut",
            "target": "Vincent van Gogh, The Starry Night, 1889, public domain; paintings/starry_night.jpg"}},
    )  # fmt: skip


def coffee(gravel: np.ndarray) -> None:
    photograph = data.coffee()
    shape = photograph.shape[:2]
    cup = polygon(shape, [
        (180, 69), (160, 80), (140, 94), (120, 112), (100, 136), (88, 157), (80, 183), (77, 210), (78, 235),
        (82, 260), (90, 283), (102, 301), (120, 323), (140, 343), (160, 358), (180, 370), (210, 381), (240, 387),
        (270, 389), (300, 389), (340, 384), (362, 377), (383, 368), (417, 348), (440, 328), (460, 300), (472, 273),
        (478, 243), (478, 220), (475, 193), (467, 167), (457, 147), (440, 126), (422, 108), (417, 104), (423, 82),
        (424, 76), (418, 68), (410, 66), (400, 69), (397, 73), (388, 60), (378, 50), (360, 38), (340, 29),
        (320, 23), (305, 19), (287, 18), (265, 20), (247, 25), (220, 38), (200, 53), (187, 65),
    ])  # fmt: skip
    smooth = ndimage.gaussian_filter(cup.astype(float), 2) > 0.5
    cup = ndimage.binary_dilation(cup | smooth, disc(2))
    save(
        "coffee", "A cup of coffee on gravel", photograph, cup.astype(float), gravel,
        {"ss": 300, "ts": None, "x": 250, "y": 240, "sources": {
            "source": "Rachel Michetti, CC0; skimage.data.coffee",
            "target": "CC0Textures Gravel04, CC0, tinted by tools/demo_data.py; skimage.data.gravel"}},
    )  # fmt: skip


def portrait() -> None:
    photograph = data.astronaut()
    shape = photograph.shape[:2]
    outline = [
        (20, 512), (21, 430), (30, 325), (46, 268), (80, 240), (112, 212), (114, 186), (128, 166), (160, 150),
        (178, 148), (176, 122), (156, 104), (153, 72), (165, 42), (192, 22), (232, 13), (272, 26), (297, 58),
        (302, 92), (284, 128), (262, 142), (258, 172), (286, 190), (304, 226), (306, 240), (336, 254), (354, 288),
        (364, 346), (400, 342), (448, 352), (484, 392), (500, 452), (512, 470), (512, 512),
    ]  # fmt: skip
    wide = polygon(shape, outline)
    sure = ndimage.binary_erosion(wide, disc(7), border_value=1)
    probability = matte(photograph, sure, ndimage.binary_dilation(wide, disc(5)), 300)
    soft = ndimage.gaussian_filter(probability, 1.0)
    soft = ((soft - 0.2) / 0.6).clip(0, 1)
    # In the lower right corner: there the photograph's frame cuts the helmet, so the canvas has to end as well.
    save(
        "portrait", "An astronaut sits for a painter: a soft mask that touches the lower and the right border",
        photograph, soft, "shipwreck",
        {"ss": 400, "ts": None, "x": 441 - 200, "y": 640 - 200, "sources": {
            "source": "NASA, portrait of Eileen Collins, public domain; skimage.data.astronaut",
            "target": "J. M. W. Turner, The Shipwreck of the Minotaur, about 1810, public domain; "
                      "paintings/shipwreck.jpg"}},
    )  # fmt: skip


def rocket() -> None:
    photograph = data.rocket()[110:410, 140:500]
    shape = photograph.shape[:2]
    body = polygon(shape, [
        (182, 14), (187, 17), (193, 28), (196, 40), (196, 66), (198, 70), (198, 205), (204, 207), (204, 214),
        (198, 215), (198, 230), (218, 251), (219, 300), (143, 300), (145, 285), (146, 252), (166, 229), (166, 215),
        (160, 214), (160, 207), (166, 205), (166, 44), (169, 36), (172, 27), (178, 17),
    ])  # fmt: skip
    left = polygon(shape, [
        (56, 11), (66, 11), (66, 18), (64, 78), (66, 84), (66, 300), (21, 300), (28, 250), (34, 200), (39, 150),
        (44, 115), (47, 80), (53, 78), (56, 20),
    ])  # fmt: skip
    right = polygon(shape, [
        (301, 11), (311, 11), (312, 20), (314, 78), (319, 80), (321, 115), (325, 150), (331, 200), (335, 250),
        (339, 290), (340, 300), (298, 300), (298, 150), (299, 80), (305, 78), (302, 18),
    ])  # fmt: skip
    mask = body | left | right
    save(
        "rocket", "A rocket and its two masts: several blobs, at the lower border", photograph, mask.astype(float),
        "starry_night",
        {"ss": 339, "ts": None, "x": 507 - 139, "y": 420, "sources": {
            "source": "SpaceX, released to the public domain; skimage.data.rocket",
            "target": "Vincent van Gogh, The Starry Night, 1889, public domain; paintings/starry_night.jpg"}},
    )  # fmt: skip


def main() -> None:
    random = np.random.default_rng(7)
    gravel = np.asarray(Image.fromarray(data.gravel()).resize((SIZE, SIZE)), np.float64)
    moss = 0.5 + 0.12 * noise(random, SIZE, 1.6)
    tint = np.array((0.90, 0.98, 1.04)) + moss[..., None] * np.array((-0.06, 0.04, -0.12))
    stones = (55 + 0.8 * gravel[..., None] * tint).clip(0, 255)
    shuttle()
    coffee(stones)
    portrait()
    rocket()


if __name__ == "__main__":
    main()
