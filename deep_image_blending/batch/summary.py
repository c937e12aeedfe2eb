"""The page at the end of a batch: a sheet of samples, how the measures are distributed, and what failed."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from deep_image_blending.batch.preview import framed
from deep_image_blending.batch.progress import Tally, clock
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.measures import MEASURES
from deep_image_blending.pictures import as_bytes, load_picture
from deep_image_blending.views.contact_sheet import contact_sheet
from deep_image_blending.views.report.html import Html, element, joined

SAMPLES = 12
_SHOWN_FAILURES = 200
_KEPT = 20_000
"""Values of a measure that its distribution is drawn from."""
_BARS = 24
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
body{color:#202226;background:#fafaf8}
img{max-width:100%}
table{border-collapse:collapse}
td,th{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #ddd;vertical-align:top}
.measures{display:flex;flex-wrap:wrap;gap:1.5rem}
figure{margin:0}
figcaption{font-size:13px}
rect{fill:#3b6ea5}
"""


@dataclass
class Gathered:
    """What of the records the page shows, gathered as they come by, in bounded memory."""

    samples: list[tuple[Row, dict[str, Any]]] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    done: int = 0
    seconds: float = 0.0
    attempts: int = 0

    def add(self, row: Row, record: dict[str, Any]) -> None:
        """A finished picture."""
        self.done += 1
        self.seconds += float(record["seconds"])
        self.attempts += int(record["attempt"]) > 1
        # The first few, then ever fewer: a spread over the whole manifest.
        if len(self.samples) < SAMPLES:
            self.samples.append((row, record))
        elif self.done & (self.done - 1) == 0:
            self.samples[self.done.bit_length() % SAMPLES] = (row, record)
        for one in record["objects"]:
            for name, value in one["measures"].items():
                kept = self.values.setdefault(name, [])
                if len(kept) < _KEPT:
                    kept.append(float(value))

    def add_failure(self, row: Row, reason: str) -> None:
        self.failed += 1
        if len(self.failures) < _SHOWN_FAILURES:
            self.failures.append((row.id, reason))


def page(store: Store, gathered: Gathered, tally: Tally) -> Html:
    """The page, in one file."""
    mean = gathered.seconds / gathered.done if gathered.done else 0.0
    facts = [
        f"{gathered.done} pictures",
        f"{gathered.failed} failed",
        f"{mean:.2f} s a picture on its worker",
        f"{gathered.attempts} after a further attempt",
        f"this time {tally.done} in {clock(tally.seconds)}, {tally.a_minute:.1f} a minute",
    ]
    body = [element("h1", "Batch"), element("p", " · ".join(facts))]
    if gathered.samples:
        body += [element("h2", "Samples"), _sheet(store, gathered)]
    if gathered.values:
        charts = [_chart(name, values) for name, values in gathered.values.items()]
        body += [element("h2", "Measures"), element("div", charts, class_="measures")]
    if gathered.failures:
        rows = [element("tr", element("td", id), element("td", reason)) for id, reason in gathered.failures]
        body += [element("h2", "Failures"), element("table", rows)]
    head = [
        element("meta", charset="utf-8"),
        element("title", "Batch"),
        element("style", Html(_STYLE)),
    ]
    return joined(
        [Html("<!doctype html>"), element("html", element("head", head), element("body", body), lang="en")]
    )


def _sheet(store: Store, gathered: Gathered) -> Html:
    """The samples with their boxes drawn in, as one JPEG."""
    shown = []
    for row, record in gathered.samples:
        (name,) = record["outputs"]
        pixels = as_bytes(load_picture(Image.open(io.BytesIO(store.read(name)))).pixels)
        boxes = [(y, x, y + h, x + w) for x, y, w, h in (one["bbox"] for one in record["objects"] if _seen(one))]
        label = ", ".join(f"{one['category']}" for one in record["objects"] if _seen(one))
        shown.append((f"{label or 'nothing seen'} ({row.method})", framed(pixels, boxes)))
    data = io.BytesIO()
    Image.fromarray(contact_sheet(shown, cell=300)).save(data, "JPEG", quality=88)
    address = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return Html(f'<img alt="samples" src="{address}">')


def _seen(one: dict[str, Any]) -> bool:
    return bool(one["annotate"]) and "bbox" in one


def _chart(name: str, values: list[float]) -> Html:
    """A distribution as bars."""
    low, high = min(values), max(values)
    counts, _ = np.histogram(values, _BARS, (low, high if high > low else low + 1))
    most = max(1, int(counts.max()))
    bars = [
        element(
            "rect", x=8 * i, width=7, y=60 - round(60 * int(count) / most), height=round(60 * int(count) / most)
        )
        for i, count in enumerate(counts)
    ]
    picture = element("svg", bars, width=8 * _BARS, height=60, role="img", aria_label=name)
    median = float(np.median(values))
    label = MEASURES[name].name if name in MEASURES else name
    return element(
        "figure", picture, element("figcaption", f"{label}: {low:.3g} to {high:.3g}, median {median:.3g}")
    )
