"""The report's tables: measures, timings, options, and where a run came from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deep_image_blending.measures import MEASURES
from deep_image_blending.views.report.gathering import Measures, Shown
from deep_image_blending.views.report.html import Html, element, joined

ASKED = {
    "boundary": "Does the boundary show?",
    "object": "Is the object still itself?",
    "surroundings": "Does it belong there?",
    "": "",
}
"""What measures are about, as a question."""


def measures_table(columns: Measures) -> Html:
    """A row for each measure, what it says on hovering, and the best picture's number marked."""
    names = dict.fromkeys(name for values in columns.values() for name in values)
    if not names:
        return Html()
    groups = []
    for about, question in ASKED.items():
        rows = [_measure(name, columns) for name in _of(about, list(names))]
        if rows:
            asked = element("tr", element("th", question, colspan=len(columns) + 2), class_="asked")
            groups.append(element("tbody", asked if question else "", rows))
    titles = element("tr", *(element("th", title) for title in ("", *columns, "better")))
    return joined(
        [
            element("h2", "Measures"),
            _scrolled(element("table", element("thead", titles), groups, class_="figures")),
        ]
    )


def timings_table(passes: Mapping[str, Mapping[str, Any]]) -> Html:
    rows = []
    for name, entry in passes.items():
        seconds, count = entry.get("seconds"), entry.get("evaluations")
        rate = f"{1000 * seconds / count:.0f} ms" if seconds and count else ""
        found = (entry.get("status"), entry.get("ended"), count, seconds)
        rows.append([name.replace("_", " "), *map(text_of, found), rate])
    if not rows:
        return Html()
    table = _table(["", "status", "ended", "evaluations", "seconds", "each"], rows, class_="figures")
    return joined([element("h2", "Timings"), table])


def options_table(shown: Sequence[Shown]) -> Html:
    """Every option, a column for each run; rows in which runs differ are marked."""
    columns = [_flat(one.manifest.get("options", {})) for one in shown]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(text_of(column.get(name, "")) for column in columns)] for name in names]
    return _table(["option", *(one.name for one in shown)], rows, class_="options")


def origin_list(manifest: Mapping[str, Any]) -> Html:
    """Inputs, backbones, versions, device and placement as pairs."""
    return element(
        "dl",
        (
            joined([element("dt", f"{part} {key}"), element("dd", text_of(value))])
            for part in ("inputs", "backbone", "versions", "device", "placement")
            for key, value in _flat(manifest.get(part, {})).items()
        ),
    )


def text_of(value: Any) -> str:
    """A value of a manifest for people; floats to four figures."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    return "–" if value is None else str(value)


def _of(about: str, names: Sequence[str]) -> list[str]:
    """The measures that are about this, in their order; of another version's, nobody knows."""
    if not about:
        return [name for name in names if name not in MEASURES]
    return [name for name, measure in MEASURES.items() if measure.about == about and name in names]


def _measure(name: str, columns: Measures) -> Html:
    measure = MEASURES.get(name)
    found = [values.get(name) for values in columns.values()]
    best = None if measure is None else _best(found, measure.better)
    cells = [
        element("td", text_of(value), class_="best" if value is not None and value == best else None)
        for value in found
    ]
    return element(
        "tr",
        element("th", name.replace("_", " "), scope="row", title=None if measure is None else measure.said),
        cells,
        element("td", "" if measure is None else measure.better),
    )


def _best(found: Sequence[float | None], better: str) -> float | None:
    """The best of the numbers, where there are several that differ."""
    numbers = [value for value in found if value is not None]
    if len(set(numbers)) < 2:
        return None
    # Twice as much and half as much are equally far from 1.
    key = {"lower": lambda v: v, "higher": lambda v: -v, "near 1": lambda v: abs(math.log(max(v, 1e-12)))}[better]
    return min(numbers, key=key)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix.rstrip("."): value}
    return {key: item for name, part in value.items() for key, item in _flat(part, f"{prefix}{name}.").items()}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str) -> Html:
    """Of the options of several runs, the rows that differ are marked."""
    mark = class_ == "options"
    body = [
        element(
            "tr",
            element("th", first, scope="row"),
            (element("td", cell) for cell in cells),
            class_="differs" if mark and len(set(cells)) > 1 else None,
        )
        for first, *cells in rows
    ]
    titles = element("tr", (element("th", title) for title in head))
    return _scrolled(element("table", element("thead", titles), element("tbody", body), class_=class_))


def _scrolled(table: Html) -> Html:
    """On a narrow page a table scrolls, since a number broken over two lines can't be read."""
    return element("div", table, class_="scrolled")
