"""How near a mask comes to a known truth: `python -m tests.benchmarks.masks [--sheet PNG] [--large] [--boxes]`.

Truth is known twice: for pictures whose bundled mask is the object's outline, and for objects that are composed
here over photographs by an alpha made by code: a plain shape, strands of hair, glass, holes, a lattice, several
pieces, and a shape that resembles its background. Every mask is loosened by 5, 15 and 30 pixels, with a hand's
wobble, and given to every way of tightening; those that fit are given to `auto`, which is to leave them alone.
Intersection over union is at alpha one half, higher is better; SAD (thousands of pixels) and the gradient's error
(Rhemann et al. 2009, thousands) are of alpha, lower is better.

`--boxes` gives no masks but boxes, 4 and 20 pixels around the object, to `blend cut-out` and to GrabCut alone.

`--cases DIR`: folders with source.png and mask.png. They have no truth and appear on the sheet; with
`--boxes` every piece of their masks, as `auto` tightens them, is taken for true.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage
from PIL import Image, ImageDraw, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage
from skimage.segmentation import chan_vese, random_walker

from deep_image_blending.pictures.cutting import grabcut
from deep_image_blending.pictures.cutting.cut_out import Start, cut_out, hints_of
from deep_image_blending.pictures.cutting.regions import box_of, pieces_of
from deep_image_blending.pictures.cutting.scissors import LiveWire, edge_costs
from deep_image_blending.pictures.cutting.tightening import tighten
from tests.benchmarks.photographs import BUNDLED, photograph

Float = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, int]

LOOSENED = (5, 15, 30)
MARGINS = (4, 20)
SIZE = (360, 440)


def loosened(truth: Float, radius: float) -> Float:
    """A mask as a hand draws it around what is there: `radius` pixels outside, more here and less there."""
    if radius == 0:
        return truth.copy()
    random = np.random.default_rng(round(radius))
    wobble = ndimage.zoom(
        random.normal(0, 1, (9, 9)), np.array(truth.shape) / 9, order=3, grid_mode=True, mode="nearest"
    )
    away = ndimage.distance_transform_edt(truth < 0.1)
    return (away <= radius * (1 + 0.25 * wobble.clip(-2, 2))).astype(np.float32)


def backdrop(name: str, shift: int = 0) -> Pixels:
    """A photograph without its first rows and columns, scaled to cover the canvas of made cases, and cut to it."""
    image = photograph(name)
    image = image.crop((shift, shift, image.width, image.height))
    return np.asarray(ImageOps.fit(image, SIZE[::-1], Image.Resampling.LANCZOS, centering=(0, 0)))


def _field(shape: Shape) -> tuple[Float, Float]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return y, x


def _soft(distance: npt.NDArray[np.floating], blur: float = 1.0) -> Float:
    """A signed distance, negative inside -> alpha with an edge of `blur` pixels."""
    return np.clip(0.5 - distance / blur, 0, 1).astype(np.float32)


def plain(shape: Shape) -> Float:
    y, x = _field(shape)
    y, x = y - shape[0] * 0.52, x - shape[1] * 0.48
    angle = np.arctan2(y, x)
    return _soft(np.hypot(y, x) - 85 - 14 * np.sin(3 * angle) - 9 * np.cos(5 * angle), 1.5)


def _strokes(shape: Shape, lines: list[tuple[npt.NDArray[np.float64], float]]) -> Float:
    """Polylines (n, 2) of rows and columns, each of a width -> alpha, by distances at four times the size."""
    image = Image.new("L", (shape[1] * 4, shape[0] * 4))
    draw = ImageDraw.Draw(image)
    for points, width in lines:
        draw.line(
            [(float(c) * 4, float(r) * 4) for r, c in points],
            fill=255,
            width=max(round(width * 4), 1),
            joint="curve",
        )
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BOX), np.float32) / 255


def hair(shape: Shape) -> Float:
    """A head with strands of one to two pixels."""
    random = np.random.default_rng(11)
    y, x = _field(shape)
    centre = np.array([shape[0] * 0.55, shape[1] * 0.5])
    head = _soft(np.hypot((y - centre[0]) / 1.1, x - centre[1]) - 75, 2)
    lines = []
    for _ in range(260):
        angle = random.uniform(0, 2 * np.pi)
        bend, length = random.normal(0, 0.5), random.uniform(15, 42)
        t = np.linspace(0, 1, 12)
        heading = angle + bend * t
        reach = 68 + length * t
        points = centre + np.stack([1.1 * reach * np.sin(heading), reach * np.cos(heading)], 1)
        lines.append((points, random.uniform(0.6, 2.0)))
    return np.maximum(head, _strokes(shape, lines))


def glass(shape: Shape) -> Float:
    """A bottle: a firm rim, see-through inside."""
    y, x = _field(shape)
    y, x = y - shape[0] * 0.5, x - shape[1] * 0.5
    body = np.maximum(np.abs(x) - 55 + 25 * (y < -50) * np.clip((-50 - y) / 30, 0, 1), np.abs(y) - 120)
    outer = _soft(body, 1.5)
    inner = _soft(body + 9, 3)
    return (outer * (1 - inner) + inner * 0.45).astype(np.float32)


def holes(shape: Shape) -> Float:
    """A wheel: a rim, spokes and a hub, the background between them."""
    y, x = _field(shape)
    centre = (shape[0] * 0.5, shape[1] * 0.5)
    radius = np.hypot(y - centre[0], x - centre[1])
    rim, hub = _soft(np.abs(radius - 105) - 13, 1.5), _soft(radius - 26, 1.5)
    lines = []
    for k in range(7):
        angle = 2 * np.pi * k / 7 + 0.2
        ends = np.array([[np.sin(angle), np.cos(angle)]]) * np.array([[10.0], [105.0]]) + centre
        lines.append((ends, 8.0))
    return np.maximum(np.maximum(rim, hub), _strokes(shape, lines))


def lattice(shape: Shape) -> Float:
    """A mast of thin bars on a block."""
    rows = np.linspace(40, 300, 14)
    half = 10 + (rows - 40) * 0.12
    middle = shape[1] * 0.5
    left, right = middle - half, middle + half
    lines = [(np.stack([rows, left], 1), 3.0), (np.stack([rows, right], 1), 3.0)]
    for k in range(13):
        lines.append((np.array([[rows[k], left[k]], [rows[k + 1], right[k + 1]]]), 2.0))
        lines.append((np.array([[rows[k], right[k]], [rows[k + 1], left[k + 1]]]), 2.0))
    y, x = _field(shape)
    block = _soft(np.maximum(np.abs(y - 310) - 18, np.abs(x - middle) - 60), 1.5)
    return np.maximum(block, _strokes(shape, lines))


def pieces(shape: Shape) -> Float:
    """Large and small discs."""
    y, x = _field(shape)
    made = np.zeros(shape, np.float32)
    for row, column, radius in ((110, 120, 58), (230, 300, 70), (80, 330, 26), (285, 110, 20), (170, 215, 11)):
        made = np.maximum(made, _soft(np.hypot(y - row, x - column) - radius, 1.5))
    return made


MADE: tuple[tuple[str, Callable[[Shape], Float], str, str], ...] = (
    # name, alpha, the object's photograph, the background's
    ("plain shape before fur", plain, "coffee", "chelsea"),
    ("plain shape before a garage", plain, "astronaut", "motorcycle_left"),
    ("hair before a garage", hair, "dark", "motorcycle_left"),
    ("hair before coffee", hair, "dark", "coffee"),
    ("glass before the evening", glass, "hubble_deep_field", "rocket"),
    ("glass before a studio", glass, "dark", "portrait"),
    ("wheel before gravel", holes, "coffee", "coffee/target.jpg"),
    ("wheel before a garage", holes, "dark", "motorcycle_left"),
    ("lattice before the evening", lattice, "dark", "rocket"),
    ("lattice before fur", lattice, "light", "chelsea"),
    ("pieces before fur", pieces, "hubble_deep_field", "chelsea"),
    ("pieces before an office", pieces, "coffee", "grace_hopper"),
    ("fur before fur", plain, "chelsea", "chelsea"),
    ("stars before stars", pieces, "hubble_deep_field", "hubble_deep_field"),
)


def _object(name: str) -> Float:
    if name in ("dark", "light"):
        random = np.random.default_rng(5)
        grain = ndimage.gaussian_filter(random.normal(0, 1, SIZE), 1.5) * 18
        base = np.array([58, 40, 30]) if name == "dark" else np.array([215, 208, 190])
        return (base + grain[..., None]).clip(0, 255).astype(np.float32)
    return backdrop(name, shift=40).astype(np.float32)


def cases() -> list[tuple[str, Pixels, Float]]:
    """Every picture with its true alpha."""
    found = []
    for name in ("coffee", "portrait", "shuttle"):
        picture = np.asarray(_bundled(name, "source"))
        truth = np.asarray(_bundled(name, "mask"), np.float32) / 255
        found.append((name, picture, truth))
    for name, shape, before, behind in MADE:
        alpha = shape(SIZE)[..., None]
        composed = alpha * _object(before) + (1 - alpha) * backdrop(behind)
        noise = np.random.default_rng(1).normal(0, 1.5, composed.shape)
        found.append((name, (composed + noise).clip(0, 255).astype(np.uint8), alpha[..., 0]))
    return found


def iou(alpha: Float, truth: Float) -> float:
    a, b = alpha > 0.5, truth > 0.5
    return float((a & b).sum() / max((a | b).sum(), 1))


def sad(alpha: Float, truth: Float) -> float:
    return float(np.abs(alpha - truth).sum()) / 1000


def gradient_error(alpha: Float, truth: Float) -> float:
    a, b = (ndimage.gaussian_gradient_magnitude(each, 1.4) for each in (alpha, truth))
    return float(((a - b) ** 2).sum()) / 1000


Method = Callable[[Pixels, Float], Float]


def _grabcut_alone(picture: Pixels, mask: Float) -> Float:
    hints = np.where(mask > 0.5, grabcut.PERHAPS_OBJECT, grabcut.BACKGROUND).astype(np.uint8)
    return grabcut.segment(picture, hints).inside.astype(np.float32)


def _random_walker(picture: Pixels, mask: Float) -> Float:
    """Seeds: the outside, and the deepest half of every component."""
    inside = mask > 0.5
    box = grabcut.surroundings(inside)
    depth = ndimage.distance_transform_edt(inside[box])
    numbers, count = ndimage.label(inside[box])
    deepest = np.concatenate([[np.inf], np.atleast_1d(ndimage.maximum(depth, numbers, range(1, count + 1)))])
    seeds = np.where(inside[box], 0, 2)
    seeds[depth >= 0.5 * deepest[numbers]] = 1
    labels = random_walker(picture[box] / 255, seeds, beta=400, mode="cg_j", tol=1e-2, channel_axis=-1)
    result = np.zeros(mask.shape, np.float32)
    result[box] = (labels == 1) & inside[box]
    return result


def _chan_vese(picture: Pixels, mask: Float) -> Float:
    """Started from the mask; of its two sides the object is the one with more of the mask."""
    inside = mask > 0.5
    box = grabcut.surroundings(inside)
    grey = skimage.color.rgb2gray(picture[box])
    start = np.where(inside[box], 1.0, -1.0)
    side = chan_vese(grey, mu=0.1, max_num_iter=60, init_level_set=start)
    if (side & inside[box]).sum() < (~side & inside[box]).sum():
        side = ~side
    result = np.zeros(mask.shape, np.float32)
    result[box] = side & inside[box]
    return result


METHODS: dict[str, Method] = {
    "off": lambda picture, mask: mask,
    "auto": lambda picture, mask: tighten(picture, mask, "auto").mask,
    "hard": lambda picture, mask: tighten(picture, mask, "hard").mask,
    "soft": lambda picture, mask: tighten(picture, mask, "soft").mask,
    "GrabCut alone": _grabcut_alone,
    "random walker": _random_walker,
    "Chan-Vese": _chan_vese,
}


@dataclass(frozen=True)
class Row:
    """A method's result on one case: intersection over union, SAD, gradient's error, processor seconds."""

    case: str
    loose: int
    method: str
    overlap: float
    sad: float
    gradient: float
    seconds: float


def measured() -> list[Row]:
    rows = []
    for name, picture, truth in track(cases(), "Cases"):
        for loose in (0, *LOOSENED):
            mask = loosened(truth, loose) if loose else (truth > 0.5).astype(np.float32)
            for method, made in METHODS.items():
                if not loose and method not in ("off", "auto"):
                    continue
                start = time.process_time()
                alpha = made(picture, mask)
                seconds = time.process_time() - start
                values = iou(alpha, truth), sad(alpha, truth), gradient_error(alpha, truth)
                rows.append(Row(name, loose, method, *values, seconds))
    return rows


def print_tables(rows: list[Row], console: Console) -> None:
    table = Table("case", "loose", *METHODS, title="Intersection over union; SAD")
    for case, loose in dict.fromkeys((row.case, row.loose) for row in rows):
        own = {row.method: row for row in rows if (row.case, row.loose) == (case, loose)}
        cells = [f"{own[m].overlap:.3f} {own[m].sad:6.2f}" if m in own else "" for m in METHODS]
        table.add_row(case, str(loose), *cells)
    console.print(table)
    table = Table("loose", "measure", *METHODS, title="Means")
    for loose in LOOSENED:
        for measure in ("overlap", "sad", "gradient", "seconds"):
            means = [
                np.mean([getattr(row, measure) for row in rows if row.loose == loose and row.method == method])
                for method in METHODS
            ]
            table.add_row(str(loose), measure, *(f"{mean:.3f}" for mean in means))
    console.print(table)
    worse = [row for row in rows if row.method == "auto" and _worse(row, rows)]
    count = sum(row.method == "auto" for row in rows)
    console.print(f"auto is worse than the mask as given in {len(worse)} of {count}")
    for row in worse:
        console.print(f"  {row.case}, loosened by {row.loose}")


def _worse(row: Row, rows: list[Row]) -> bool:
    """Whether it has less overlap, or more SAD, than the mask as given has."""
    (off,) = [other for other in rows if (other.case, other.loose, other.method) == (row.case, row.loose, "off")]
    return row.overlap < off.overlap - 1e-6 or row.sad > off.sad + 1e-6


def print_boxes(folders: list[Path], console: Console) -> None:
    """Intersection over union of what is cut out by a box, and by GrabCut alone."""
    table = Table("object", "margin", "cut-out", "GrabCut alone", title="From a box: intersection over union")
    pieces = [piece for folder in folders for piece in _pieces(folder)]
    for kind, found in (("true masks", cases()), ("masks by auto", pieces)):
        rows = []
        for name, picture, truth in track(found, kind.capitalize(), disable=not found):
            for margin in MARGINS:
                rows_of, columns_of = box_of(truth > 0.5, margin)
                box = rows_of.start, columns_of.start, rows_of.stop, columns_of.stop
                if box == (0, 0, *truth.shape):
                    continue
                start = Start(box=box)
                alone = grabcut.segment(picture, hints_of(truth.shape, start)).inside.astype(np.float32)
                rows.append([iou(alpha, truth) for alpha in (cut_out(picture, start, soft=False).alpha, alone)])
                table.add_row(name, str(margin), *(f"{value:.3f}" for value in rows[-1]))
        if rows:
            means = np.mean(rows, 0)
            table.add_row(f"mean of {len(rows)}, {kind}", "", *(f"{mean:.3f}" for mean in means), end_section=True)
    console.print(table)


def _pieces(folder: Path) -> list[tuple[str, Pixels, Float]]:
    """Every piece, of a thousand pixels at least, of the folder's mask as `auto` tightens it."""
    picture, mask = _given(folder)
    numbers, count = pieces_of(tighten(picture, mask, "auto").mask > 0.5)
    pieces = [(numbers == number).astype(np.float32) for number in range(1, count + 1)]
    large = [piece for piece in pieces if piece.sum() >= 1000]
    return [(f"{folder.name}, piece {k}", picture, piece) for k, piece in enumerate(large, 1)]


def print_large(console: Console) -> None:
    """Seconds and memory for a picture of 12 megapixels, and the scissors' seconds for 0.3 and 1 megapixels."""
    picture, truth = (np.asarray(_bundled("portrait", kind).resize((2368, 2368))) for kind in ("source", "mask"))
    beside = ((3000 - 2368, 0), (800, 4000 - 2368 - 800))
    large = np.pad(picture, (*beside, (0, 0)), mode="reflect")
    mask = loosened(np.pad(truth, beside).astype(np.float32) / 255, 60)
    start = time.process_time()
    tight = tighten(large, mask, "auto")
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(
        f"{large.shape[1]}x{large.shape[0]}, mask of {(mask > 0.5).sum() / 1e6:.1f} megapixels, {tight.way}: "
        f"{seconds:.1f} processor seconds; {memory:.2f} GiB at most (the whole process, on Linux)"
    )
    for side in (512, 1024):
        costs = edge_costs(np.asarray(_bundled("portrait", "source").resize((side, side))))
        start = time.perf_counter()
        wire = LiveWire(costs, (side // 2, side // 3))
        near = time.perf_counter() - start
        start = time.perf_counter()
        wire.path((side - 5, side - 5))
        far = time.perf_counter() - start
        console.print(f"scissors, {side}x{side}: {near:.3f} s a seed, {far:.3f} s to the far corner")


def _bundled(case: str, kind: str) -> Image.Image:
    (path,) = (BUNDLED / case).glob(f"{kind}.*")
    return Image.open(path).convert("RGB" if kind == "source" else "L")


def sheet(found: list[tuple[Pixels, Float]]) -> Image.Image:
    """A row a picture: the mask as given and `auto`, each on grey and on magenta."""
    rows = []
    for picture, mask in track(found, "Sheet"):
        box = grabcut.surroundings(mask > 0.5)
        tight = tighten(picture, mask, "auto")
        colours = picture if tight.foreground is None else tight.foreground
        cells = []
        for pixels, alpha in ((picture, mask), (colours, tight.mask)):
            for ground in ((128, 128, 128), (255, 0, 255)):
                cover = alpha[box][..., None]
                composed = cover * pixels[box] + (1 - cover) * np.array(ground)
                cells.append(np.rint(composed).astype(np.uint8))
        row = Image.fromarray(np.concatenate(cells, 1))
        rows.append(row.resize((1600, round(row.height * 1600 / row.width)), Image.Resampling.LANCZOS))
    made = Image.new("RGB", (1600, sum(row.height for row in rows)))
    top = 0
    for row in rows:
        made.paste(row, (0, top))
        top += row.height
    return made


def _given(folder: Path) -> tuple[Pixels, Float]:
    source = next(path for path in (folder / "source.png", folder / "source.jpg") if path.exists())
    mask = np.asarray(Image.open(folder / "mask.png").convert("L"), np.float32) / 255
    return np.asarray(Image.open(source).convert("RGB")), mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folders with source.png and mask.png, for sheet and boxes")
    parser.add_argument("--sheet", type=Path, help="write off against auto here, and measure nothing")
    parser.add_argument("--large", action="store_true", help="time a picture of 12 megapixels, and the scissors")
    parser.add_argument("--boxes", action="store_true", help="start from boxes instead of loose masks")
    given = parser.parse_args()
    if given.large:
        print_large(Console(width=180))
    elif given.boxes:
        folders = sorted(path.parent for path in given.cases.glob("*/mask.png")) if given.cases else []
        print_boxes(folders, Console(width=180))
    elif given.sheet:
        folders = sorted(path.parent for path in (given.cases or BUNDLED).glob("*/mask.png"))
        found = [_given(folder) for folder in folders]
        found += [(picture, loosened(truth, 15)) for _, picture, truth in cases()]
        sheet(found).save(given.sheet)
    else:
        print_tables(measured(), Console(width=180))


if __name__ == "__main__":
    main()
