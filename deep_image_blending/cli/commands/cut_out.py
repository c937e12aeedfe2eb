"""`blend cut-out`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.errors import InputError
from deep_image_blending.options.groups import METHOD, OUTPUT, PICTURES


@command("cut-out", panel="Blend")
@dataclass
class CutOut(Command):
    """Cut an object out of a picture: a mask for the other commands, from a box, strokes, a loose mask or a
    trimap.

    A box is a start. The command names places where it is unsure, as boxes: paint white on the object and black
    beside it there, and give that picture with --strokes.

    Examples:  blend cut-out cat.jpg --output-file cat_mask.png --box 40,60,400,520
    blend cut-out cat.jpg --output-file cat_mask.png --mask-file loose.png --rgba cat_alone.png
    """

    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Picture with the object.")]
    output_file: Annotated[Path, typer.Option(help="Mask to write, 8-bit grey.", rich_help_panel=OUTPUT)]
    box: Annotated[
        str | None,
        typer.Option(metavar="T,L,B,R", help="Rows and columns around the object.", rich_help_panel=PICTURES),
    ] = None
    strokes: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="White on the object, black beside it, grey elsewhere.", rich_help_panel=PICTURES
        ),
    ] = None
    mask_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A loose mask; nothing outside it is the object.", rich_help_panel=PICTURES
        ),
    ] = None
    trimap: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="White object, black background, grey unknown.", rich_help_panel=PICTURES
        ),
    ] = None
    hard: Annotated[
        bool, typer.Option("--hard", metavar="", help="A hard contour, no soft edge.", rich_help_panel=METHOD)
    ] = False
    rgba: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Also write the object alone, with its own colours.", rich_help_panel=OUTPUT
        ),
    ] = None
    preview_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Also write it on grey and on magenta.", rich_help_panel=OUTPUT),
    ] = None
    quiet: Annotated[
        bool, typer.Option("--quiet", metavar="", help="Print errors alone.", rich_help_panel=OUTPUT)
    ] = False

    def run(self) -> None:
        import numpy as np

        from deep_image_blending.pictures import Placement, load_mask, load_picture, write_picture
        from deep_image_blending.pictures.cutting.cut_out import Start, cut_out
        from deep_image_blending.pictures.writing import check_writable, write_png
        from deep_image_blending.runs.room import require_room_for_files

        outputs = [path for path in (self.output_file, self.rgba, self.preview_file) if path is not None]
        for path in outputs:
            check_writable(path)
        files = {"strokes": self.strokes, "loose": self.mask_file, "trimap": self.trimap}
        require_room_for_files({"source": self.picture, **files}, Placement())
        picture = load_picture(self.picture)
        planes = {name: load_mask(path) for name, path in files.items() if path is not None}
        names = {name: str(path) for name, path in files.items() if path is not None}
        start = Start(box=_box(self.box), names=names, **planes)
        found = cut_out(picture.pixels, start, soft=not self.hard)
        write_png(self.output_file, np.rint(255 * found.alpha).astype(np.uint8))
        if self.rgba is not None:
            write_png(self.rgba, found.rgba())
        if self.preview_file is not None:
            write_picture(self.preview_file, found.preview())
        console = console_for(self.quiet)
        for line in (found.said, *map(str, outputs)):
            console.print(line, soft_wrap=True)


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        top, left, bottom, right = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--box {text!r} is not a box; give top,left,bottom,right in pixels") from None
    return top, left, bottom, right
