"""How near a blend comes to a known truth: `python -m tests.benchmarks.quality [--weights VGG19] [--sheet PNG]`.

A photograph is the truth. Its copy, recoloured and lit anew by a known transform, is the source; an object in it
is blended back to where it was. Before that the photograph's background is continued over the object, so that no
method sees the truth. A perfect one would give the photograph again. Three kinds of case:

tight: the mask is the object's outline, the source the whole transformed photograph.
wide: the mask takes in a strip of the background, transformed like the object.
foreign: the object stands before another photograph, as if it came from there, and the mask has its outline.

PSNR (dB) and SSIM are in the mask, and in its box as well; higher is better. The measures are those of
`blend evaluate`, and the row of the original says what they would be for the truth. OpenCV's row needs
opencv-python-headless; `seamlessClone` takes gradients from the mask shrunk by three pixels, which costs it where
masks are tight.

`--loosened 15` draws the outlines of `tight` and `foreign` loosely, and compares `--matte off` with `auto` in the
whole loose mask.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage
from skimage.metrics import structural_similarity

from deep_image_blending import passes
from deep_image_blending.measures import MEASURES, evaluate_scene
from deep_image_blending.networks.backbones import Backbone, load_backbone
from deep_image_blending.options import presets
from deep_image_blending.options.pass_options import PASSES, PassName, PassOptions
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures import as_float, compose_like, load_picture
from deep_image_blending.pictures.cutting.tightening import tighten
from deep_image_blending.pictures.demo import demos
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.runs.networks import on_embedded
from deep_image_blending.solve.poisson import guidance_laplacian, mixed_laplacian, solve_poisson
from deep_image_blending.views.contact_sheet import contact_sheet, with_margin
from tests.benchmarks.masks import loosened
from tests.benchmarks.photographs import photograph

Image3 = npt.NDArray[np.float64]
"""(H, W, 3), 0..1."""
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Transform = Callable[[Image3], Image3]
Method = Callable[[Scene], Pixels]


@dataclass(frozen=True)
class Case:
    """truth (H, W, 3) uint8; scene: the transformed object, and the truth without it as its target."""

    name: str
    kind: str
    truth: Pixels
    scene: Scene


def white_balance(red: float, blue: float) -> Transform:
    """Gains of red and blue in linear light."""
    return lambda image: _display(_linear(image) * np.array([red, 1.0, blue]))


def exposure(stops: float) -> Transform:
    """A gain of linear light."""
    return lambda image: _display(_linear(image) * 2.0**stops)


def gamma(power: float) -> Transform:
    return lambda image: image**power


def contrast(factor: float) -> Transform:
    """About the middle grey."""
    return lambda image: 0.5 + factor * (image - 0.5)


def light_from(angle: float, stops: float) -> Transform:
    """Linear light that grows by `stops` from one end of the picture to the other; angle in degrees."""

    def applied(image: Image3) -> Image3:
        rows, columns = (np.linspace(-0.5, 0.5, count) for count in image.shape[:2])
        turned = np.deg2rad(angle)
        along = np.sin(turned) * rows[:, None] + np.cos(turned) * columns[None]
        return _display(_linear(image) * 2.0 ** (stops * along)[..., None])

    return applied


def chain(*transforms: Transform) -> Transform:
    def applied(image: Image3) -> Image3:
        for transform in transforms:
            image = transform(image).clip(0, 1)
        return image

    return applied


def ellipse(row: float, column: float, height: float, width: float) -> Callable[[tuple[int, int]], Mask]:
    """A mask by centre and half axes, as shares of the picture's sides."""

    def made(shape: tuple[int, int]) -> Mask:
        y, x = (np.arange(count) / count for count in shape)
        return ((y[:, None] - row) / height) ** 2 + ((x[None] - column) / width) ** 2 < 1

    return made


def blob(seed: int) -> Callable[[tuple[int, int]], Mask]:
    """A smooth random shape in the picture's middle."""

    def made(shape: tuple[int, int]) -> Mask:
        y, x = (np.linspace(-1, 1, count) for count in shape)
        radius, angle = np.hypot(y[:, None], x[None]), np.arctan2(y[:, None], x[None])
        random = np.random.default_rng(seed)
        edge = np.full(shape, 0.55)
        for order in range(2, 7):
            edge += random.normal(0, 0.12 / order) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
        return radius < edge

    return made


WARM, COOL = white_balance(1.5, 0.65), white_balance(0.65, 1.5)
PLAN = (
    # name, photograph, object, kind, transform
    ("coffee, warm", "coffee", "coffee", "tight", WARM),
    ("portrait, darker", "portrait", "portrait", "tight", exposure(-1.0)),
    ("shuttle, lit from the left", "shuttle", "shuttle", "tight", light_from(180, 2.0)),
    ("rocket, flat", "rocket", "rocket", "tight", chain(contrast(0.6), COOL)),
    ("cat's face, cool", "chelsea", ellipse(0.4, 0.5, 0.3, 0.22), "wide", COOL),
    ("admiral's face, gamma", "grace_hopper", ellipse(0.33, 0.5, 0.2, 0.2), "wide", gamma(1.6)),
    ("coffee, dark and lit from above", "coffee", "coffee", "wide", chain(exposure(-0.7), light_from(-90, 1.2))),
    ("galaxies, bright", "hubble_deep_field", blob(3), "wide", chain(exposure(0.8), WARM)),
    ("astronaut, contrast", "astronaut", blob(5), "wide", chain(contrast(1.4), white_balance(1.2, 0.8))),
    ("painted landscape, cool", "paintings/starry_night.jpg", blob(8), "wide", chain(COOL, exposure(0.4))),
    ("coffee before the cat, cool", "coffee", "coffee", "foreign", COOL),
    ("portrait before stars, warm", "portrait", "portrait", "foreign", chain(WARM, exposure(-0.4))),
    ("shuttle before coffee, flat", "shuttle", "shuttle", "foreign", chain(contrast(0.7), exposure(0.3))),
    ("rocket before the cat, lit", "rocket", "rocket", "foreign", light_from(0, 1.5)),
)
BEHIND = {"coffee": "chelsea", "portrait": "hubble_deep_field", "shuttle": "coffee", "rocket": "chelsea"}
STRIP = 0.04
"""What a wide mask takes in around the object, over the picture's longer side."""


def cases(scale: float, longest: int = 560, loose: float = 0) -> list[Case]:
    """All cases; photographs are scaled so that their longer side is at most `longest` times `scale`.

    loose: by so many pixels, times `scale`, masks are then drawn around the outlines. Only cases with an outline
    remain, and the target has its own background up to it: what a blend should show in the strip.
    """
    masks = {demo.name: demo.mask for demo in demos()}
    found = []
    for name, shown, thing, kind, transform in PLAN:
        if loose and kind == "wide":
            continue
        original = photograph(shown)
        share = scale * min(1.0, longest / max(original.size))
        size = (round(original.width * share), round(original.height * share))
        truth = np.asarray(original.resize(size, Image.Resampling.LANCZOS))
        shape = (size[1], size[0])
        if callable(thing):
            inside = thing(shape)
        else:
            with Image.open(masks[thing]) as opened:
                inside = np.asarray(opened.convert("L").resize(size)) > 127
        source = transform(truth / 255.0).clip(0, 1)
        if kind == "foreign":
            behind = np.asarray(photograph(BEHIND[shown]).resize(size, Image.Resampling.LANCZOS)) / 255.0
            # As soft as a lens would draw the outline.
            cover = ndimage.gaussian_filter(inside.astype(float), 0.7)[..., None]
            source = behind + cover * (source - behind)
        if kind == "wide":
            inside = ndimage.distance_transform_edt(~inside) <= STRIP * max(shape)
        pixels = np.asarray(np.rint(source * 255), np.uint8)
        target = load_picture(without(truth, inside))
        mask = inside.astype(np.float32)
        scene = compose_scene(
            load_picture(pixels), loosened(mask, loose * scale) if loose else mask, target, Placement()
        )
        found.append(Case(name, kind, truth, scene))
    return found


def without(picture: Pixels, inside: Mask) -> Pixels:
    """The picture with what surrounds the object mirrored over its outline into it.

    Where the mirror shows the object again, or nothing, the outline's colour goes on.
    """
    nearest = ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    mirrored = 2 * nearest - np.indices(inside.shape)
    limits = np.array(inside.shape)[:, None, None]
    there = ((mirrored >= 0) & (mirrored < limits)).all(0)
    row, column = np.where(there, mirrored, nearest)
    row, column = np.where(inside[row, column], nearest, (row, column))
    return picture[row, column]


def paste(scene: Scene) -> Pixels:
    return _written(scene, *scene.paste())


def poisson(scene: Scene) -> Pixels:
    """Pérez et al., 2003: the source's gradients."""
    return _solved(scene, guidance_laplacian(scene.window(None).source))


def mixed(scene: Scene) -> Pixels:
    """Pérez et al., 2003: the stronger of both gradients."""
    window = scene.window(None)
    return _solved(scene, mixed_laplacian(window.source, window.target, window.mask > 0))


def opencv(scene: Scene) -> Pixels:
    """`seamlessClone` with its normal mode. Its centre is that of the mask's box."""
    import cv2

    window = scene.window(None)
    mask = np.asarray((window.mask > 0) * 255, np.uint8)
    # It never fills the border row: with a frame of one pixel around everything, masks there keep their place.
    source, target = (
        np.pad(np.asarray(np.rint(part), np.uint8), ((1, 1), (1, 1), (0, 0)), mode="edge")
        for part in (window.source, window.target)
    )
    mask = np.pad(mask, 1)
    left, top, width, height = cv2.boundingRect(mask)
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(source, target, mask, centre, cv2.NORMAL_CLONE)
    return np.asarray(cloned[1:-1, 1:-1], np.uint8)


def ours(options: Options, weights: Path | None = None, *, last: PassName = "second_pass") -> Method:
    """Both passes with these options, or the first alone."""

    def blended(scene: Scene) -> Pixels:
        first = passes.first_pass(scene, options, _backbone(options.first, weights))
        if last == "first_pass":
            return np.asarray(first.written(), np.uint8)
        second = passes.second_pass(scene, options, _backbone(options.second, weights), first.written())
        return np.asarray(second.written(), np.uint8)

    return blended


def on(backbone: str, options: Options) -> Options:
    """The same options on another backbone of VGG's layers."""
    for name in PASSES:
        options = options.with_pass(name, dataclasses.replace(options.of(name), backbone=backbone))
    return options


def published(steps: int) -> Options:
    """The published objective on the embedded backbone, which needs a line search."""
    options = presets.preset("wacv2020")
    for name in PASSES:
        options = options.with_pass(name, on_embedded(options.of(name)))
    return dataclasses.replace(with_budget(options, steps), published_input=False)


def with_budget(options: Options, evaluations: int) -> Options:
    """The same options with so many evaluations a pass."""
    for name in PASSES:
        options = options.with_pass(name, dataclasses.replace(options.of(name), num_steps=evaluations))
    return options


def methods(weights: Path | None, published_steps: int, budgets: Sequence[int] = ()) -> dict[str, Method]:
    natural = presets.preset("natural")
    found = {
        "paste": paste,
        "Poisson": poisson,
        "mixed gradients": mixed,
        **({"OpenCV seamlessClone": opencv} if find_spec("cv2") else {}),
        "natural, first pass": ours(natural, last="first_pass"),
        "natural": ours(natural),
    }
    for budget in budgets:
        found[f"natural, {budget}"] = ours(with_budget(natural, budget))
    if weights is not None:
        found["natural, VGG-19"] = ours(on("vgg19", natural), weights)
    if published_steps:
        found["wacv2020, embedded"] = ours(published(published_steps))
    return found


def loose_methods() -> dict[str, Method]:
    """`--matte off` against `auto`, for `natural` and for what needs no network."""
    found = {}
    for name, method in (("paste", paste), ("Poisson", poisson), ("natural", ours(presets.preset("natural")))):
        found[f"{name}, off"], found[f"{name}, auto"] = method, on_tightened(method)
    return found


def on_tightened(method: Method) -> Method:
    """The method on the mask, and on the object's own colours, that `--matte auto` makes."""

    def blended(scene: Scene) -> Pixels:
        found = tighten(np.asarray(np.rint(scene.source), np.uint8), scene.mask, "auto")
        colours = scene.source if found.foreground is None else found.foreground.astype(np.float32)
        return method(dataclasses.replace(scene, source=colours, mask=found.mask))

    return blended


def ratios(_: Path | None) -> dict[str, float]:
    """The short form: mean squared error in the mask, the rival's over that of `natural`, by kind of case."""
    chosen = [case for case in cases(0.25) if case.name.startswith("coffee")]
    natural = ours(presets.preset("natural"))
    found = {}
    for case in chosen:
        own = score(case, natural(case.scene))["psnr_mask"]
        for name, method in (("Poisson", poisson), ("paste", paste)):
            rival = score(case, method(case.scene))["psnr_mask"]
            found[f"error, {case.kind}, {name} / natural"] = 10 ** ((own - rival) / 10)
    return found


def score(case: Case, picture: Pixels) -> dict[str, float]:
    """PSNR and SSIM against the truth, and every measure without it."""
    top, left, bottom, right = case.scene.region()
    box = np.zeros(case.scene.canvas, np.bool_)
    box[top:bottom, left:right] = True
    inside = case.scene.window(None).mask > 0
    _, similar = structural_similarity(case.truth, picture, channel_axis=2, full=True)
    found = {}
    for name, place in (("mask", inside), ("box", box)):
        error = float(np.mean((picture[place].astype(float) - case.truth[place]) ** 2))
        # A perfect copy would have no number: half a grey level's rounding is as good as perfect.
        found[f"psnr_{name}"] = 10 * np.log10(255**2 / max(error, 1 / 12))
        found[f"ssim_{name}"] = float(similar[place].mean())
    return {**found, **evaluate_scene(case.scene, as_float(picture))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="a state dict of VGG-19, to blend with it as well")
    parser.add_argument("--json", type=Path, help="write every case's numbers here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here")
    parser.add_argument("--scale", type=float, default=1.0, help="of the photographs")
    parser.add_argument(
        "--published-steps", type=int, default=200, help="evaluations of wacv2020; 0 leaves it out"
    )
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=[], help="natural with so many evaluations a pass, as well"
    )
    parser.add_argument("--only", help="cases whose name has this in it")
    parser.add_argument(
        "--loosened",
        type=float,
        default=0,
        metavar="PIXELS",
        help="draw masks loosely, by so many pixels at scale 1, and compare --matte off with auto",
    )
    given = parser.parse_args()
    every = cases(given.scale, loose=given.loosened)
    chosen = [case for case in every if given.only is None or given.only in case.name]
    by_name = loose_methods() if given.loosened else methods(given.weights, given.published_steps, given.budgets)
    run(chosen, by_name, given.json, given.sheet)


def run(chosen: list[Case], by_name: Mapping[str, Method], file: Path | None, sheet: Path | None) -> None:
    """Score, print, and write what was asked for."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    pictures: list[tuple[str, Pixels]] = []
    for case in track(chosen, console=Console(stderr=True)):
        crop = with_margin(case.scene.region(), case.scene.canvas, 0.15)
        scores[case.name] = {"original": score(case, case.truth)}
        shown = {"original": case.truth}
        for name, method in by_name.items():
            begun = time.perf_counter()
            shown[name] = method(case.scene)
            seconds = time.perf_counter() - begun
            scores[case.name][name] = {**score(case, shown[name]), "seconds": seconds}
        for name, picture in shown.items():
            label = name if name == "original" else f"{name} {scores[case.name][name]['psnr_mask']:.1f} dB"
            title = f"{case.name} ({case.kind})" if name == "original" else label
            pictures.append((title, picture[crop[0] : crop[2], crop[1] : crop[3]]))
    Console(width=240).print(table(chosen, scores))
    if file is not None:
        kinds = {case.name: case.kind for case in chosen}
        file.write_text(json.dumps({"kinds": kinds, "scores": scores}, indent=2) + "\n", encoding="utf-8")
    if sheet is not None:
        page = contact_sheet(pictures, columns=len(by_name) + 1, cell=240)
        Image.fromarray(page).save(sheet)


def table(chosen: list[Case], scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Means over cases; PSNR in the mask by kind as well, and in how many cases a method's is the best."""
    kinds = list(dict.fromkeys(case.kind for case in chosen))
    names = list(next(iter(scores.values())))
    rivals = [name for name in names if name != "original"]
    best = [max(rivals, key=lambda name, of=found: of[name]["psnr_mask"]) for found in scores.values()]
    measures = [name for name in MEASURES if name != "background_difference"]
    result = Table(
        "", *(f"PSNR {kind}" for kind in kinds), "PSNR", "best of", "PSNR box", "SSIM", "SSIM box",
        *(name.replace("_", " ") for name in measures), "s",
        title=f"Means over {len(chosen)} cases",
    )  # fmt: skip
    for name in names:
        of = {case.name: scores[case.name][name] for case in chosen}

        def mean(
            key: str, digits: int, kind: str | None = None, of: Mapping[str, Mapping[str, float]] = of
        ) -> str:
            values = [of[case.name][key] for case in chosen if kind in (None, case.kind) and key in of[case.name]]
            return f"{np.mean(values):.{digits}f}" if values else ""

        truths = [""] * (len(kinds) + 5) if name == "original" else [
            *(mean("psnr_mask", 2, kind) for kind in kinds), mean("psnr_mask", 2), str(best.count(name)),
            mean("psnr_box", 2), mean("ssim_mask", 3), mean("ssim_box", 3),
        ]  # fmt: skip
        result.add_row(name, *truths, *(mean(key, 2) for key in measures), mean("seconds", 1))
    return result


def _solved(scene: Scene, laplacian: npt.NDArray[np.float64]) -> Pixels:
    window = scene.window(None)
    solution = solve_poisson(window.target, laplacian, window.mask > 0)
    return _written(scene, np.asarray(solution, np.float32), window.mask > 0)


def _written(scene: Scene, picture: npt.NDArray[np.float32], changed: Mask) -> Pixels:
    return np.asarray(compose_like(scene.target, picture, changed), np.uint8)


def _backbone(options: PassOptions, weights: Path | None) -> Backbone:
    return load_backbone(options.backbone, passes.wanted_taps(options), weights=weights)


def _linear(image: Image3) -> Image3:
    """sRGB to linear light (IEC 61966-2-1)."""
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def _display(light: Image3) -> Image3:
    """Linear light to sRGB; what is brighter than white is lost."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


if __name__ == "__main__":
    main()
