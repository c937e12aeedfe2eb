"""The report's pictures: kept once, shown whole and cut, and wiped one against another."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from deep_image_blending.views.contact_sheet import Box, Pixels, fitted
from deep_image_blending.views.report.gathering import Shown
from deep_image_blending.views.report.html import Html, element, joined

LONGEST = 2048
"""Longer side of a picture on the page; larger ones are scaled down."""
ZOOMED = 200
"""Pixels of a box's longer side below which its pixels are shown as squares."""


@dataclass(frozen=True)
class Gallery:
    """A run's pictures under identifiers of their own on the page. number: which run."""

    number: int
    shown: Shown

    @property
    def ids(self) -> list[str]:
        return [f"r{self.number}p{i}" for i in range(len(self.shown.pictures))]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.shown.pictures]

    @property
    def boxes(self) -> list[tuple[str, Box]]:
        """What can be looked at, the whole first."""
        return [("whole", (0, 0, *self.shown.canvas)), *self.shown.boxes]

    def store(self) -> Html:
        """Every picture once, unseen, for `<use>` to show."""
        height, width = self.shown.canvas
        frame: dict[str, object] = {"width": width, "height": height, "preserveAspectRatio": "none"}
        images = (
            element("image", id=identifier, **frame, href=_data_uri(pixels))
            for identifier, (_, pixels) in zip(self.ids, self.shown.pictures, strict=True)
        )
        return element("svg", element("defs", images), class_="store", width=0, height=0, aria_hidden="true")

    def strips(self) -> Html:
        """A row for each box, with every picture in it."""
        return joined(
            joined(
                [
                    element("h3", title),
                    element(
                        "div",
                        (
                            element(
                                "figure", _cut(identifier, box, f"{name}, {title}"), element("figcaption", name)
                            )
                            for identifier, name in zip(self.ids, self.names, strict=True)
                        ),
                        class_="strip zoom" if max(_size(box)) < ZOOMED else "strip",
                    ),
                ]
            )
            for title, box in self.boxes
        )

    def wipe(self) -> Html:
        """Paste on the left of a line, at the object's middle; one of the others on its right."""
        if len(self.ids) < 2:
            return Html()
        group, box, at = f"w{self.number}", self.boxes[0][1], self._middle()
        height, width = _size(box)
        layers = [
            element("div", _cut(identifier, box, name), class_=f"layer p{i}")
            for i, (identifier, name) in enumerate(zip(self.ids, self.names, strict=True))
            if i > 0
        ]
        slider = element(
            "input", type="range", min=0, max=100, step=0.1, value=f"{at:.1f}", aria_label="paste against result"
        )
        return element(
            "div",
            element("span", "paste against"),
            (_choice(group, i, name, chosen=i == len(self.ids) - 1) for i, name in enumerate(self.names) if i > 0),
            element("span", _views(self.boxes), class_="views"),
            element(
                "div",
                layers,
                element("div", _cut(self.ids[0], box, self.names[0]), class_="paste"),
                element("i"),
                slider,
                class_="wipe",
                style=f"--at:{at:.1f}%;--ratio:{width / height:.4f}",
            ),
            class_="wiping",
        )

    def _middle(self) -> float:
        """Where the object's middle lies, in per cent of the canvas's width."""
        width = self.shown.canvas[1]
        _, left, _, right = self.shown.manifest.get("placement", {}).get("region", (0, 0, 0, width))
        return float(50 * (left + right) / width)


def _choice(group: str, number: int, name: str, *, chosen: bool) -> Html:
    identifier = f"{group}c{number}"
    button = element("input", type="radio", class_=f"c{number}", name=group, id=identifier, checked=chosen)
    return joined([button, element("label", name, for_=identifier)])


def _views(boxes: Sequence[tuple[str, Box]]) -> Html:
    return joined(
        element(
            "button",
            title.partition(",")[0],
            type="button",
            data_box=_view_box(box),
            aria_pressed="true" if i == 0 else "false",
        )
        for i, (title, box) in enumerate(boxes)
    )


def _cut(identifier: str, box: Box, label: str) -> Html:
    """A part of a stored picture."""
    used = element("use", href=f"#{identifier}")
    return element("svg", used, viewBox=_view_box(box), role="img", aria_label=label)


def _view_box(box: Box) -> str:
    height, width = _size(box)
    return f"{box[1]} {box[0]} {width} {height}"


def _size(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _data_uri(pixels: Pixels) -> str:
    data = io.BytesIO()
    shown = fitted(pixels, LONGEST) if max(pixels.shape[:2]) > LONGEST else pixels
    Image.fromarray(shown).save(data, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
