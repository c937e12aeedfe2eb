"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import inspect
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from deep_image_blending import __version__
from deep_image_blending.errors import (
    BlendError,
    InputError,
    Stopped,
    is_out_of_memory,
    require_one_of,
    suggestion,
)

if TYPE_CHECKING:
    from rich.console import Console

    from deep_image_blending import pipeline
    from deep_image_blending.config import Options, PassName, Placement
    from deep_image_blending.plan import Decision
    from deep_image_blending.runs import RunDirectory
    from deep_image_blending.scene import Scene

app = typer.Typer(
    name="blend",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Put an object from one picture into another so that nobody sees it was ever elsewhere.",
    epilog="Try it:  [bold]blend run[/bold]  blends the bundled demo.",
)

_INPUT, _PLACE, _METHOD, _LOSS, _MACHINE, _OUTPUT = (
    "Pictures",
    "Placement",
    "Method",
    "Losses",
    "Machine",
    "Run and output",
)
_SHEET, _VIDEO = "Sheet", "Video"


def _option(group: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=group, show_default=False, **more)


# Every option once; the commands name the ones that they take. None means: as the preset has it.
_OPTIONS: dict[str, Any] = {
    "source_file": Annotated[Path | None, _option(_INPUT, "Picture with the object.", "--source-file")],
    "mask_file": Annotated[
        Path | None,
        _option(_INPUT, "The object in white; grey is soft. Default: the source's alpha channel.", "--mask-file"),
    ],
    "target_file": Annotated[Path | None, _option(_INPUT, "Picture to put it into.", "--target-file")],
    "demo": Annotated[str | None, _option(_INPUT, "A bundled case by its name, in place of pictures.", "--demo")],
    "first_pass_file": Annotated[
        Path | None, _option(_INPUT, "A saved first-pass picture, in place of a run.", "--first-pass-file")
    ],
    "fit_mask": Annotated[bool, _option(_INPUT, "Rescale a mask of another size to the source.", "--fit-mask")],
    "max_pixels": Annotated[
        int | None, _option(_INPUT, "Largest picture to read, in pixels.", "--max-pixels", min=1)
    ],
    "ss": Annotated[int | None, _option(_PLACE, "Longer side to rescale the source to.", "--ss")],
    "ts": Annotated[int | None, _option(_PLACE, "Longer side to rescale the target to.", "--ts")],
    "x": Annotated[float | None, _option(_PLACE, "VERTICAL centre of the source on the canvas.", "--x")],
    "y": Annotated[float | None, _option(_PLACE, "HORIZONTAL centre of the source on the canvas.", "--y")],
    "grow": Annotated[
        int | None, _option(_PLACE, "Pixels by which the mask grows (negative: shrinks).", "--grow")
    ],
    "feather": Annotated[
        float | None, _option(_PLACE, "Pixels over which the mask's edge fades, inwards.", "--feather")
    ],
    "preset": Annotated[
        str | None,
        _option(_METHOD, "natural (default), painterly, wacv2020 or resnet; see `blend presets`.", "--preset"),
    ],
    "backbone": Annotated[
        str, _option(_METHOD, "auto, embedded, vgg16, vgg19, resnet50 or random.", "--backbone")
    ],
    "weights": Annotated[
        Path | None, _option(_METHOD, "Local state dict for the backbone (.safetensors or .pth).", "--weights")
    ],
    "init": Annotated[str | None, _option(_METHOD, "noise, paste, poisson, or an image to start from.", "--init")],
    "num_steps": Annotated[int | None, _option(_METHOD, "Evaluations in each pass.", "--num-steps")],
    "first_steps": Annotated[int | None, _option(_METHOD, "Evaluations in the first pass.", "--first-steps")],
    "second_steps": Annotated[int | None, _option(_METHOD, "Evaluations in the second pass.", "--second-steps")],
    "levels": Annotated[
        int | None, _option(_METHOD, "Resolutions, coarse to fine (0: by the object's size).", "--levels", min=0)
    ],
    "tolerance": Annotated[
        float | None,
        _option(
            _METHOD, "End a level when ten evaluations lower the objective by less (relative).", "--tolerance"
        ),
    ],
    "history": Annotated[int | None, _option(_METHOD, "Pairs that L-BFGS remembers.", "--history")],
    "canvas": Annotated[
        bool | None,
        _option(_METHOD, "Second pass repaints the whole canvas, as published.", "--canvas/--no-canvas"),
    ],
    "smoothing": Annotated[
        bool | None,
        _option(_METHOD, "Activation smoothing (SWAG) of ResNet's style features.", "--smoothing/--no-smoothing"),
    ],
    "reproduce_zero_content": Annotated[
        bool,
        _option(
            _METHOD,
            "wacv2020: compare the second pass with itself, as the published code does.",
            "--reproduce-zero-content",
        ),
    ],
    "seed": Annotated[int | None, _option(_METHOD, "Seed of the noise start.", "--seed", min=0)],
    "grad_weight": Annotated[str | None, _option(_LOSS, "Weight of the gradient loss.", "--grad-weight")],
    "style_weight": Annotated[
        str | None, _option(_LOSS, "Weight of style: one number, or `first,second`.", "--style-weight")
    ],
    "content_weight": Annotated[
        str | None, _option(_LOSS, "Weight of content: one number, or `first,second`.", "--content-weight")
    ],
    "hist_weight": Annotated[
        str | None, _option(_LOSS, "Weight of the histogram loss: one number, or `first,second`.", "--hist-weight")
    ],
    "tv_weight": Annotated[
        str | None, _option(_LOSS, "Weight of total variation: one number, or `first,second`.", "--tv-weight")
    ],
    "colour_weight": Annotated[
        str | None,
        _option(
            _LOSS,
            "Weight, inside content, of holding patches of colour: one, or `first,second`.",
            "--colour-weight",
        ),
    ],
    "style_layers": Annotated[str | None, _option(_LOSS, "Layers for style, comma-separated.", "--style-layers")],
    "content_layer": Annotated[str | None, _option(_LOSS, "Layer for content.", "--content-layer")],
    "style_from": Annotated[
        str | None, _option(_LOSS, "Style of the target's whole, surroundings or similar parts.", "--style-from")
    ],
    "palette": Annotated[
        float | None,
        _option(_LOSS, "Share of its own palette in the target's style; the rest is the object's.", "--palette"),
    ],
    "grain": Annotated[
        float | None,
        _option(_LOSS, "How much of the target's fine texture the second pass starts with.", "--grain"),
    ],
    "membrane": Annotated[
        str | None,
        _option(
            _LOSS,
            "How far the target's colour enters the object: auto, full (Poisson cloning), or to its edges.",
            "--membrane",
        ),
    ],
    "statistics": Annotated[str | None, _option(_LOSS, "Style compares gram or covariance.", "--statistics")],
    "device": Annotated[str | None, _option(_MACHINE, "auto, cpu, cuda[:N] or mps.", "--device")],
    "gpu_id": Annotated[int | None, _option(_MACHINE, "GPU number, as --device cuda:N.", "--gpu-id", min=0)],
    "precision": Annotated[str, _option(_MACHINE, "auto, float32 or bf16.", "--precision")],
    "threads": Annotated[int | None, _option(_MACHINE, "CPU threads (default: all cores).", "--threads", min=1)],
    "memory": Annotated[
        str,
        _option(
            _MACHINE,
            "auto (thrifty if it would not fit), full, or thrifty: less memory, more time, the same result.",
            "--memory",
        ),
    ],
    "max_memory": Annotated[
        float | None,
        _option(
            _MACHINE,
            "Memory that the run may take at its peak, on the card where it runs on one (default: what is free).",
            "--max-memory",
            metavar="GIB",
            min=0,
        ),
    ],
    "output_dir": Annotated[Path | None, _option(_OUTPUT, "Run directory.", "--output-dir")],
    "save_video": Annotated[
        str, _option(_OUTPUT, "Make a video at the end.", "--save-video", metavar="True|False")
    ],
    "dry_run": Annotated[
        bool,
        _option(_OUTPUT, "Print what would be done, in how much memory and time; write nothing.", "--dry-run"),
    ],
    "resume": Annotated[bool, _option(_OUTPUT, "Continue the run in --output-dir.", "--resume")],
    "force": Annotated[bool, _option(_OUTPUT, "Replace the run in --output-dir.", "--force")],
    "checkpoint_every": Annotated[
        float, _option(_OUTPUT, "Seconds between checkpoints.", "--checkpoint-every", min=0)
    ],
    "plain": Annotated[bool, _option(_OUTPUT, "Plain lines in place of the live table.", "--plain")],
    "quiet": Annotated[bool, _option(_OUTPUT, "Print errors alone.", "--quiet")],
}
_DEFAULTS = {
    "fit_mask": False,
    "backbone": "auto",
    "reproduce_zero_content": False,
    "precision": "auto",
    "memory": "auto",
    "dry_run": False,
    "save_video": "False",
    "resume": False,
    "force": False,
    "checkpoint_every": 30.0,
    "plain": False,
    "quiet": False,
}
_PICTURES = ("source_file", "mask_file", "target_file", "fit_mask", "max_pixels")
_PLACING = ("ss", "ts", "x", "y", "grow", "feather")
_HOW = ("preset", "backbone", "weights", "num_steps", "levels", "tolerance", "history", "smoothing")
_LOSSES = (
    "style_weight",
    "content_weight",
    "tv_weight",
    "colour_weight",
    "style_layers",
    "content_layer",
    "style_from",
    "statistics",
    "palette",
)
_COMMON = (
    "device",
    "gpu_id",
    "precision",
    "threads",
    "memory",
    "max_memory",
    "dry_run",
    "output_dir",
    "save_video",
    "resume",
    "force",
    "checkpoint_every",
    "plain",
    "quiet",
)
_STARTS = ("noise", "paste", "poisson")
_FIRST = ("first_steps", "init", "seed", "grad_weight", "membrane")
_RELATIVE = ("colour_weight", "smoothing", "style_from", "statistics", "palette", "grain", "membrane")
_SECOND = ("second_steps", "canvas", "reproduce_zero_content", "hist_weight", "grain")


def _command(*options: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes `options` of the table, besides its own arguments, as one namespace."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "given"]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_OPTIONS[name],
                default=_DEFAULTS.get(name),
            )
            for name in sorted(options, key=list(_OPTIONS).index)
        ]

        def call(**values: Any) -> None:
            rest = {p.name: values.pop(p.name) for p in own}
            given = SimpleNamespace(**{**dict.fromkeys(_OPTIONS), **_DEFAULTS, **values})
            function(**rest, given=given)

        kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        call.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
        call.__doc__ = function.__doc__
        app.command(**settings)(call)
        return function

    return decorate


_BOTH = (*_PICTURES, "demo", *_PLACING, *_HOW, *_LOSSES, *_COMMON, *_FIRST, *_SECOND)


def _run(given: SimpleNamespace) -> None:
    """Both passes, from pictures to a finished blend. Without options: the bundled demo.

    Example:  blend run --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """
    _passes(given, ("first_pass", "second_pass"))


_command(*_BOTH, name="run", rich_help_panel="Blend")(_run)
_command(*_BOTH, name="blend", hidden=True)(_run)


@_command(
    *_PICTURES,
    "demo",
    *_PLACING,
    *_HOW,
    *_LOSSES,
    *_COMMON,
    *_FIRST,
    "hist_weight",
    name="first-pass",
    rich_help_panel="Blend",
)
def _first(given: SimpleNamespace) -> None:
    """The first pass alone: a seamless boundary.

    Example:  blend first-pass --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg
    """
    _passes(given, ("first_pass",))


@_command(
    *_PICTURES,
    "first_pass_file",
    *_PLACING,
    *_HOW,
    *_LOSSES,
    *_COMMON,
    *_SECOND,
    name="second-pass",
    rich_help_panel="Blend",
)
def _second(
    run: Annotated[Path | None, typer.Argument(help="A run directory with a finished first pass.")] = None,
    *,
    given: SimpleNamespace,
) -> None:
    """The second pass alone: texture and palette, on a saved run or on any saved picture.

    Examples:  blend second-pass results/cat --style-weight 2
    blend second-pass --first-pass-file pasted.png --target-file sofa.jpg --mask-file mask.png
    """
    if run is not None and given.first_pass_file is not None:
        raise InputError("give either a run directory or --first-pass-file, not both")
    if run is None and given.first_pass_file is None:
        if given.resume and given.output_dir is not None:
            run = given.output_dir
        else:
            raise InputError("give a run directory, or --first-pass-file with --target-file")
    if run is not None:
        _again(run, given)
    else:
        _second_from_file(given)


@_command(*_PICTURES, "demo", *_PLACING, "quiet", name="preview", rich_help_panel="Look")
def _preview(
    output_file: Annotated[Path, typer.Option(help="Picture to write.", rich_help_panel=_OUTPUT)] = Path(
        "preview.png"
    ),
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="Show it in the terminal, too. Default: where that is possible.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    *,
    given: SimpleNamespace,
) -> None:
    """The placement at once: the paste, the region that will be optimised, and the Poisson solution, side by side.

    Terminals that show pictures (kitty, Ghostty, Konsole, iTerm2, WezTerm, mintty) show it as well.

    Example:  blend preview --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """
    from deep_image_blending.config import Placement
    from deep_image_blending.images import check_writable, write_picture
    from deep_image_blending.preview import describe, preview
    from deep_image_blending.terminal import show as show_picture

    check_writable(output_file)
    _demo_unless_given(given)
    scene = _placed_scene(given, Placement(**_placement_changes(given)))
    console = _console(given.quiet)
    sheet = preview(scene)
    if not given.quiet:
        show_picture(sheet, sys.stderr, os.environ, console.width, asked=show)
    write_picture(output_file, sheet)
    for line in (*describe(scene), str(output_file)):
        console.print(line, highlight=False, soft_wrap=True)


@app.command("compare", rich_help_panel="Look")
def _compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    output_file: Annotated[Path, typer.Option(help="Picture to write.", rich_help_panel=_OUTPUT)] = Path(
        "comparison.png"
    ),
    crop: Annotated[bool, typer.Option(help="Show the object alone.", rich_help_panel=_SHEET)] = False,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=_SHEET)] = None,
) -> None:
    """A labelled contact sheet of the pictures of one run or several.

    Example:  blend compare results/cat results/cat-2 --crop
    """
    from deep_image_blending.compare import contact_sheet, object_crop, run_pictures
    from deep_image_blending.images import check_writable, write_picture
    from deep_image_blending.runs import RunDirectory

    check_writable(output_file)
    opened = [RunDirectory.open(path, write=False) for path in runs]
    label = len(opened) > 1
    pictures = [
        (f"{run.path.name}: {name}" if label else name, picture)
        for run in opened
        for name, picture in run_pictures(run)
    ]
    sheet = contact_sheet(pictures, crop=object_crop(opened[0]) if crop else None, columns=columns)
    write_picture(output_file, sheet)
    _console(False).print(str(output_file), highlight=False, soft_wrap=True)


@_command(
    *(name for name in _BOTH if name not in ("dry_run", "save_video", "resume", "checkpoint_every")),
    name="ablation",
    rich_help_panel="Look",
)
def _ablation(
    output_file: Annotated[Path, typer.Option(help="Sheet to write.", rich_help_panel=_OUTPUT)] = Path(
        "ablation.png"
    ),
    crop: Annotated[bool, typer.Option(help="Show the object alone.", rich_help_panel=_SHEET)] = False,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=_SHEET)] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The measures as JSON in place of a table.", rich_help_panel=_OUTPUT)
    ] = False,
    *,
    given: SimpleNamespace,
) -> None:
    """One loss left out at a time, with paste, Poisson cloning and another start, on one labelled sheet.

    With --output-dir each blend is kept there as a run in its own subdirectory.

    Example:  blend ablation --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --crop
    """
    import contextlib
    import tempfile

    from deep_image_blending import ablation, pipeline
    from deep_image_blending.images import check_writable, write_picture
    from deep_image_blending.progress import study_bar
    from deep_image_blending.runs import require_free

    check_writable(output_file)
    _demo_unless_given(given)
    options = resolve_options(given, pipeline.PASSES)
    if given.output_dir is not None:
        for variant in ablation.variants(options):
            require_free(given.output_dir / variant.folder, force=given.force)
    console = _console(given.quiet)
    say = _sayer(console)
    inputs, scene, options, loaded, init_picture, thrifty = _ready(options, pipeline.PASSES, given, say, console)
    with contextlib.ExitStack() as stack:
        folder = given.output_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tell = stack.enter_context(study_bar(console, _style(given, console)))
        asked_to_stop = stack.enter_context(_interruptible())
        try:
            rows = list(
                ablation.study(
                    scene,
                    inputs,
                    options,
                    loaded,
                    folder,
                    init_picture=init_picture,
                    force=given.force,
                    thrifty=thrifty,
                    tell=tell,
                    interrupted=asked_to_stop,
                )
            )
        except (pipeline.Interrupted, KeyboardInterrupt):
            kept = f"; what is finished is in '{given.output_dir}'" if given.output_dir is not None else ""
            raise Stopped(f"stopped{kept}") from None
    write_picture(output_file, ablation.sheet(scene, rows, crop=crop, columns=columns))
    _print_measures({row.label: row.measures for row in rows}, json)
    console.print(str(output_file), highlight=False, soft_wrap=True)


@_command(*_PICTURES, *_PLACING, "weights", "quiet", name="evaluate", rich_help_panel="Look")
def _evaluate(
    paths: Annotated[
        list[Path], typer.Argument(help="Run directories, or blended pictures with the options below.")
    ],
    json: Annotated[
        bool, typer.Option("--json", help="JSON in place of a table.", rich_help_panel=_OUTPUT)
    ] = False,
    features: Annotated[
        str, typer.Option(help="Backbone that measures style and content, or none.", rich_help_panel=_METHOD)
    ] = "embedded",
    *,
    given: SimpleNamespace,
) -> None:
    """Quality without ground truth: seam, colour bleed, contrast, style and more, of runs or pictures.

    Example:  blend evaluate results/cat results/cat-2 --json
    """
    from deep_image_blending import pipeline
    from deep_image_blending.config import Options, Placement
    from deep_image_blending.images import load_picture
    from deep_image_blending.metrics import evaluate_scene
    from deep_image_blending.progress import stage
    from deep_image_blending.runs import RunDirectory

    found: dict[str, dict[str, float]] = {}
    console = _console(given.quiet)
    for path in paths:
        if path.is_dir():
            with RunDirectory.open(path, write=False) as run:
                options = Options.from_json(run.manifest.get("options", {}))
                scene = pipeline.scene_of(pipeline.inputs_of(run), options, lambda _: None)
                finished = [
                    file for name in reversed(pipeline.PASSES) if (file := run.picture_path(name)).is_file()
                ]
            if not finished:
                raise InputError(f"run '{path}' has no finished pass to evaluate; continue it with --resume")
            picture = finished[0]
        else:
            scene, picture = _placed_scene(given, Placement(**_placement_changes(given))), path
        pixels = load_picture(picture).pixels
        if pixels.shape[:2] != scene.canvas:
            raise InputError(f"'{picture}' has not the size of its canvas, {scene.canvas[1]}x{scene.canvas[0]}")
        backbone = None if features == "none" else features
        with stage(console, _style(given, console), f"measuring {path}"):
            found[str(path)] = evaluate_scene(scene, pixels, backbone=backbone, weights=given.weights)
    _print_measures(found, json)


_WIDE = 130
"""Columns of text that a row of every measure takes; a narrower terminal breaks the lines."""


def _print_measures(found: Mapping[str, Mapping[str, float]], json: bool) -> None:
    """Measures by picture, on standard output: a row for each measure, or, of many pictures, for each picture."""
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, indent=2))
        return
    from rich.table import Table

    from deep_image_blending.metrics import MEASURES

    def values(name: str) -> list[str]:
        return [f"{measures[name]:.4g}" if name in measures else "" for measures in found.values()]

    if len(found) <= 4:
        table = Table("measure", *found, "better", "meaning")
        for name, (meaning, better) in MEASURES.items():
            table.add_row(name, *values(name), better, meaning)
    else:
        # The best of many is found by looking down a column.
        table = Table("", box=None, pad_edge=False)
        for name, measure in MEASURES.items():
            table.add_column(f"{name.replace('_', chr(10))}\n{measure.better}", justify="right", no_wrap=True)
        for label, *row in zip(found, *(values(name) for name in MEASURES), strict=True):
            table.add_row(label, *row)
    console = _console(False, stderr=False)
    if len(found) > 4:
        console.width = max(console.width, _WIDE)
    console.print(table, soft_wrap=True)


@app.command("report", rich_help_panel="Look")
def _report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, shown side by side.")],
    output_file: Annotated[
        Path | None,
        typer.Option(help="Page to write (default: report.html in the first run).", rich_help_panel=_OUTPUT),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print errors alone.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """One self-contained HTML page: pictures with a wipe, palettes, measures, loss curves, every option.

    Example:  blend report results/cat results/cat-2 --output-file cats.html
    """
    from deep_image_blending.progress import steps_bar
    from deep_image_blending.report import write_report
    from deep_image_blending.runs import RunDirectory

    path = output_file or runs[0] / "report.html"
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")
    opened, console = [RunDirectory.open(run, write=False) for run in runs], _console(quiet)
    with steps_bar(console, _style(SimpleNamespace(quiet=quiet, plain=False), console), "run") as progress:
        write_report(opened, path, progress)
    console.print(str(path), highlight=False, soft_wrap=True)


@app.command("doctor", rich_help_panel="Set up")
def _doctor(
    json: Annotated[bool, typer.Option("--json", help="JSON in place of lines.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Devices, versions, cached weights, ffmpeg, and what is missing.

    Example:  blend doctor --json
    """
    import json as encoder

    from deep_image_blending.doctor import findings

    found = findings()
    if json:
        entries = [{"name": one.name, "found": one.found, "fine": one.fine, "remedy": one.remedy} for one in found]
        typer.echo(encoder.dumps({"fine": all(one.fine for one in found), "findings": entries}, indent=2))
    else:
        console = _console(False, stderr=False)
        for one in found:
            remedy = f"; {one.remedy}" if one.remedy else ""
            line = f"{'ok     ' if one.fine else 'MISSING'}  {one.name:<22}  {one.found}{remedy}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not all(one.fine for one in found):
        raise typer.Exit(1)


@app.command("make-video", rich_help_panel="Look")
def make_video(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    fps: Annotated[
        float, typer.Option(min=0.1, max=240, help="Frames per second.", rich_help_panel=_VIDEO)
    ] = 12.0,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=600,
            help="How long the passes take, between the stills at either end.",
            rich_help_panel=_VIDEO,
        ),
    ] = 6.0,
    layout: Annotated[
        str,
        typer.Option(
            help="blend, side-by-side (paste | blend), curve (losses below) or side-by-side-curve.",
            rich_help_panel=_VIDEO,
        ),
    ] = "blend",
    format: Annotated[str, typer.Option(help="mp4, gif or webp.", rich_help_panel=_VIDEO)] = "mp4",
    output_file: Annotated[
        Path | None, typer.Option(help="Default: blend.FORMAT in the run.", rich_help_panel=_OUTPUT)
    ] = None,
    plain: Annotated[bool, typer.Option(help="Plain lines in place of a bar.", rich_help_panel=_OUTPUT)] = False,
    quiet: Annotated[bool, typer.Option(help="Print errors alone.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """A video of what the passes saved, long after the run, at equal perceived change.

    Example:  blend make-video results/cat --fps 15 --layout side-by-side --format gif
    """
    from deep_image_blending.progress import steps_bar
    from deep_image_blending.runs import RunDirectory
    from deep_image_blending.video import make_video as encode

    console = _console(quiet)
    with (
        RunDirectory.open(run, write=False) as opened,
        steps_bar(console, _style(SimpleNamespace(quiet=quiet, plain=plain), console), "frame") as progress,
    ):
        path, frames = encode(
            opened, fps=fps, seconds=seconds, layout=layout, format=format, output=output_file, progress=progress
        )
    console.print(f"{path}: {frames} frames at {fps:g} a second", highlight=False, soft_wrap=True)


@app.command("presets", rich_help_panel="Set up")
def presets() -> None:
    """The presets and what they set, as a table.

    Example:  blend presets
    """
    from rich.table import Table

    from deep_image_blending.config import PRESETS

    table = Table(title="Presets", title_justify="left")
    table.add_column("")
    rows: dict[str, list[str]] = {}
    for name, options in PRESETS.items():
        table.add_column(name, overflow="fold")
        for label, value in _preset_rows(options):
            rows.setdefault(label, []).append(value)
    for label, values in rows.items():
        table.add_row(label, *values, end_section=label in ("start", "1: tolerance"))
    _console(False, stderr=False).print(table)


def _preset_rows(options: Options) -> Iterator[tuple[str, str]]:
    yield "start", options.init
    for number, one in (("1", options.first), ("2", options.second)):
        weights = one.weights
        yield f"{number}: backbone", one.backbone
        yield f"{number}: evaluations", str(one.evaluations)
        yield f"{number}: losses", one.objective
        for term in ("gradient", "style", "content", "histogram", "tv"):
            yield f"{number}: {term}", f"{getattr(weights, term):g}"
        yield f"{number}: colour", f"{one.colour:g}"
        yield f"{number}: style layers", ", ".join(one.style_layers or ("the backbone's",))
        yield f"{number}: content layer", one.content_layer or "the backbone's"
        yield f"{number}: style from", f"{one.style_from} ({one.statistics})"
        yield f"{number}: palette, grain", f"{one.palette:g}, {one.grain:g}"
        yield f"{number}: smoothing (ResNet)", "on" if one.smoothing else "off"
        yield f"{number}: optimises", one.region
        yield f"{number}: line search", f"{one.line_search}, history {one.history}"
        yield f"{number}: tolerance", f"{one.tolerance:g}"


@app.callback(invoke_without_command=True)
def _main_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"deep-image-blending {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # A run that is told to end is interrupted as by Ctrl-C, at any moment of it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: list[str]) -> int:
    """Run one command; 0 done, 1 failed, 2 bad usage or input, 130 interrupted. Prints errors to stderr."""
    warnings.showwarning = _show_warning
    try:
        # An exit that a command asks for comes back as a number.
        code = app(args=_normalised(arguments), standalone_mode=False, prog_name="blend")
    except BlendError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return 1
    except OSError as error:
        named = f"'{error.filename}': " if error.filename is not None else ""
        _complain(
            f"{named}{error.strerror or type(error).__name__}; check the path, its permissions and free space"
        )
        return 1
    except Exception as error:
        if is_out_of_memory(error):
            _complain("not enough memory; free some, or give smaller --ss and --ts")
            return 1
        return _usage_error(error)
    if code == 130:
        # The parser's word for KeyboardInterrupt.
        _complain("interrupted")
    return code if isinstance(code, int) else 0


def _usage_error(error: Exception) -> int:
    """The exit code of what the parser raised, with one line; anything else is a fault of ours, and rises."""
    code = getattr(error, "exit_code", None)
    if code is None:
        if type(error).__name__ == "Abort":
            return 130
        raise error
    if hasattr(error, "format_message"):
        message = " ".join(str(error.format_message()).split())
        name, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
        if name and near:
            message = f"no such option {name}; {suggestion(name, near)}"
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
            return 0
        _complain(message)
    return int(code)


def _complain(message: str) -> None:
    print(f"blend: {' '.join(message.split())}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _complain(f"note: {message}")


def _normalised(arguments: list[str]) -> list[str]:
    """Both spellings of every option, and `--save-video` with or without a value."""
    result: list[str] = []
    for i, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        result.append(argument)
        if argument == "--save-video":
            following = arguments[i + 1].lower() if i + 1 < len(arguments) else ""
            if following not in _YES | _NO:
                result.append("True")
    return result


_YES, _NO = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}


def _console(quiet: bool, stderr: bool = True) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet)


def _numbers(option: str, text: str | None, count: int) -> list[float | None]:
    """`a` or `a,b` -> a number for each of the passes."""
    if text is None:
        return [None] * count
    try:
        values: list[float | None] = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise InputError(f"--{option} {text!r} is not a number, nor two with a comma, one for each pass")
    return values


def resolve_options(given: SimpleNamespace, passes: tuple[PassName, ...], base: Options | None = None) -> Options:
    """The preset's options (or a stored run's, `base`), with what was given on the command line."""
    import dataclasses

    from deep_image_blending.config import preset
    from deep_image_blending.pipeline import resolve_device, resolve_precision

    options = base if base is not None else preset(given.preset or "natural")
    if base is not None and given.preset is not None:
        chosen = preset(given.preset)
        options = dataclasses.replace(
            base,
            first=chosen.first,
            second=chosen.second,
            preset=given.preset,
            published_input=chosen.published_input,
        )
    options = dataclasses.replace(
        options, placement=dataclasses.replace(options.placement, **_placement_changes(given))
    )
    columns = {
        name: dict(zip(passes, _numbers(name.replace("_", "-"), getattr(given, name), len(passes)), strict=True))
        for name in ("grad_weight", "style_weight", "content_weight", "hist_weight", "tv_weight", "colour_weight")
    }
    for name in passes:
        changes = _pass_changes(given, name, {option: column[name] for option, column in columns.items()}, options)
        options = options.with_pass(name, dataclasses.replace(options.of(name), **changes))
    changes = {name: getattr(given, name) for name in ("init", "seed") if getattr(given, name) is not None}
    if changes.get("init") not in (None, *_STARTS):
        if not Path(changes["init"]).exists():
            hint = suggestion(changes["init"], _STARTS)
            raise InputError(f"--init {changes['init']!r} is neither a start nor a picture that is there; {hint}")
        changes["init"] = str(Path(changes["init"]).absolute())
    if given.device is not None and given.gpu_id is not None:
        raise InputError("give either --device or --gpu-id, not both")
    wanted = f"cuda:{given.gpu_id}" if given.gpu_id is not None else given.device
    if wanted is not None or base is None:
        changes["device"] = resolve_device(wanted or "auto")
    if given.precision != "auto" or base is None:
        changes["precision"] = resolve_precision(given.precision, changes.get("device", options.device))
    return dataclasses.replace(options, **changes)


def _pass_changes(
    given: SimpleNamespace, name: PassName, weights: dict[str, float | None], options: Options
) -> dict[str, Any]:
    """What the command line changes in one pass's options."""
    import dataclasses

    first = name == "first_pass"
    current = options.of(name)
    changes: dict[str, Any] = {}
    fields = {
        "grad_weight": "gradient",
        "style_weight": "style",
        "content_weight": "content",
        "hist_weight": "histogram",
        "tv_weight": "tv",
    }
    new = {field: value for option, field in fields.items() if (value := weights[option]) is not None}
    if not first:
        new.pop("gradient", None)
    if new:
        changes["weights"] = dataclasses.replace(current.weights, **new)
    if weights["colour_weight"] is not None:
        changes["colour"] = weights["colour_weight"]
    steps = given.first_steps if first else given.second_steps
    if steps is None:
        steps = given.num_steps
    if steps is not None:
        changes["steps"] = steps
    for option in (
        *("levels", "tolerance", "history", "smoothing", "content_layer", "style_from", "statistics", "palette"),
        *(() if first else ("grain",)),
    ):
        if getattr(given, option) is not None:
            changes[option] = getattr(given, option)
    if given.style_layers is not None:
        changes["style_layers"] = tuple(part.strip() for part in given.style_layers.split(",") if part.strip())
    for option, choices in (
        ("style_from", ("whole", "surroundings", "similar")),
        ("statistics", ("gram", "covariance")),
    ):
        if option in changes:
            require_one_of(f"--{option.replace('_', '-')}", changes[option], choices)
    if given.backbone != "auto":
        changes["backbone"] = given.backbone
        if given.backbone != current.backbone:
            # The preset's layers are those of its own backbone.
            changes.setdefault("style_layers", None)
            changes.setdefault("content_layer", None)
    if first and given.membrane is not None:
        require_one_of("--membrane", given.membrane, ("auto", "full", "edges"))
        changes["membrane"] = given.membrane
    if not first:
        if given.canvas is not None:
            changes["region"] = "canvas" if given.canvas else "mask"
        if given.reproduce_zero_content:
            if (given.preset or options.preset) != "wacv2020":
                raise InputError("--reproduce-zero-content goes with --preset wacv2020 only")
            changes["zero_content"] = True
    if current.objective == "published":
        for option in _RELATIVE:
            if getattr(given, option) is not None:
                raise InputError(
                    f"--{option.replace('_', '-')} has no effect on the published losses; leave it out, "
                    "or take --preset natural"
                )
    return changes


def _passes(given: SimpleNamespace, passes: tuple[PassName, ...]) -> None:
    """Begin a new run, or go on with one, and do its passes."""
    if given.resume:
        if given.output_dir is None:
            raise InputError("--resume needs --output-dir, the run to continue")
        _resume(given, passes)
        return
    title = _demo_unless_given(given)
    save_video = _flag("--save-video", given.save_video)
    options = resolve_options(given, passes)
    console = _console(given.quiet)
    decisions: list[str] = []

    def say(message: str) -> None:
        decisions.append(message)
        console.print(message, highlight=False, soft_wrap=True)

    from deep_image_blending import pipeline
    from deep_image_blending.runs import RunDirectory, require_free

    if given.output_dir is not None:
        require_free(given.output_dir, force=given.force)
    inputs, scene, options, loaded, init_picture, thrifty = _ready(options, passes, given, say, console)
    if given.dry_run:
        return
    output = given.output_dir or _free_folder(
        title or f"{Path(given.source_file).stem}-{Path(given.target_file).stem}"
    )
    with RunDirectory.create(output, force=given.force) as run:
        pipeline.begin_run(run, inputs, scene, options, decisions)
        _execute(run, scene, options, loaded, passes, given, console, thrifty, init_picture=init_picture)
        if save_video:
            _save_video(run, given, console)


class _Ready(NamedTuple):
    """What a new run starts from."""

    inputs: pipeline.Inputs
    scene: Scene
    options: Options
    loaded: Any
    init_picture: Any
    thrifty: bool


def _ready(
    options: Options,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    say: Callable[[str], None],
    console: Console,
) -> _Ready:
    """Read the pictures, load the backbones and settle what options and memory leave open."""
    from deep_image_blending import pipeline

    inputs = pipeline.read_inputs(given.source_file, given.mask_file, given.target_file, given.max_pixels)
    scene = pipeline.scene_of(inputs, options, say)
    init_picture = _init_picture(options, scene.canvas)
    _threads(given.threads)
    options, loaded = _load(options, passes, given, say, console)
    options = pipeline.with_membrane(options, scene, say)
    thrifty = _fitting(scene, options, loaded, passes, given, say)
    return _Ready(inputs, scene, options, loaded, init_picture, thrifty)


def _demo_unless_given(given: SimpleNamespace) -> str | None:
    """Without any picture, a bundled demo's, and its name. Raises InputError where one is missing."""
    title = None
    pictures = [name for name in ("source_file", "mask_file", "target_file") if getattr(given, name) is not None]
    if given.demo is not None and pictures:
        raise InputError(f"give either --demo or --{pictures[0].replace('_', '-')}, not both")
    if not pictures:
        from deep_image_blending.demo import DEFAULT, demo_named

        demo = demo_named(given.demo or DEFAULT)
        title = demo.name
        if given.ts is not None and given.ts > 0:
            demo = demo.scaled(given.ts)
        given.source_file, given.mask_file, given.target_file = demo.source, demo.mask, demo.target
        for name in ("ss", "ts", "x", "y"):
            if getattr(given, name) is None:
                setattr(given, name, getattr(demo, name))
    for name in ("source_file", "target_file"):
        if getattr(given, name) is None:
            raise InputError(f"--{name.replace('_', '-')} is missing; give the picture's path")
    return title


def _placement_changes(given: SimpleNamespace) -> dict[str, Any]:
    """The placement's fields that the command line sets."""
    placement = {name: getattr(given, name) for name in _PLACING if getattr(given, name) is not None}
    return {**placement, "fit_mask": True} if given.fit_mask else placement


def _placed_scene(given: SimpleNamespace, placement: Placement) -> Scene:
    """The scene of the pictures that the command line names, without torch."""
    from deep_image_blending.images import load_mask, load_picture
    from deep_image_blending.scene import compose_scene

    for name in ("source_file", "target_file"):
        if getattr(given, name) is None:
            raise InputError(f"--{name.replace('_', '-')} is missing; give the picture's path")
    limit = {} if given.max_pixels is None else {"max_pixels": given.max_pixels}
    mask = None if given.mask_file is None else load_mask(given.mask_file, **limit)
    source, target = load_picture(given.source_file, **limit), load_picture(given.target_file, **limit)
    return compose_scene(source, mask, target, placement)


def _resume(given: SimpleNamespace, passes: tuple[PassName, ...]) -> None:
    from deep_image_blending import pipeline
    from deep_image_blending.config import Options
    from deep_image_blending.runs import RunDirectory

    console = _console(given.quiet)
    save_video = _flag("--save-video", given.save_video)
    with RunDirectory.open(given.output_dir) as run:
        stored = Options.from_json(run.manifest.get("options", {}))
        asked = resolve_options(given, passes, stored)
        _refuse_changes(stored, asked, run.path)
        inputs = pipeline.inputs_of(run)
        for name in ("source", "mask", "target"):
            path = getattr(given, f"{name}_file")
            known = run.manifest["inputs"].get(name, {}).get("path")
            if path is not None and str(path.absolute()) != known:
                raise InputError(f"run '{run.path}' was made of '{known}', not of '{path}'; start a new run")
        say = _sayer(console)
        scene = pipeline.scene_of(inputs, stored, say)
        _threads(given.threads)
        options, loaded = _load(stored, passes, given, say, console)
        done = {name for name, entry in run.manifest.get("passes", {}).items() if entry.get("status") == "done"}
        left = tuple(name for name in passes if name not in done)
        if not left:
            console.print(f"'{run.path}' is finished; nothing to continue", highlight=False, soft_wrap=True)
        # A pass goes on the way it was begun, so that it ends with the same picture, bit for bit.
        begun = {run.manifest.get("passes", {}).get(name, {}).get("memory") for name in left}
        if given.memory == "auto" and "thrifty" in begun:
            given.memory = "thrifty"
        thrifty = _fitting(scene, options, loaded, left, given, say) if left else False
        if given.dry_run:
            return
        _execute(
            run,
            scene,
            options,
            loaded,
            left,
            given,
            console,
            thrifty,
            init_picture=_init_picture(options, scene.canvas),
            resume=True,
        )
        if save_video:
            _save_video(run, given, console)


def _again(path: Path, given: SimpleNamespace) -> None:
    """The second pass of a saved run, once more."""
    from deep_image_blending import pipeline
    from deep_image_blending.config import Options
    from deep_image_blending.runs import RunDirectory

    console = _console(given.quiet)
    say = _sayer(console)
    if given.resume:
        given.output_dir = path
        _resume(given, ("second_pass",))
        return
    with RunDirectory.open(path) as run:
        stored = Options.from_json(run.manifest.get("options", {}))
        options = resolve_options(given, ("second_pass",), stored)
        if options.placement != stored.placement:
            raise InputError(f"the first pass of '{path}' has another placement; start a new run to change it")
        inputs = pipeline.inputs_of(run)
        scene = pipeline.scene_of(inputs, options, say)
        first = pipeline.saved_first_pass(run, scene)
        _threads(given.threads)
        options, loaded = _load(options, ("second_pass",), given, say, console)
        thrifty = _fitting(scene, options, loaded, ("second_pass",), given, say)
        if given.dry_run:
            return
        kept = run.keep_previous("second_pass")
        if kept is not None:
            say(f"the earlier second pass is kept as {kept.name}")
        _execute(run, scene, options, loaded, ("second_pass",), given, console, thrifty, first=first)
        if _flag("--save-video", given.save_video):
            _save_video(run, given, console)


def _second_from_file(given: SimpleNamespace) -> None:
    """The second pass on any saved picture."""
    from deep_image_blending import pipeline
    from deep_image_blending.images import write_picture
    from deep_image_blending.runs import RunDirectory

    if given.target_file is None:
        raise InputError("--first-pass-file needs --target-file, the picture that it was blended into")
    options = resolve_options(given, ("second_pass",))
    console = _console(given.quiet)
    say = _sayer(console)
    inputs, scene, options = pipeline.scene_from_first_pass(
        given.first_pass_file, given.mask_file, given.target_file, options, say, given.max_pixels
    )
    first = scene.source_canvas()
    _threads(given.threads)
    options, loaded = _load(options, ("second_pass",), given, say, console)
    thrifty = _fitting(scene, options, loaded, ("second_pass",), given, say)
    if given.dry_run:
        return
    output = given.output_dir or _free_folder(f"{Path(given.first_pass_file).stem}-second")
    with RunDirectory.create(output, force=given.force) as run:
        pipeline.begin_run(run, inputs, scene, options, ())
        write_picture(run.picture_path("first_pass"), inputs.source.pixels, like=scene.target)
        run.update_pass("first_pass", status="done", ended="given", file=str(given.first_pass_file))
        _execute(run, scene, options, loaded, ("second_pass",), given, console, thrifty, first=first)
        if _flag("--save-video", given.save_video):
            _save_video(run, given, console)


def _load(
    options: Options,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    say: Callable[[str], None],
    console: Console,
) -> tuple[Options, Any]:
    from deep_image_blending import pipeline
    from deep_image_blending.download import fetch
    from deep_image_blending.progress import download_bar

    def download(url: str, path: Path) -> None:
        say(f"downloading {path.name}")
        with download_bar(console, _style(given, console), path.name) as update:
            fetch(url, path, update)

    options, loaded = pipeline.load_backbones(
        options,
        passes,
        asked=given.backbone,
        weights=given.weights,
        download=download,
        say=say,
        planning=given.dry_run,
    )
    names = {backbone.network.name: backbone.source for backbone in loaded.values()}
    for name, source in names.items():
        say(f"backbone {name} ({source}) on {options.device}, {options.precision}")
    return options, loaded


def _fitting(
    scene: Scene,
    options: Options,
    loaded: Any,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    say: Callable[[str], None],
) -> bool:
    """Whether the passes are to go the thrifty way. Raises InputError where they don't fit the memory at hand.

    With --dry-run the plan is printed, on standard output.
    """
    from deep_image_blending.passes import require_room
    from deep_image_blending.plan import WAYS, decide

    require_one_of("--memory", given.memory, ("auto", *WAYS))
    for name in passes:
        require_room(scene, options.of(name), loaded[name].network)
    limit = None if given.max_memory is None else round(given.max_memory * 2**30)
    decision = decide(scene, options, loaded, passes, wanted=given.memory, limit=limit)
    if decision.said is not None:
        say(decision.said)
    if given.dry_run:
        _print_plan(decision, options, loaded)
    return decision.plan.way == "thrifty"


def _print_plan(decision: Decision, options: Options, loaded: Any) -> None:
    from rich.table import Table

    from deep_image_blending.plan import rows

    table = Table("", *(one.name.replace("_", " ") for one in decision.plan.passes), title_justify="left")
    table.title = "What would be done; nothing was written"
    for label, *values in rows(decision, options, loaded):
        table.add_row(label, *values)
    _console(False, stderr=False).print(table)


def _execute(
    run: RunDirectory,
    scene: Any,
    options: Options,
    loaded: Any,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    console: Console,
    thrifty: bool,
    *,
    init_picture: Any = None,
    first: Any = None,
    resume: bool = False,
) -> None:
    from deep_image_blending import pipeline
    from deep_image_blending.progress import summary, watcher

    lines: dict[str, str] = {}
    try:
        for name in passes:
            title = name.replace("_", " ")
            with _interruptible() as asked_to_stop:
                try:
                    with watcher(console, _style(given, console), title.capitalize()) as watch:
                        result = pipeline.execute(
                            run,
                            scene,
                            options,
                            loaded,
                            name,
                            init_picture=init_picture,
                            first=first,
                            observers=(watch,),
                            resume=resume,
                            checkpoint_every=given.checkpoint_every,
                            interrupted=asked_to_stop,
                            phase=watch.phase,
                            thrifty=thrifty,
                        )
                except pipeline.Interrupted:
                    raise Stopped(
                        f"stopped, checkpoint written; continue with: {_continuing(run.path, passes, given)}"
                    ) from None
                if name == "first_pass":
                    # The next pass need not read the file.
                    first = result.seen()
                if asked_to_stop() and name != passes[-1]:
                    raise Stopped(
                        f"stopped after the {title}; continue with: {_continuing(run.path, passes, given)}"
                    )
            changes = "  ".join(
                f"{term} {value:.4g} → {result.last.get(term, value):.4g}" for term, value in result.first.items()
            )
            ended = "" if result.status == "budget" else f" ({result.status} early)"
            lines[title] = f"{run.picture_path(name)}"
            lines[f"  {title} losses"] = (
                f"{changes}  in {result.evaluations} evaluations{ended}, {result.seconds:.1f} s"
            )
    except KeyboardInterrupt:
        raise Stopped(f"stopped at once; continue with: {_continuing(run.path, passes, given)}") from None
    if lines:
        lines["paste"] = str(run.path / "composite.png")
        lines["run"] = str(run.path)
    summary(console, lines)


def _continuing(path: Path, passes: tuple[PassName, ...], given: SimpleNamespace) -> str:
    """The command that continues a run."""
    verb = "run" if len(passes) > 1 else passes[0].replace("_", "-")
    quoted = str(path).replace("'", "'\"'\"'")
    words = [f"blend {verb} --output-dir '{quoted}' --resume"]
    for name in ("weights", "threads", "max_pixels"):
        if getattr(given, name) is not None:
            words.append(f"--{name.replace('_', '-')} {shlex.quote(str(getattr(given, name)))}")
    return " ".join(words)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """SIGINT or SIGTERM asks the pass to stop at the next evaluation.

    Before the pass has first asked whether to, when it has nothing to save, and at a second signal, it stops at
    once by KeyboardInterrupt.
    """
    polled = asked = False

    def poll() -> bool:
        nonlocal polled
        polled = True
        return asked

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not polled:
            raise KeyboardInterrupt
        asked = True

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield poll
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _refuse_changes(stored: Options, asked: Options, path: Path) -> None:
    """Raise InputError that shows the first difference."""

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix.rstrip("."): value}
        return {key: item for name, part in value.items() for key, item in flat(part, f"{prefix}{name}.").items()}

    before, after = flat(stored.to_json()), flat(asked.to_json())
    changed = [key for key in before if before[key] != after.get(key)]
    if changed:
        shown = "; ".join(f"{key} was {before[key]!r}, now {after.get(key)!r}" for key in changed)
        raise InputError(f"run '{path}' can't be continued with other options: {shown}")


def _init_picture(options: Options, canvas: tuple[int, int]) -> Any:
    if options.init in ("noise", "paste", "poisson"):
        return None
    from deep_image_blending.images import load_picture
    from deep_image_blending.scene import as_float

    path = Path(options.init)
    picture = as_float(load_picture(path).pixels)
    if picture.shape[:2] != canvas:
        raise InputError(
            f"--init '{path}' is {picture.shape[1]}x{picture.shape[0]} but the canvas is {canvas[1]}x{canvas[0]}: "
            "give an image of the canvas's size"
        )
    return picture


def _save_video(run: RunDirectory, given: SimpleNamespace, console: Console) -> None:
    from deep_image_blending.progress import steps_bar
    from deep_image_blending.video import make_video as encode

    with steps_bar(console, _style(given, console), "frame") as progress:
        path, frames = encode(run, progress=progress)
    console.print(f"{path}: {frames} frames", highlight=False, soft_wrap=True)


def _free_folder(name: str) -> Path:
    path, number = Path("results") / name, 2
    while path.exists():
        path, number = Path("results") / f"{name}-{number}", number + 1
    return path


def _flag(option: str, text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise InputError(f"{option} {text!r}: give True or False")


def _style(given: SimpleNamespace, console: Console) -> Any:
    if given.quiet:
        return "quiet"
    return "live" if console.is_terminal and not given.plain else "plain"


def _sayer(console: Console) -> Callable[[str], None]:
    return lambda message: console.print(message, highlight=False, soft_wrap=True)


def _threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)


if __name__ == "__main__":
    main()
