"""The pictures that a run is made of, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deep_image_blending.declaration import check, option
from deep_image_blending.options.groups import PICTURES


@dataclass(frozen=True)
class PictureFiles:
    """Source, mask and target, or a demo's name, or a saved first pass and its target."""

    source_file: Path | None = option(
        None, "Picture with the object.", PICTURES, metavar="PATH", common=True, decides=False
    )
    mask_file: Path | None = option(
        None,
        "The object in white; grey is soft. Default: the source's alpha channel.",
        PICTURES,
        metavar="PATH",
        common=True,
        decides=False,
    )
    target_file: Path | None = option(
        None, "Picture to put it into.", PICTURES, metavar="PATH", common=True, decides=False
    )
    demo: str | None = option(
        None,
        "A bundled case in place of pictures: coffee, portrait, rocket or shuttle.",
        PICTURES,
        metavar="NAME",
        common=True,
        decides=False,
    )
    first_pass_file: Path | None = option(
        None,
        "A saved first-pass picture, in place of a run.",
        PICTURES,
        metavar="PATH",
        scope="second",
        common=True,
        decides=False,
    )

    def __post_init__(self) -> None:
        check(self)
