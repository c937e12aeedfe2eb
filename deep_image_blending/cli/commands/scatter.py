"""`blend scatter`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.errors import InputError, require_one_of
from deep_image_blending.options.groups import METHOD, OUTPUT, PICTURES, PLACEMENT
from deep_image_blending.options.resolve import refuse_unused

if TYPE_CHECKING:
    from deep_image_blending.batch.scatter import Chance


@command("scatter", panel="Many")
@dataclass
class Scatter(Command):
    """A manifest for synthetic training pictures: objects scattered over backgrounds, for `blend batch`.

    Objects lie in a folder for each category, with alpha or with a mask beside them (cat.mask.png, cat_mask.png,
    cat.pbm). The same seed gives the same manifest on every machine.

    Example:  blend scatter --objects cut --backgrounds rooms --count 1000 --seed 1 --output-file scenes.jsonl
    """

    output_file: Annotated[Path, typer.Option(help="Manifest to write, .jsonl.", rich_help_panel=OUTPUT)]
    objects: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="FOLDER/<category>/*; default: the bundled objects.", rich_help_panel=PICTURES
        ),
    ] = None
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures to put them into; default: the bundled ones.",
            rich_help_panel=PICTURES,
        ),
    ] = None
    count: Annotated[
        int, typer.Option(min=1, max=10**9, help="Scenes; each is made in every method.", rich_help_panel=METHOD)
    ] = 100
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed.", rich_help_panel=METHOD)] = 0
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="natural, poisson, feather, paste: the same scene in each, so that no detector learns seams.",
            rich_help_panel=METHOD,
        ),
    ] = "natural"
    most: Annotated[
        int, typer.Option(min=1, max=50, help="Objects in a scene: 1 to this.", rich_help_panel=PLACEMENT)
    ] = 3
    scale: Annotated[
        str,
        typer.Option(
            metavar="LEAST,MOST",
            help="Longer side of an object over the shorter side of its canvas.",
            rich_help_panel=PLACEMENT,
        ),
    ] = "0.2,0.5"
    rotate: Annotated[
        int, typer.Option(min=0, max=180, help="Most degrees that an object turns.", rich_help_panel=PLACEMENT)
    ] = 15
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror half of them.", rich_help_panel=PLACEMENT)
    ] = True
    brightness: Annotated[
        str, typer.Option(metavar="LEAST,MOST", help="Factor of an object's levels.", rich_help_panel=PLACEMENT)
    ] = "0.8,1.2"
    overlap: Annotated[
        float,
        typer.Option(min=0, max=1, help="Most that two boxes share, of the smaller.", rich_help_panel=PLACEMENT),
    ] = 0.3
    over_border: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Most of a box's side that may hang over the border.", rich_help_panel=PLACEMENT
        ),
    ] = 0.0
    ts: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Longer side of the pictures, in pixels.", rich_help_panel=PLACEMENT
        ),
    ] = None
    distractors: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Objects that annotations leave out.", rich_help_panel=PICTURES),
    ] = None
    most_distractors: Annotated[
        int, typer.Option(min=0, max=50, help="Distractors in a scene: 0 to this.", rich_help_panel=PLACEMENT)
    ] = 2
    preview_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Also a sheet of twelve scenes, as pastes.", rich_help_panel=OUTPUT),
    ] = None
    quiet: Annotated[
        bool, typer.Option("--quiet", metavar="", help="Print errors alone.", rich_help_panel=OUTPUT)
    ] = False

    def run(self) -> None:
        import json

        from deep_image_blending.batch.objects import backgrounds_in, bundled, objects_in
        from deep_image_blending.batch.scatter import Stock, rows
        from deep_image_blending.files import atomic_write, require_writable
        from deep_image_blending.pictures import check_writable

        if self.distractors is None:
            refuse_unused(self.own(), ["most_distractors"], "scenes without --distractors")
        if self.output_file.suffix.lower() != ".jsonl":
            raise InputError(f"'{self.output_file}' is no manifest's name; end it in .jsonl")
        require_writable(self.output_file)
        if self.preview_file is not None:
            check_writable(self.preview_file)
        chance = self._chance()
        objects, backgrounds = bundled()
        stock = Stock(
            objects if self.objects is None else objects_in(self.objects),
            backgrounds if self.backgrounds is None else backgrounds_in(self.backgrounds),
            self.output_file.absolute().parent,
            objects_in(self.distractors) if self.distractors is not None else (),
        )
        with atomic_write(self.output_file) as stream:
            for row in rows(stock, chance, self.count, self.seed):
                stream.write((json.dumps(row, sort_keys=True) + "\n").encode())
        console = console_for(self.quiet)
        categories = sorted({one.category for one in stock.objects})
        console.print(
            f"{self.count * len(chance.methods)} pictures of {len(stock.objects)} objects "
            f"({', '.join(categories)}) on {len(stock.backgrounds)} backgrounds",
            soft_wrap=True,
        )
        if self.preview_file is not None:
            self._preview(self.preview_file)
            console.print(str(self.preview_file), soft_wrap=True)
        console.print(str(self.output_file), soft_wrap=True)

    def _chance(self) -> Chance:
        from typing import get_args

        from deep_image_blending.batch.columns import Method
        from deep_image_blending.batch.scatter import Chance, thousandths, two

        methods = tuple(dict.fromkeys(name.strip() for name in self.methods.split(",") if name.strip()))
        for name in methods:
            require_one_of("method", name, get_args(Method))
        if not methods:
            raise InputError("--methods is empty; give natural, or several with commas")

        def between(text: str, flag: str, most: int) -> tuple[int, int]:
            low, high = (thousandths(one, flag, Fraction(1, 100), Fraction(most)) for one in two(text, flag))
            if low > high:
                raise InputError(f"{flag} {text!r}: give the least first")
            return low, high

        return Chance(
            (1, self.most),
            between(self.scale, "--scale", 1),
            (-self.rotate, self.rotate),
            self.flip,
            between(self.brightness, "--brightness", 10),
            round(1000 * self.overlap),
            round(1000 * self.over_border),
            (0, self.most_distractors),
            methods,  # type: ignore[arg-type]
            self.ts,
        )

    def _preview(self, path: Path) -> None:
        from deep_image_blending.batch.manifest import lines_of
        from deep_image_blending.batch.preview import pastes
        from deep_image_blending.batch.row import row_of
        from deep_image_blending.pictures import write_picture

        folder = str(self.output_file.absolute().parent)
        rows = (
            row_of(values, folder) for _, values in lines_of(str(self.output_file)) if isinstance(values, dict)
        )
        write_picture(path, pastes(rows))
