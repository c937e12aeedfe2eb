"""How painted an object is: `painterly` against published results of Deep Painterly Harmonization.

    DIB_TEST_WEIGHTS=vgg19.safetensors python -m tests.benchmarks.painterly --cases DIR [--sheet FILE]
        [--strengths 0.3,0.6,1] [--only 3,4]

A case is `N_naive.jpg` (the object pasted in place), `N_c_mask.jpg` (white above 127), `N_target.jpg`, and, where
there is one, `N_published.png`. VGG-19 judges, the embedded network paints.

style: mean over relu1_2, relu2_2, relu3_2, relu3_4 of the relative distance of channel means and of channel
standard deviations, in the mask against the target around it. palette: sliced Wasserstein distance (W1) in CIELAB
between object and target around it, in delta E. structure: correlation of luminance gradients (over 2, 4 and 8
pixels) with the paste's. Style and palette are better where lower, structure where higher.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import color

from deep_image_blending import api
from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.networks.network import Network

Array = NDArray[np.float64]
LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu3_4")
SCALES = (2, 4, 8)


class Case(NamedTuple):
    """A paste in a painting: pictures (H, W, 3) uint8, mask (H, W) bool; a published result, or None."""

    name: str
    paste: NDArray[np.uint8]
    target: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    published: NDArray[np.uint8] | None


class Measures(NamedTuple):
    """style and palette are distances, structure a correlation."""

    style: float
    palette: float
    structure: float

    def __str__(self) -> str:
        return f"{self.style:.2f} {self.palette:5.1f} {self.structure:.2f}"


def read_case(folder: Path, name: str) -> Case:
    """The case `name` of a folder; pictures of another size than the mask's are rescaled to it."""
    mask = np.asarray(Image.open(folder / f"{name}_c_mask.jpg").convert("L")) > 127
    size = mask.shape[1], mask.shape[0]

    def picture(path: Path) -> NDArray[np.uint8]:
        image = Image.open(path).convert("RGB")
        return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS))

    published = folder / f"{name}_published.png"
    return Case(
        name,
        picture(folder / f"{name}_naive.jpg"),
        picture(folder / f"{name}_target.jpg"),
        mask,
        picture(published) if published.is_file() else None,
    )


def around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The object's box with a margin of half of it, at least 32 pixels, cut to the picture."""
    slices = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis))
        margin = max(32, (found[-1] + 1 - found[0]) // 2)
        slices.append(slice(max(0, found[0] - margin), found[-1] + 1 + margin))
    return slices[0], slices[1]


@torch.no_grad()
def style_distance(judge: Network, picture: Array, target: Array, mask: NDArray[np.bool_]) -> float:
    """The object's positions in the picture against the target's positions around the object."""
    box = around(mask)
    ours, theirs = (judge.features(_tensor(image[box]), set(LAYERS)) for image in (picture, target))
    inside = torch.from_numpy(mask[box]).float()[None, None]
    distances = []
    for layer in LAYERS:
        share = F.interpolate(inside, ours[layer].shape[2:], mode="area")[0, 0]
        a, b = ours[layer][0][:, share > 0.5], theirs[layer][0][:, share <= 0.5]
        for mine, other in ((a.mean(1), b.mean(1)), (a.std(1), b.std(1))):
            distances.append(float((mine - other).norm() / other.norm()))
    return float(np.mean(distances))


def palette_distance(picture: Array, target: Array, mask: NDArray[np.bool_], directions: int = 64) -> float:
    """Sliced Wasserstein distance in CIELAB between the object and the target around it."""
    box = around(mask)
    inside = mask[box]
    ours = color.rgb2lab(picture[box] / 255)[inside]
    theirs = color.rgb2lab(target[box] / 255)[~inside]
    axes = np.random.default_rng(0).standard_normal((3, directions))
    axes /= np.linalg.norm(axes, axis=0)
    levels = (np.arange(512) + 0.5) / 512
    gaps = np.quantile(ours @ axes, levels, axis=0) - np.quantile(theirs @ axes, levels, axis=0)
    return float(np.abs(gaps).mean())


def structure_correlation(picture: Array, source: Array, mask: NDArray[np.bool_]) -> float:
    """Mean over scales of the correlation of luminance gradients with the source's."""
    ours, theirs = (
        torch.from_numpy(color.rgb2lab(image / 255)[None, None, ..., 0]) for image in (picture, source)
    )
    inside = torch.from_numpy(mask.astype(np.float64))[None, None]
    found = []
    for scale in SCALES:
        pooled = F.avg_pool2d(inside, scale)[0, 0].numpy() > 0.5
        gradients = [
            np.concatenate(
                [np.gradient(F.avg_pool2d(image, scale)[0, 0].numpy(), axis=axis)[pooled] for axis in (0, 1)]
            )
            for image in (ours, theirs)
        ]
        found.append(np.corrcoef(gradients[0], gradients[1])[0, 1])
    return float(np.mean(found))


def measured(judge: Network, picture: NDArray[np.uint8], case: Case) -> Measures:
    """The three measures of a picture of a case."""
    shown, target, paste = (image.astype(np.float64) for image in (picture, case.target, case.paste))
    return Measures(
        style_distance(judge, shown, target, case.mask),
        palette_distance(shown, target, case.mask),
        structure_correlation(shown, paste, case.mask),
    )


def sheet(rows: Sequence[tuple[Case, Mapping[str, NDArray[np.uint8]]]], path: Path, height: int = 420) -> None:
    """A row a case: paste, published, ours by strength, each cut to the object with a margin."""
    strips = []
    for case, ours in rows:
        found = [np.flatnonzero(case.mask.any(axis)) for axis in (1, 0)]
        box = tuple(slice(max(0, f[0] - 40), f[-1] + 41) for f in found)
        published = {} if case.published is None else {"published": case.published}
        tiles = []
        for label, picture in ({"paste": case.paste} | published | dict(ours)).items():
            tile = Image.fromarray(np.ascontiguousarray(picture[box]))
            tile = tile.resize(
                (max(1, round(tile.width * height / tile.height)), height), Image.Resampling.LANCZOS
            )
            ImageDraw.Draw(tile).text(
                (5, 4), f"{case.name} {label}", fill="white", stroke_width=2, stroke_fill="black"
            )
            tiles.append(np.asarray(tile))
        strips.append(np.concatenate(tiles, 1))
    wide = max(strip.shape[1] for strip in strips)
    padded = [np.pad(strip, ((0, 8), (0, wide - strip.shape[1]), (0, 0))) for strip in strips]
    Image.fromarray(np.concatenate(padded)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--only", help="names of cases, with commas between")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--strengths", default="0.3,0.6,1")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    weights = os.environ.get("DIB_TEST_WEIGHTS")
    if not weights:
        parser.error("DIB_TEST_WEIGHTS names no VGG-19 weights")
    judge = load_backbone("vgg19", set(LAYERS), weights=Path(weights)).network
    there = [path.name.split("_")[0] for path in given.cases.glob("*_naive.jpg")]
    names = given.only.split(",") if given.only else there
    strengths = [float(part) for part in given.strengths.split(",")]
    more = {} if given.threads is None else {"threads": given.threads}
    rows, compared = [], []
    for name in sorted(names, key=lambda text: (len(text), text)):
        case = read_case(given.cases, name)
        known = None if case.published is None else measured(judge, case.published, case)
        print(f"{name:>4} paste     {measured(judge, case.paste, case)}", flush=True)
        if known is not None:
            print(f"{name:>4} published {known}", flush=True)
        pictures = {}
        for strength in strengths:
            wall, cpu = time.perf_counter(), time.process_time()
            done = api.blend(
                case.paste,
                case.mask.astype(np.uint8) * 255,
                case.target,
                preset="painterly",
                strength=strength,
                **more,
            )
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            pictures[f"{strength:g}"] = np.asarray(done.picture)
            ours = measured(judge, pictures[f"{strength:g}"], case)
            print(f"{name:>4} ours {strength:<4g} {ours}   {wall:.1f} s, {cpu:.1f} s of processor", flush=True)
            if strength == strengths[-1] and known is not None:
                compared.append((ours, known))
        rows.append((case, pictures))
    if compared:
        ours_mean, known_mean = (np.exp(np.log([pair[k][:2] for pair in compared]).mean(0)) for k in (0, 1))
        wins = {
            field: sum((a[i] < b[i]) if i < 2 else (a[i] > b[i]) for a, b in compared)
            for i, field in enumerate(Measures._fields)
        }
        print(
            f"at strength {strengths[-1]:g}, geometric means: "
            f"style {ours_mean[0]:.3f} (published {known_mean[0]:.3f}), "
            f"palette {ours_mean[1]:.2f} ({known_mean[1]:.2f})"
        )
        print("better than published: " + ", ".join(f"{name} {n} of {len(compared)}" for name, n in wins.items()))
    if given.sheet is not None:
        sheet(rows, given.sheet)


def _tensor(picture: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float()[None]


if __name__ == "__main__":
    main()
