"""Loss curves: weighted terms over evaluations, on a logarithmic scale, one diagram a pass."""

from __future__ import annotations

import colorsys
import io
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deep_image_blending.losses.declaration import declared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Where it has no folder of its own it says so at length, and then works.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

Table = tuple[str, Sequence[Mapping[str, float]]]
"""A pass's name and its loss table's rows."""

TOTAL = "#1f2328"
"""Colour of the total; a loss declares its own."""
PAPER = "#fafaf8"
DECADES = 4
"""Terms smaller than the largest total by more powers of ten than this fall off the diagram."""
DPI = 100
NO_LOSS = ("evaluation", "seconds")
"""Columns of a loss table that are no curves."""


@dataclass(frozen=True)
class CurveStrip:
    """Loss curves as pixels (h, w, 3) uint8, and where an evaluation stands on them."""

    pixels: npt.NDArray[np.uint8]
    axes: Mapping[str, Axes]

    def column(self, name: str, evaluation: float) -> int:
        """The column of pixels of an evaluation in the pass's diagram."""
        x, _ = self.axes[name].transData.transform((evaluation, 1.0))
        return int(np.clip(round(x), 0, self.pixels.shape[1] - 1))

    def row(self, name: str, value: float) -> int:
        """The row of pixels of a loss in the pass's diagram."""
        _, y = self.axes[name].transData.transform((1.0, value))
        return int(np.clip(round(self.pixels.shape[0] - 1 - y), 0, self.pixels.shape[0] - 1))

    def span(self, name: str) -> slice:
        """The rows of pixels that the pass's diagram covers."""
        box = self.axes[name].bbox
        height = self.pixels.shape[0]
        return slice(max(0, round(height - box.y1)), min(height, round(height - box.y0)))


def colour_of(column: str) -> str:
    """A loss's colour in every diagram, as #rrggbb; one of another version's has its own, the same each time."""
    if column == "total":
        return TOTAL
    if column in declared():
        return declared()[column].colour
    hue = zlib.crc32(column.encode()) / 2**32
    return "#" + bytes(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.42, 0.5)).hex()


def terms_of(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The columns of a loss table that are losses, as they come, the total first."""
    found = dict.fromkeys(column for row in rows for column in row if column not in NO_LOSS)
    return sorted(found, key=lambda column: column != "total")


def curve_strip(tables: Sequence[Table], width: int, height: int) -> CurveStrip:
    """The curves at exactly this size in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(tables, (width / DPI, height / DPI), font=6.5)
    figure.patch.set_facecolor(PAPER)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    rendered = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    pixels = np.asarray(rendered)[..., :3].copy()
    return CurveStrip(pixels, {name: axes for (name, _), axes in zip(tables, figure.axes, strict=True)})


def curves_svg(tables: Sequence[Table]) -> str:
    """The curves as an SVG element to stand inside HTML, which gives it its size."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with mpl.rc_context({"svg.hashsalt": "losses", "svg.fonttype": "none"}):
        figure = _figure(tables, (8.4, 2.9), font=9)
        figure.patch.set_alpha(0)
        text = io.StringIO()
        figure.set_canvas(FigureCanvasSVG(figure))
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Inside HTML the namespaces are known, and fixed sizes in points would not scale with the page.
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    return re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"([^>]*?) (?:width|height)="[^"]*"', r"\1\2", svg, count=1)


def _figure(tables: Sequence[Table], size: tuple[float, float], font: float) -> Figure:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": font}):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        for axes, (name, rows) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables, strict=True):
            highest = max(row.get("total", 0.0) for row in rows)
            for term in terms_of(rows):
                points = [(row["evaluation"], row[term]) for row in rows if row.get(term, 0) > 0]
                if points:
                    width = 1.8 if term == "total" else 1.2
                    marker = "." if len(points) == 1 else None
                    axes.plot(
                        *zip(*points, strict=True),
                        label=term,
                        color=colour_of(term),
                        linewidth=width,
                        marker=marker,
                    )
            axes.set_yscale("log")
            if highest > 0:
                axes.set_ylim(bottom=max(axes.get_ylim()[0], highest * 10.0**-DECADES))
            _label_rows(axes)
            axes.set_title(name.replace("_", " "), loc="left", fontsize=font * 1.1)
            axes.set_xlabel("evaluation")
            axes.patch.set_alpha(0)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#e4e2da", linewidth=0.7)
        lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
        named = sorted(lines, key=lambda term: term != "total")
        legend = figure.legend(
            [lines[term] for term in named], named, loc="outside upper right", ncols=len(named), frameon=False
        )
        for text in legend.get_texts():
            # A column's name is text, whatever it holds.
            text.set_parse_math(False)
    return figure


def _label_rows(axes: Axes) -> None:
    """Plain numbers, three or four of them: powers of ten, and what lies between where these are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bottom, top = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if top < 20 * bottom else (1.0, 3.0) if top < 200 * bottom else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
