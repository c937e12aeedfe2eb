"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deep_image_blending import __version__
from deep_image_blending.cli.arguments import (
    BOTH,
    COMMON,
    DEFAULTS,
    FIRST,
    HOW,
    LOSSES,
    METHOD,
    NO,
    OPTIONS,
    OUTPUT,
    PICTURES,
    PLACING,
    SECOND,
    SHEET,
    VIDEO,
    YES,
    placement_changes,
    resolve_options,
)
from deep_image_blending.cli.session import (
    console_for,
    demo_unless_given,
    do_passes,
    interruptible,
    placed_scene,
    prepared,
    sayer,
    second_from_file,
    second_pass_again,
    style_of,
)
from deep_image_blending.errors import (
    BlendError,
    InputError,
    Stopped,
    is_out_of_memory,
    suggestion,
)

if TYPE_CHECKING:
    from deep_image_blending.options.options import Options


app = typer.Typer(
    name="blend",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Put an object from one picture into another so that nobody sees it was ever elsewhere.",
    epilog="Try it:  [bold]blend run[/bold]  blends the bundled demo.",
)


def _command(*options: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes `options` of the table, besides its own arguments, as one namespace."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "given"]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=OPTIONS[name],
                default=DEFAULTS.get(name),
            )
            for name in sorted(options, key=list(OPTIONS).index)
        ]

        def call(**values: Any) -> None:
            rest = {p.name: values.pop(p.name) for p in own}
            given = SimpleNamespace(**{**dict.fromkeys(OPTIONS), **DEFAULTS, **values})
            function(**rest, given=given)

        kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        call.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
        call.__doc__ = function.__doc__
        app.command(**settings)(call)
        return function

    return decorate


def _run(given: SimpleNamespace) -> None:
    """Both passes, from pictures to a finished blend. Without options: the bundled demo.

    Example:  blend run --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """
    do_passes(given, ("first_pass", "second_pass"))


_command(*BOTH, name="run", rich_help_panel="Blend")(_run)
_command(*BOTH, name="blend", hidden=True)(_run)


@_command(
    *PICTURES,
    "demo",
    *PLACING,
    *HOW,
    *LOSSES,
    *COMMON,
    *FIRST,
    "hist_weight",
    name="first-pass",
    rich_help_panel="Blend",
)
def _first(given: SimpleNamespace) -> None:
    """The first pass alone: a seamless boundary.

    Example:  blend first-pass --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg
    """
    do_passes(given, ("first_pass",))


@_command(
    *PICTURES,
    "first_pass_file",
    *PLACING,
    *HOW,
    *LOSSES,
    *COMMON,
    *SECOND,
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
        second_pass_again(run, given)
    else:
        second_from_file(given)


@_command(*PICTURES, "demo", *PLACING, "quiet", name="preview", rich_help_panel="Look")
def _preview(
    output_file: Annotated[Path, typer.Option(help="Picture to write.", rich_help_panel=OUTPUT)] = Path(
        "preview.png"
    ),
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="Show it in the terminal, too. Default: where that is possible.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    *,
    given: SimpleNamespace,
) -> None:
    """The placement at once: the paste, the region that will be optimised, and the Poisson solution, side by side.

    Terminals that show pictures (kitty, Ghostty, Konsole, iTerm2, WezTerm, mintty) show it as well.

    Example:  blend preview --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """
    from deep_image_blending.cli.terminal import show as show_picture
    from deep_image_blending.pictures.images import check_writable, write_picture
    from deep_image_blending.pictures.placement import Placement
    from deep_image_blending.views.preview import describe, preview

    check_writable(output_file)
    demo_unless_given(given)
    scene = placed_scene(given, Placement(**placement_changes(given)))
    console = console_for(given.quiet)
    sheet = preview(scene)
    if not given.quiet:
        show_picture(sheet, sys.stderr, os.environ, console.width, asked=show)
    write_picture(output_file, sheet)
    for line in (*describe(scene), str(output_file)):
        console.print(line, highlight=False, soft_wrap=True)


@app.command("compare", rich_help_panel="Look")
def _compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    output_file: Annotated[Path, typer.Option(help="Picture to write.", rich_help_panel=OUTPUT)] = Path(
        "comparison.png"
    ),
    crop: Annotated[bool, typer.Option(help="Show the object alone.", rich_help_panel=SHEET)] = False,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=SHEET)] = None,
) -> None:
    """A labelled contact sheet of the pictures of one run or several.

    Example:  blend compare results/cat results/cat-2 --crop
    """
    from deep_image_blending.pictures.images import check_writable, write_picture
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.views.contact_sheet import comparison

    check_writable(output_file)
    opened = [RunDirectory.open(path, write=False) for path in runs]
    sheet = comparison(opened, crop=crop, columns=columns)
    write_picture(output_file, sheet)
    console_for(False).print(str(output_file), highlight=False, soft_wrap=True)


@_command(
    *(name for name in BOTH if name not in ("dry_run", "save_video", "resume", "checkpoint_every")),
    name="ablation",
    rich_help_panel="Look",
)
def _ablation(
    output_file: Annotated[Path, typer.Option(help="Sheet to write.", rich_help_panel=OUTPUT)] = Path(
        "ablation.png"
    ),
    crop: Annotated[bool, typer.Option(help="Show the object alone.", rich_help_panel=SHEET)] = False,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=SHEET)] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The measures as JSON in place of a table.", rich_help_panel=OUTPUT)
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

    from deep_image_blending.cli.progress import study_bar
    from deep_image_blending.pictures.images import check_writable, write_picture
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import require_free
    from deep_image_blending.views import ablation

    check_writable(output_file)
    demo_unless_given(given)
    options = resolve_options(given, pipeline.PASSES)
    if given.output_dir is not None:
        for variant in ablation.variants(options):
            require_free(given.output_dir / variant.folder, force=given.force)
    console = console_for(given.quiet)
    say = sayer(console)
    subject = ablation.Subject(*prepared(options, pipeline.PASSES, given, say, console))
    with contextlib.ExitStack() as stack:
        folder = given.output_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tell = stack.enter_context(study_bar(console, style_of(given, console)))
        asked_to_stop = stack.enter_context(interruptible())
        try:
            rows = list(ablation.study(subject, folder, force=given.force, tell=tell, interrupted=asked_to_stop))
        except (pipeline.Interrupted, KeyboardInterrupt):
            kept = f"; what is finished is in '{given.output_dir}'" if given.output_dir is not None else ""
            raise Stopped(f"stopped{kept}") from None
    write_picture(output_file, ablation.sheet(subject.scene, rows, crop=crop, columns=columns))
    _print_measures({row.label: row.measures for row in rows}, json)
    console.print(str(output_file), highlight=False, soft_wrap=True)


@_command(*PICTURES, *PLACING, "weights", "quiet", name="evaluate", rich_help_panel="Look")
def _evaluate(
    paths: Annotated[
        list[Path], typer.Argument(help="Run directories, or blended pictures with the options below.")
    ],
    json: Annotated[
        bool, typer.Option("--json", help="JSON in place of a table.", rich_help_panel=OUTPUT)
    ] = False,
    features: Annotated[
        str, typer.Option(help="Backbone that measures style and content, or none.", rich_help_panel=METHOD)
    ] = "embedded",
    *,
    given: SimpleNamespace,
) -> None:
    """Quality without ground truth: seam, colour bleed, contrast, style and more, of runs or pictures.

    Example:  blend evaluate results/cat results/cat-2 --json
    """
    from deep_image_blending.cli.progress import stage
    from deep_image_blending.measures import evaluate_scene
    from deep_image_blending.options.options import Options
    from deep_image_blending.pictures.images import load_picture
    from deep_image_blending.pictures.placement import Placement
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.views.names import distinct_names

    found: dict[str, dict[str, float]] = {}
    console = console_for(given.quiet)
    for path, label in zip(paths, distinct_names(paths), strict=True):
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
            scene, picture = placed_scene(given, Placement(**placement_changes(given))), path
        pixels = load_picture(picture).pixels
        if pixels.shape[:2] != scene.canvas:
            raise InputError(f"'{picture}' has not the size of its canvas, {scene.canvas[1]}x{scene.canvas[0]}")
        backbone = None if features == "none" else features
        with stage(console, style_of(given, console), f"measuring {path}"):
            found[str(path) if json else label] = evaluate_scene(
                scene, pixels, backbone=backbone, weights=given.weights
            )
    _print_measures(found, json)


_WIDE = 130
"""Columns of text that a row of every measure takes; a narrower terminal breaks the lines."""


def _print_measures(found: Mapping[str, Mapping[str, float]], json: bool) -> None:
    """Measures by picture, on standard output: a row for each measure, or, of many pictures, for each picture."""
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, indent=2))
        return
    from rich.table import Column, Table

    from deep_image_blending.measures import MEASURES

    def values(name: str) -> list[str]:
        return [f"{measures[name]:.4g}" if name in measures else "" for measures in found.values()]

    if len(found) <= 4:
        table = Table("measure", *(Column(name, overflow="fold") for name in found), "better", "meaning")
        for name, measure in MEASURES.items():
            table.add_row(name, *values(name), measure.better, measure.said)
    else:
        # The best of many is found by looking down a column.
        table = Table("", box=None, pad_edge=False)
        for name, measure in MEASURES.items():
            table.add_column(f"{name.replace('_', chr(10))}\n{measure.better}", justify="right", no_wrap=True)
        for label, *row in zip(found, *(values(name) for name in MEASURES), strict=True):
            table.add_row(label, *row)
    console = console_for(False, stderr=False)
    if len(found) > 4:
        console.width = max(console.width, _WIDE)
    console.print(table, soft_wrap=True)


@app.command("report", rich_help_panel="Look")
def _report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, shown side by side.")],
    output_file: Annotated[
        Path | None,
        typer.Option(help="Page to write (default: report.html in the first run).", rich_help_panel=OUTPUT),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print errors alone.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """One self-contained HTML page: pictures with a wipe, palettes, measures, loss curves, every option.

    Example:  blend report results/cat results/cat-2 --output-file cats.html
    """
    from deep_image_blending.cli.progress import steps_bar
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.views.report import write_report

    path = output_file or runs[0] / "report.html"
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")
    opened, console = [RunDirectory.open(run, write=False) for run in runs], console_for(quiet)
    with steps_bar(console, style_of(SimpleNamespace(quiet=quiet, plain=False), console), "run") as progress:
        write_report(opened, path, progress)
    console.print(str(path), highlight=False, soft_wrap=True)


@app.command("doctor", rich_help_panel="Set up")
def _doctor(
    json: Annotated[bool, typer.Option("--json", help="JSON in place of lines.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Devices, versions, cached weights, ffmpeg, and what is missing.

    Example:  blend doctor --json
    """
    import json as encoder

    from deep_image_blending.cli.findings import findings

    found = findings()
    if json:
        entries = [{"name": one.name, "found": one.found, "fine": one.fine, "remedy": one.remedy} for one in found]
        typer.echo(encoder.dumps({"fine": all(one.fine for one in found), "findings": entries}, indent=2))
    else:
        console = console_for(False, stderr=False)
        for one in found:
            remedy = f"; {one.remedy}" if one.remedy else ""
            line = f"{'ok     ' if one.fine else 'MISSING'}  {one.name:<22}  {one.found}{remedy}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not all(one.fine for one in found):
        raise typer.Exit(1)


@app.command("make-video", rich_help_panel="Look")
def make_video(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    fps: Annotated[float, typer.Option(min=0.1, max=240, help="Frames per second.", rich_help_panel=VIDEO)] = 12.0,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=600,
            help="How long the passes take, between the stills at either end.",
            rich_help_panel=VIDEO,
        ),
    ] = 6.0,
    layout: Annotated[
        str,
        typer.Option(
            help="blend, side-by-side (paste | blend), curve (losses below) or side-by-side-curve.",
            rich_help_panel=VIDEO,
        ),
    ] = "blend",
    format: Annotated[
        str | None,
        typer.Option(help="mp4, gif or webp. Default: as --output-file says, else mp4.", rich_help_panel=VIDEO),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option(help="Default: blend.FORMAT in the run.", rich_help_panel=OUTPUT)
    ] = None,
    plain: Annotated[bool, typer.Option(help="Plain lines in place of a bar.", rich_help_panel=OUTPUT)] = False,
    quiet: Annotated[bool, typer.Option(help="Print errors alone.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """A video of what the passes saved, long after the run, at equal perceived change.

    Example:  blend make-video results/cat --fps 15 --layout side-by-side --format gif
    """
    from deep_image_blending.cli.progress import steps_bar
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.views.video import VideoOptions
    from deep_image_blending.views.video import make_video as encode

    console = console_for(quiet)
    options = VideoOptions(fps=fps, seconds=seconds, layout=layout, format=format, output=output_file)
    with (
        RunDirectory.open(run, write=False) as opened,
        steps_bar(console, style_of(SimpleNamespace(quiet=quiet, plain=plain), console), "frame") as progress,
    ):
        path, frames = encode(opened, options, progress)
    console.print(f"{path}: {frames} frames at {fps:g} a second", highlight=False, soft_wrap=True)


@app.command("presets", rich_help_panel="Set up")
def presets() -> None:
    """The presets and what they set, as a table.

    Example:  blend presets
    """
    from rich.table import Table

    from deep_image_blending.options.options import PRESETS

    table = Table(title="Presets", title_justify="left")
    table.add_column("")
    rows: dict[str, list[str]] = {}
    for name, options in PRESETS.items():
        table.add_column(name, overflow="fold")
        for label, value in _preset_rows(options):
            rows.setdefault(label, []).append(value)
    for label, values in rows.items():
        table.add_row(label, *values, end_section=label in ("start", "1: tolerance"))
    console_for(False, stderr=False).print(table)


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
            if following not in YES | NO:
                result.append("True")
    return result


if __name__ == "__main__":
    main()
