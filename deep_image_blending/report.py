"""A run, or several side by side, on one HTML page that holds everything it shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from deep_image_blending import pipeline
from deep_image_blending.compare import Box, Pixels, as_bytes, fitted, run_pictures, with_margin
from deep_image_blending.config import PASSES, Options
from deep_image_blending.curves import curves_svg
from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.passes import poisson_start
from deep_image_blending.preview import mask_edge
from deep_image_blending.runs import RunDirectory
from deep_image_blending.scene import Scene

LONGEST = 2048
"""Longer side of a picture on the page; larger ones are scaled down."""


@dataclass(frozen=True)
class _Shown:
    """What the page shows of a run. pictures: (name, (H, W, 3) uint8); boxes: (name, box on the canvas)."""

    run: RunDirectory
    name: str
    pictures: list[tuple[str, Pixels]]
    boxes: list[tuple[str, Box]]
    notes: list[str]


def write_report(runs: Sequence[RunDirectory], path: Path) -> None:
    """Write the page: pictures, losses, measures, options, timings, versions of each run, side by side.

    Pictures are inline, lossless and in sRGB; nothing is fetched. The Poisson solution is computed anew where the
    run's inputs are still there. Raises InputError for no run, a run without pictures, or a path that can't be
    written.
    """
    if not runs:
        raise InputError("there is nothing to report; give one run directory or more")
    page = _page([_gathered(run, name) for run, name in zip(runs, _names(runs), strict=True)])
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
    notes = []
    scene = None
    try:
        scene = _scene(run)
    except InputError as error:
        notes.append(f"Poisson is left out: {error}")
    if scene is not None:
        pictures[1:1] = [("Poisson", _poisson(scene))]
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
    return _Shown(run, name, pictures, boxes, notes)


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
    return f"""<article class="card">
<svg class="store" width="0" height="0" aria-hidden="true"><defs>{store}</defs></svg>
<header><h1>{escape(shown.name)}</h1><p>{_subtitle(manifest, height, width)}</p></header>
{_wipe(number, ids, names, (0, 0, height, width), _centre(manifest, width))}{notes}
{rows}
{_losses(run)}
{_measures(manifest.get("metrics"))}
{_passes(manifest.get("passes", {}))}
{_details("Decisions", _list(manifest.get("decisions", ())))}
{_details("Command", f"<pre>{escape(' '.join(map(str, manifest.get('command', ()))))}</pre>")}
{_details("Inputs, versions and device", _pairs(_origin(manifest)))}
</article>"""


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


def _wipe(number: int, ids: Sequence[str], names: Sequence[str], box: Box, at: float) -> str:
    """Paste on the left of a line, at `at` per cent of the width; one of the others on its right."""
    if len(ids) < 2:
        return ""
    last = len(ids) - 1
    choice = "".join(
        f'<input type="radio" class="c{i}" name="w{number}" id="w{number}c{i}"{" checked" if i == last else ""}>'
        f'<label for="w{number}c{i}">{escape(names[i])}</label>'
        for i in range(1, len(ids))
    )
    layers = "".join(f'<div class="layer p{i}">{_cut(ids[i], box, names[i])}</div>' for i in range(1, len(ids)))
    return (
        f'<div class="wiping"><span>paste |</span>{choice}'
        f'<div class="wipe" style="--at:{at:.1f}%;--ratio:{box[3] / box[2]:.4f}">{layers}'
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


def _measures(stored: Any) -> str:
    """`metrics` of the manifest: numbers by name, or these by picture."""
    if not isinstance(stored, Mapping) or not stored:
        return ""
    columns = {k: v for k, v in stored.items() if isinstance(v, Mapping)} or {"result": stored}
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    rows = [[name.replace("_", " "), *(_text(v.get(name, "")) for v in columns.values())] for name in names]
    return f"<h2>Measures</h2>{_table(['', *(key.replace('_', ' ') for key in columns)], rows)}"


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
:root{font:15px/1.5 system-ui,sans-serif;color:#1f2328;background:#eeeeec}
body{margin:0;padding:1.5rem}
main{display:grid;gap:1.5rem;align-items:start}
main.one,.shared{max-width:74rem;margin-inline:auto}
main.many{grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr))}
main.many~.shared{max-width:none}
.shared{margin-top:1.5rem}
.card{background:#fff;border-radius:10px;padding:1.4rem 1.6rem;box-shadow:0 1px 3px #0002;min-width:0}
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}
header p{margin:.1rem 0 1rem;color:#5c636a}
h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
h3{font-size:.8rem;font-weight:600;margin:1.3rem 0 .35rem;color:#5c636a;
 text-transform:uppercase;letter-spacing:.04em}
.store{position:absolute}
svg[role=img]{display:block;width:100%;height:auto;background:#ddd}
.strip{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:.6rem}
.zoom svg{image-rendering:pixelated}
figure{margin:0}
figcaption{font-size:.85rem;color:#5c636a;margin-top:.15rem}
.wiping>input{position:absolute;opacity:0}
.wiping>span,.wiping>label{display:inline-block;font-size:.9rem;padding:.2rem .7rem;margin:0 .3rem .5rem 0}
.wiping>span{padding-inline:0}
.wiping>label{border:1px solid #ced4da;border-radius:1rem;cursor:pointer}
.wiping>input:checked+label{background:#1f2328;border-color:#1f2328;color:#fff}
.wiping>input:focus-visible+label{outline:2px solid #1c7ed6}
.wipe{position:relative;max-width:calc(82vh*var(--ratio));overflow:hidden;border-radius:4px}
.layer{display:none}
.c1:checked~.wipe .p1,.c2:checked~.wipe .p2,.c3:checked~.wipe .p3{display:block}
.paste{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.wipe i{position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;
 background:#fff;box-shadow:0 0 3px #000}
.wipe input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.wipe:focus-within{outline:2px solid #1c7ed6}
.plot{overflow-x:auto}.plot svg{display:block;width:100%;min-width:24rem;height:auto}
table{border-collapse:collapse;font-size:.88rem;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.22rem .8rem .22rem 0;border-bottom:1px solid #e9ecef;overflow-wrap:anywhere}
th{font-weight:500}thead th{color:#5c636a}
.differs{background:#fff3bf}
.note{background:#fff9db;padding:.5rem .8rem;border-radius:6px;font-size:.9rem}
details{margin-top:1rem}summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.85rem}
dt{color:#5c636a}dd{margin:0;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f1f3f5;padding:.6rem .8rem;border-radius:6px}
@media print{body{background:#fff;padding:0}.card{box-shadow:none}}
"""

_JS = """
for (const slider of document.querySelectorAll('.wipe input'))
  slider.addEventListener('input', () => slider.parentElement.style.setProperty('--at', slider.value + '%'));
"""
