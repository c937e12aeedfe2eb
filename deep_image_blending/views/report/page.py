"""The report's page: articles, one a run, and what all of them share."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from deep_image_blending.views.curves import Table, curves_svg
from deep_image_blending.views.report.gathering import Shown
from deep_image_blending.views.report.html import Html, element, joined
from deep_image_blending.views.report.palette import Palette
from deep_image_blending.views.report.pictures import Gallery
from deep_image_blending.views.report.tables import measures_table, options_table, origin_list, timings_table


def page(shown: Sequence[Shown]) -> str:
    """The whole page of runs side by side; it fetches nothing, and runs no script but its own."""
    style, script = (resources.files(__package__).joinpath(name).read_text("utf-8") for name in _FILES)
    many = len(shown) > 1
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", ", ".join(one.name for one in shown)),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("main", (_article(i, one) for i, one in enumerate(shown)), class_="many" if many else "one"),
        element("section", _details("Options", options_table(shown), open=many), class_="card shared"),
        element("script", Html(script)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


_FILES = ("style.css", "script.js")


def _policy(script: str) -> str:
    """Pictures and styles of the page itself, and the one script that has this hash.

    Styles may stand in elements, as the curves' and the palettes' do; under this policy they can fetch nothing.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _article(number: int, shown: Shown) -> Html:
    manifest, gallery = shown.manifest, Gallery(number, shown)
    command = element("pre", " ".join(map(str, manifest.get("command", ()))))
    decisions = element("ul", (element("li", str(one)) for one in manifest.get("decisions", ())))
    return element(
        "article",
        gallery.store(),
        element("header", element("h1", shown.name), element("p", _subtitle(shown))),
        gallery.wipe(),
        (element("p", note, class_="note") for note in shown.notes),
        gallery.strips(),
        element(
            "section",
            _palettes(shown.palettes),
            measures_table(shown.measures),
            _losses(shown.losses),
            timings_table(manifest.get("passes", {})),
            _details("Decisions", decisions),
            _details("Command", command),
            _details("Inputs, versions and device", origin_list(manifest)),
            class_="card",
        ),
    )


def _subtitle(shown: Shown) -> str:
    manifest, (height, width) = shown.manifest, shown.canvas
    parts = [f"preset {manifest.get('options', {}).get('preset', '?')}"]
    used = dict.fromkeys(entry["name"] for entry in manifest.get("backbone", {}).values())
    parts += [f"backbone {name}" for name in used]
    parts.append(f"canvas {width}x{height}")
    region = manifest.get("placement", {}).get("region")
    if region is not None:
        top, left, bottom, right = region
        parts.append(f"object {right - left}x{bottom - top} at row {top}, column {left}")
    parts.append(f"on {_device(manifest.get('device', {}))}")
    return " · ".join(parts)


def _device(device: Mapping[str, Any]) -> str:
    return str(device.get("model", device.get("name", "?")))


def _palettes(palettes: Sequence[tuple[str, Palette]]) -> Html:
    """Bars of colour, as wide as each colour's share."""
    if not palettes:
        return Html()
    bars = (
        element(
            "figure",
            element("div", (_swatch(share, colour) for share, colour in colours), class_="swatches"),
            element("figcaption", whose),
        )
        for whose, colours in palettes
    )
    return joined([element("h2", "Palette"), element("div", bars, class_="palettes")])


def _swatch(share: float, colour: tuple[int, int, int]) -> Html:
    return element(
        "i", style=f"flex-grow:{share:.3f};background:rgb{colour}", title=f"{share:.0%}, #{bytes(colour).hex()}"
    )


def _losses(tables: Sequence[Table]) -> Html:
    if not tables:
        return Html()
    return joined([element("h2", "Losses"), element("div", Html(curves_svg(tables)), class_="plot")])


def _details(title: str, body: Html, *, open: bool = False) -> Html:
    return element("details", element("summary", title), body, open=open)
