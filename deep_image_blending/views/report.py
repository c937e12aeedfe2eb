"""A run, or several side by side, on one HTML page that holds everything it shows."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.measures import MEASURES, evaluate_scene
from deep_image_blending.options.options import PASSES, Options
from deep_image_blending.passes.start import poisson_start
from deep_image_blending.pictures.scene import Scene, as_float
from deep_image_blending.runs import execution as pipeline
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.contact_sheet import Box, Pixels, as_bytes, fitted, run_pictures, with_margin
from deep_image_blending.views.curves import curves_svg
from deep_image_blending.views.preview import mask_edge

Palette = list[tuple[float, tuple[int, int, int]]]
"""Shares of an area and the sRGB colours that fill them, the largest first."""

SWATCHES = 7
LONGEST = 2048
"""Longer side of a picture on the page; larger ones are scaled down."""


@dataclass(frozen=True)
class _Shown:
    """What the page shows of a run. pictures: (name, (H, W, 3) uint8); boxes: (name, box on the canvas).

    palettes: (whose, [(share, colour)]). measures: by picture, then by name.
    """

    run: RunDirectory
    name: str
    pictures: list[tuple[str, Pixels]]
    boxes: list[tuple[str, Box]]
    notes: list[str]
    palettes: list[tuple[str, Palette]]
    measures: dict[str, Mapping[str, float]]


def write_report(
    runs: Sequence[RunDirectory],
    path: Path,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Write the page: pictures, losses, measures, options, timings, versions of each run, side by side.

    Pictures are inline, lossless and in sRGB; nothing is fetched. The Poisson solution is computed anew where the
    run's inputs are still there, and measured with the paste. progress: told the runs that are gathered, and all
    of them. Raises InputError for no run, a run without pictures, or a path that can't be
    written.
    """
    if not runs:
        raise InputError("there is nothing to report; give one run directory or more")
    shown = []
    for run, name in zip(runs, _names(runs), strict=True):
        shown.append(_gathered(run, name))
        progress(len(shown), len(runs))
    page = _page(shown)
    try:
        with atomic_write(path) as stream:
            stream.write(page.encode())
    except OSError as error:
        raise InputError(f"report '{path}' can't be written ({error.strerror}); give another file") from error


def _names(runs: Sequence[RunDirectory]) -> list[str]:
    """The folders' names, or their paths where two have one name."""
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _gathered(run: RunDirectory, name: str) -> _Shown:
    pictures = [(name, as_bytes(pixels)) for name, pixels in run_pictures(run)]
    notes: list[str] = []
    measures: dict[str, Mapping[str, float]] = {}
    scene = None
    try:
        scene = _scene(run)
    except InputError as error:
        notes.append(f"Poisson is left out: {error}")
    if scene is not None:
        pictures[1:1] = [("Poisson", _poisson(scene))]
        measures = {title: evaluate_scene(scene, as_float(pixels)) for title, pixels in pictures[:2]}
    measures |= _stored_measures(run.manifest.get("metrics"))
    height, width = pictures[0][1].shape[:2]
    changed = np.zeros((height, width), np.bool_)
    if scene is not None:
        changed = scene.window(None).mask >= 0.5
    elif len(pictures) > 1:
        changed = (pictures[0][1] != pictures[1][1]).any(-1)
    boxes: list[tuple[str, Box]] = []
    region = run.manifest.get("placement", {}).get("region")
    if region is not None:
        boxes.append(("object", with_margin(region, (height, width), 0.12)))
    if changed.any() and not changed.all():
        boxes.append(("boundary, where the paste shows most", boundary_box(pictures[0][1], changed)))
    palettes = []
    if changed.any():
        if not changed.all():
            palettes.append(("surroundings", palette(pictures[0][1], ~changed)))
        palettes += [(title, palette(pixels, changed)) for title, pixels in (pictures[0], pictures[-1])]
    return _Shown(run, name, pictures, boxes, notes, palettes, measures)


def _scene(run: RunDirectory) -> Scene:
    """The run's scene, from its inputs. Raises InputError where they are gone, changed, or placed otherwise."""
    options = Options.from_json(run.manifest.get("options", {}))
    scene = pipeline.scene_of(pipeline.inputs_of(run), options, lambda _: None)
    if list(scene.region()) != list(run.manifest.get("placement", {}).get("region", ())):
        raise InputError(f"run '{run.path}' was placed in another way")
    return scene


def _poisson(scene: Scene) -> Pixels:
    window = scene.window(1)
    start = poisson_start(window)
    picture, _ = scene.on_canvas(window, window.target + window.mask[..., None] * (start - window.target))
    return np.asarray(np.rint(picture.clip(0, 255)), np.uint8)


def boundary_box(paste: Pixels, inside: npt.NDArray[np.bool_]) -> Box:
    """A square on the boundary of `inside` (H, W) where the paste (H, W, 3) has the strongest edges along it.

    Its side is a third of the object's longer side, 32 to 160 pixels, as far as the canvas goes.
    """
    rows, columns = np.nonzero(inside)
    side = int(np.clip(max(np.ptp(rows), np.ptp(columns)) / 3, 32, 160))
    height, width = min(side, inside.shape[0]), min(side, inside.shape[1])
    luma = paste.astype(np.float32).mean(-1)
    strength = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) * mask_edge(inside.astype(np.float32))
    total = ndimage.uniform_filter(strength, (height, width), mode="constant")
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    top = int(np.clip(row - height // 2, 0, inside.shape[0] - height))
    left = int(np.clip(column - width // 2, 0, inside.shape[1] - width))
    return top, left, top + height, left + width


def palette(picture: Pixels, where: npt.NDArray[np.bool_]) -> Palette:
    """The colours that fill `where` (H, W) of a picture (H, W, 3), at most SWATCHES of them, and their shares."""
    pixels = picture[where]
    if len(pixels) > 65536:
        pixels = pixels[np.random.default_rng(0).choice(len(pixels), 65536, replace=False)]
    reduced = Image.fromarray(pixels[None]).quantize(SWATCHES, Image.Quantize.MEDIANCUT, kmeans=3)
    colours = np.asarray(reduced.getpalette(), np.uint8).reshape(-1, 3)
    counts = np.bincount(np.asarray(reduced).ravel(), minlength=len(colours))
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [
        (float(counts[i] / len(pixels)), (int(c[0]), int(c[1]), int(c[2]))) for i in order for c in [colours[i]]
    ]


def _stored_measures(stored: Any) -> dict[str, Mapping[str, float]]:
    """`metrics` of the manifest: numbers by pass, or, of one picture, by name."""
    if not isinstance(stored, Mapping) or not stored:
        return {}
    by_pass = {key.replace("_", " "): value for key, value in stored.items() if isinstance(value, Mapping)}
    return by_pass or {"result": stored}


def _page(shown: Sequence[_Shown]) -> str:
    names = ", ".join(one.name for one in shown)
    body = "\n".join(_article(i, one) for i, one in enumerate(shown))
    options = _details("Options", _options_table(shown), open_=len(shown) > 1)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(names)}</title><style>{_CSS}</style></head>
<body><main class="{"many" if len(shown) > 1 else "one"}">
{body}
</main>
<section class="card shared">{options}</section>
<script>{_JS}</script></body></html>
"""


def _article(number: int, shown: _Shown) -> str:
    run, manifest = shown.run, shown.run.manifest
    height, width = shown.pictures[0][1].shape[:2]
    ids = [f"r{number}p{i}" for i in range(len(shown.pictures))]
    size = f'width="{width}" height="{height}" preserveAspectRatio="none"'
    store = "".join(
        f'<image id="{i}" {size} href="{_data_uri(pixels)}"/>'
        for i, (_, pixels) in zip(ids, shown.pictures, strict=True)
    )
    names = [name for name, _ in shown.pictures]
    boxes = [("whole", (0, 0, height, width)), *shown.boxes]
    rows = "".join(
        f'<h3>{escape(title)}</h3><div class="strip{" zoom" if max(_size(box)) < 200 else ""}">'
        + "".join(
            f"<figure>{_cut(i, box, f'{name}, {title}')}<figcaption>{escape(name)}</figcaption></figure>"
            for i, name in zip(ids, names, strict=True)
        )
        + "</div>"
        for title, box in boxes
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in shown.notes)
    return f"""<article>
<svg class="store" width="0" height="0" aria-hidden="true"><defs>{store}</defs></svg>
<header><h1>{escape(shown.name)}</h1><p>{_subtitle(manifest, height, width)}</p></header>
{_wipe(number, ids, names, boxes, _centre(manifest, width))}{notes}
{rows}
<section class="card">
{_palettes(shown.palettes)}
{_measures(shown.measures)}
{_losses(run)}
{_passes(manifest.get("passes", {}))}
{_details("Decisions", _list(manifest.get("decisions", ())))}
{_details("Command", f"<pre>{escape(' '.join(map(str, manifest.get('command', ()))))}</pre>")}
{_details("Inputs, versions and device", _pairs(_origin(manifest)))}
</section>
</article>"""


def _palettes(palettes: Sequence[tuple[str, Palette]]) -> str:
    """Bars of colour, as wide as each colour's share."""
    if not palettes:
        return ""
    bars = "".join(
        '<figure><div class="swatches">'
        + "".join(
            f'<i style="flex-grow:{share:.3f};background:rgb{colour}" title="{share:.0%}, #{bytes(colour).hex()}">'
            "</i>"
            for share, colour in colours
        )
        + f"</div><figcaption>{escape(whose)}</figcaption></figure>"
        for whose, colours in palettes
    )
    return f'<h2>Palette</h2><div class="palettes">{bars}</div>'


def _subtitle(manifest: Mapping[str, Any], height: int, width: int) -> str:
    parts = [f"preset {manifest.get('options', {}).get('preset', '?')}"]
    used = dict.fromkeys(entry["name"] for entry in manifest.get("backbone", {}).values())
    parts += [f"backbone {name}" for name in used]
    parts.append(f"canvas {width}x{height}")
    region = manifest.get("placement", {}).get("region")
    if region is not None:
        top, left, bottom, right = region
        parts.append(f"object {right - left}x{bottom - top} at row {top}, column {left}")
    parts.append(f"on {manifest.get('device', {}).get('model', manifest.get('device', {}).get('name', '?'))}")
    return " · ".join(escape(part) for part in parts)


def _size(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _cut(identifier: str, box: Box, label: str) -> str:
    """A part of a stored picture."""
    height, width = _size(box)
    return (
        f'<svg viewBox="{box[1]} {box[0]} {width} {height}" role="img" aria-label="{escape(label)}">'
        f'<use href="#{identifier}"/></svg>'
    )


def _centre(manifest: Mapping[str, Any], width: int) -> float:
    """Where the object's middle lies, in per cent of the canvas's width."""
    _, left, _, right = manifest.get("placement", {}).get("region", (0, 0, 0, width))
    return float(50 * (left + right) / width)


def _wipe(
    number: int, ids: Sequence[str], names: Sequence[str], boxes: Sequence[tuple[str, Box]], at: float
) -> str:
    """Paste on the left of a line, at `at` per cent of the width; one of the others on its right.

    boxes: what can be looked at, the whole first.
    """
    if len(ids) < 2:
        return ""
    last = len(ids) - 1
    box = boxes[0][1]
    choice = "".join(
        f'<input type="radio" class="c{i}" name="w{number}" id="w{number}c{i}"{" checked" if i == last else ""}>'
        f'<label for="w{number}c{i}">{escape(names[i])}</label>'
        for i in range(1, len(ids))
    )
    views = "".join(
        f'<button type="button" data-box="{left} {top} {right - left} {bottom - top}" '
        f'aria-pressed="{"true" if i == 0 else "false"}">{escape(title.partition(",")[0])}</button>'
        for i, (title, (top, left, bottom, right)) in enumerate(boxes)
    )
    layers = "".join(f'<div class="layer p{i}">{_cut(ids[i], box, names[i])}</div>' for i in range(1, len(ids)))
    height, width = _size(box)
    return (
        f'<div class="wiping"><span>paste against</span>{choice}<span class="views">{views}</span>'
        f'<div class="wipe" style="--at:{at:.1f}%;--ratio:{width / height:.4f}">{layers}'
        f'<div class="paste">{_cut(ids[0], box, names[0])}</div><i></i>'
        f'<input type="range" min="0" max="100" step="0.1" value="{at:.1f}" aria-label="paste against result">'
        "</div></div>"
    )


def _data_uri(pixels: Pixels) -> str:
    data = io.BytesIO()
    shown = fitted(pixels, LONGEST) if max(pixels.shape[:2]) > LONGEST else pixels
    Image.fromarray(shown).save(data, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def _losses(run: RunDirectory) -> str:
    tables = [(name, rows) for name in PASSES if len(rows := run.read_losses(name)) > 1]
    if not tables:
        return ""
    return f'<h2>Losses</h2><div class="plot">{curves_svg(tables)}</div>'


def _measures(columns: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each measure, what it says on hovering, and the best picture's number marked."""
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    if not names:
        return ""
    rows = []
    for name in names:
        found = [values.get(name) for values in columns.values()]
        measure = MEASURES.get(name)
        best = _best(found, measure.better) if measure is not None else None
        cells = "".join(
            f'<td class="best">{_text(value)}</td>'
            if value is not None and value == best
            else f"<td>{_text(value)}</td>"
            for value in found
        )
        hint = f' title="{escape(measure.meaning)}"' if measure is not None else ""
        better = f"<td>{escape(measure.better)}</td>" if measure is not None else "<td></td>"
        rows.append(f'<tr><th scope="row"{hint}>{escape(name.replace("_", " "))}</th>{cells}{better}</tr>')
    titles = "".join(f"<th>{escape(title)}</th>" for title in ("", *columns, "better"))
    return f"<h2>Measures</h2><table><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _best(found: Sequence[float | None], better: str) -> float | None:
    """The best of the numbers, where there are several that differ."""
    numbers = [value for value in found if value is not None]
    if len(set(numbers)) < 2:
        return None
    # Twice as much and half as much are equally far from 1.
    key = {"lower": lambda v: v, "higher": lambda v: -v, "near 1": lambda v: abs(math.log(max(v, 1e-12)))}[better]
    return min(numbers, key=key)


def _passes(passes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, entry in passes.items():
        seconds, count = entry.get("seconds"), entry.get("evaluations")
        rate = f"{1000 * seconds / count:.0f} ms" if seconds and count else ""
        cells = (entry.get("status"), entry.get("ended"), count, seconds)
        rows.append([name.replace("_", " "), *map(_text, cells), rate])
    if not rows:
        return ""
    return f"<h2>Timings</h2>{_table(['', 'status', 'ended', 'evaluations', 'seconds', 'each'], rows)}"


def _options_table(shown: Sequence[_Shown]) -> str:
    """Every option, a column for each run; rows in which runs differ are marked."""
    columns = [_flat(one.run.manifest.get("options", {})) for one in shown]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(_text(column.get(name, "")) for column in columns)] for name in names]
    return _table(["option", *(one.name for one in shown)], rows, mark=True)


def _origin(manifest: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for part in ("inputs", "backbone", "versions", "device", "placement"):
        for key, value in _flat(manifest.get(part, {})).items():
            yield (f"{part} {key}", _text(value))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix.rstrip("."): value}
    return {key: item for name, part in value.items() for key, item in _flat(part, f"{prefix}{name}.").items()}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return "–" if value is None else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, mark: bool = False) -> str:
    def line(cells: Sequence[str]) -> str:
        differs = ' class="differs"' if mark and len(set(cells[1:])) > 1 else ""
        first = f'<th scope="row">{escape(cells[0])}</th>'
        return f"<tr{differs}>{first}{''.join(f'<td>{escape(cell)}</td>' for cell in cells[1:])}</tr>"

    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(line(row) for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs) + "</dl>"


def _list(items: Iterable[Any]) -> str:
    return "<ul>" + "".join(f"<li>{escape(str(item))}</li>" for item in items) + "</ul>"


def _details(title: str, body: str, *, open_: bool = False) -> str:
    return f"<details{' open' if open_ else ''}><summary>{escape(title)}</summary>{body}</details>"


_CSS = """
:root{font:15px/1.55 system-ui,sans-serif;color:#23211d;background:#6f6e6a}
body{margin:0;padding:2rem 1.5rem 3rem}
main{display:grid;gap:2rem;align-items:start}
main.one,.shared{max-width:70rem;margin-inline:auto}
main.many{grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr))}
main.many~.shared{max-width:none}
article{min-width:0}
.card{background:#faf9f6;border-radius:3px;padding:1.4rem 1.8rem 1.6rem;margin-top:2rem;
 box-shadow:0 2px 10px #0003}
header{color:#fff}
h1{font:600 1.9rem/1.2 Georgia,'Times New Roman',serif;margin:0;overflow-wrap:anywhere}
header p{margin:.2rem 0 1.2rem;color:#dddcd8;font-size:.9rem}
h2{font:600 1.15rem/1.3 Georgia,'Times New Roman',serif;margin:1.9rem 0 .6rem}
.card h2:first-child{margin-top:0}
h3{font-size:.8rem;font-weight:400;margin:1.5rem 0 .4rem;color:#e9e8e4}
h3::first-letter{text-transform:uppercase}
.store{position:absolute}
svg[role=img]{display:block;width:100%;height:auto;background:#55544f}
.strip{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:.7rem}
.zoom svg{image-rendering:pixelated}
figure{margin:0}
figcaption{font-size:.82rem;color:#dddcd8;margin-top:.2rem}
.card figcaption{color:#6b675e}
.wiping{color:#fff}
.wiping>input{position:absolute;opacity:0}
.wiping>span,.wiping>label{display:inline-block;font-size:.9rem;padding:.15rem .7rem;margin:0 .25rem .6rem 0}
.wiping>span{padding-inline:0}
.wiping>label,button{border:1px solid #ffffff80;border-radius:1rem;cursor:pointer}
button{font:inherit;font-size:.9rem;padding:.15rem .7rem;margin-left:.25rem;background:none;color:inherit}
.wiping>input:checked+label,button[aria-pressed=true]{background:#fff;border-color:#fff;color:#23211d}
.wiping>input:focus-visible+label,button:focus-visible{outline:2px solid #ffd43b;outline-offset:2px}
.wiping>.views{float:right;margin-right:0;display:none}
.js .views{display:block}
.wipe{position:relative;clear:both;max-width:calc(80vh*var(--ratio));margin-inline:auto;overflow:hidden;
 border:.55rem solid #fff;box-shadow:0 3px 16px #0006}
.layer{display:none}
.c1:checked~.wipe .p1,.c2:checked~.wipe .p2,.c3:checked~.wipe .p3{display:block}
.paste{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.wipe i{position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;
 background:#fff;box-shadow:0 0 3px #000}
.wipe i::after{content:'\\2194';position:absolute;top:50%;left:50%;width:2rem;height:2rem;margin:-1rem;
 border-radius:50%;background:#fff;color:#23211d;text-align:center;font:1.1rem/2rem sans-serif;
 box-shadow:0 0 5px #0008}
.wipe input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.wipe:focus-within{outline:2px solid #ffd43b}
.palettes{display:grid;gap:.8rem 1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr))}
.swatches{display:flex;height:2.6rem;border-radius:2px;overflow:hidden}
.swatches i{flex-basis:0;min-width:4px}
.plot{overflow-x:auto}.plot svg{display:block;width:100%;min-width:24rem;height:auto}
table{border-collapse:collapse;font-size:.88rem;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.24rem .8rem .24rem 0;border-bottom:1px solid #e6e3da;overflow-wrap:anywhere}
th{font-weight:400}thead th{color:#6b675e}
th[title]{cursor:help}
.best{font-weight:700}
.differs{background:#fff0bf}
.note{background:#fff6d6;padding:.5rem .8rem;border-radius:3px;font-size:.9rem}
details{margin-top:1rem}summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.85rem}
dt{color:#6b675e}dd{margin:0;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f0eee8;padding:.6rem .8rem;border-radius:3px}
@media print{:root{background:#fff}header,header p,h3,figcaption,.wiping{color:#23211d}
.card,.wipe{box-shadow:none}}
"""

_JS = """
document.documentElement.classList.add('js');
for (const slider of document.querySelectorAll('.wipe input'))
  slider.addEventListener('input', () => slider.parentElement.style.setProperty('--at', slider.value + '%'));
for (const button of document.querySelectorAll('.views button'))
  button.addEventListener('click', () => {
    const wipe = button.closest('.wiping').querySelector('.wipe');
    const [, , width, height] = button.dataset.box.split(' ').map(Number);
    for (const picture of wipe.querySelectorAll('svg')) picture.setAttribute('viewBox', button.dataset.box);
    wipe.style.setProperty('--ratio', width / height);
    wipe.classList.toggle('zoom', Math.max(width, height) < 200);
    for (const other of button.parentElement.children) other.setAttribute('aria-pressed', other === button);
  });
"""
