"""What the commands that blend do: read, settle what is open, check the memory, run the passes, continue a run."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from deep_image_blending.cli.arguments import flag, refuse_changes, resolve_options
from deep_image_blending.errors import InputError, Stopped, require_one_of

if TYPE_CHECKING:
    from rich.console import Console

    from deep_image_blending.options.options import Options, PassName
    from deep_image_blending.pictures.placement import Placement
    from deep_image_blending.pictures.scene import Scene
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.runs.plan import Decision


def console_for(quiet: bool, stderr: bool = True) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet)


def do_passes(given: SimpleNamespace, passes: tuple[PassName, ...]) -> None:
    """Begin a new run, or go on with one, and do its passes."""
    if given.resume:
        if given.output_dir is None:
            raise InputError("--resume needs --output-dir, the run to continue")
        _resume(given, passes)
        return
    title = demo_unless_given(given)
    save_video = flag("--save-video", given.save_video)
    options = resolve_options(given, passes)
    console = console_for(given.quiet)
    decisions: list[str] = []

    def say(message: str) -> None:
        decisions.append(message)
        console.print(message, highlight=False, soft_wrap=True)

    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory, require_free

    if given.output_dir is not None:
        require_free(given.output_dir, force=given.force)
    inputs, scene, options, loaded, init_picture, thrifty = prepared(options, passes, given, say, console)
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


def prepared(
    options: Options,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    say: Callable[[str], None],
    console: Console,
) -> _Ready:
    """Read the pictures, load the backbones and settle what options and memory leave open."""
    from deep_image_blending.runs import execution as pipeline

    inputs = pipeline.read_inputs(given.source_file, given.mask_file, given.target_file, given.max_pixels)
    scene = pipeline.scene_of(inputs, options, say)
    init_picture = _init_picture(options, scene.canvas)
    _threads(given.threads)
    options, loaded = _load(options, passes, given, say, console)
    options = pipeline.with_membrane(options, scene, say)
    thrifty = _fitting(scene, options, loaded, passes, given, say)
    return _Ready(inputs, scene, options, loaded, init_picture, thrifty)


def demo_unless_given(given: SimpleNamespace) -> str | None:
    """Without any picture, a bundled demo's, and its name. Raises InputError where one is missing."""
    title = None
    pictures = [name for name in ("source_file", "mask_file", "target_file") if getattr(given, name) is not None]
    if given.demo is not None and pictures:
        raise InputError(f"give either --demo or --{pictures[0].replace('_', '-')}, not both")
    if not pictures:
        from deep_image_blending.pictures.demo import DEFAULT, demo_named

        demo = demo_named(given.demo or DEFAULT)
        title = demo.name
        if given.ts is not None and given.ts > 0:
            demo = demo.scaled(given.ts)
        given.source_file, given.mask_file, given.target_file = demo.source, demo.mask, demo.target
        for name in ("ss", "ts", "x", "y"):
            if getattr(given, name) is None:
                setattr(given, name, getattr(demo, name))
    _require_pictures(given)
    return title


def _require_pictures(given: SimpleNamespace) -> None:
    for name in ("source_file", "target_file"):
        if getattr(given, name) is None:
            raise InputError(f"--{name.replace('_', '-')} is missing; give the picture's path")


def placed_scene(given: SimpleNamespace, placement: Placement) -> Scene:
    """The scene of the pictures that the command line names, without torch."""
    from deep_image_blending.pictures import load_mask, load_picture
    from deep_image_blending.pictures.scene import compose_scene

    _require_pictures(given)
    limit = {} if given.max_pixels is None else {"max_pixels": given.max_pixels}
    mask = None if given.mask_file is None else load_mask(given.mask_file, **limit)
    source, target = load_picture(given.source_file, **limit), load_picture(given.target_file, **limit)
    return compose_scene(source, mask, target, placement)


def _resume(given: SimpleNamespace, passes: tuple[PassName, ...]) -> None:
    from deep_image_blending.options.options import Options
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory

    console = console_for(given.quiet)
    save_video = flag("--save-video", given.save_video)
    with RunDirectory.open(given.output_dir) as run:
        stored = Options.from_json(run.manifest.get("options", {}))
        asked = resolve_options(given, passes, stored)
        refuse_changes(stored, asked, run.path)
        inputs = pipeline.inputs_of(run)
        for name in ("source", "mask", "target"):
            path = getattr(given, f"{name}_file")
            known = run.manifest["inputs"].get(name, {}).get("path")
            if path is not None and str(path.absolute()) != known:
                raise InputError(f"run '{run.path}' was made of '{known}', not of '{path}'; start a new run")
        say = sayer(console)
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


def second_pass_again(path: Path, given: SimpleNamespace) -> None:
    """The second pass of a saved run, once more."""
    from deep_image_blending.options.options import Options
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory

    console = console_for(given.quiet)
    say = sayer(console)
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
        if flag("--save-video", given.save_video):
            _save_video(run, given, console)


def second_from_file(given: SimpleNamespace) -> None:
    """The second pass on any saved picture."""
    from deep_image_blending.pictures import write_picture
    from deep_image_blending.runs import execution as pipeline
    from deep_image_blending.runs.directory import RunDirectory

    if given.target_file is None:
        raise InputError("--first-pass-file needs --target-file, the picture that it was blended into")
    options = resolve_options(given, ("second_pass",))
    console = console_for(given.quiet)
    say = sayer(console)
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
        if flag("--save-video", given.save_video):
            _save_video(run, given, console)


def _load(
    options: Options,
    passes: tuple[PassName, ...],
    given: SimpleNamespace,
    say: Callable[[str], None],
    console: Console,
) -> tuple[Options, Any]:
    from deep_image_blending.cli.progress import download_bar
    from deep_image_blending.networks.download import fetch
    from deep_image_blending.runs import execution as pipeline

    def download(url: str, path: Path) -> None:
        say(f"downloading {path.name}")
        with download_bar(console, style_of(given, console), path.name) as update:
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
    from deep_image_blending.passes.levels import require_room
    from deep_image_blending.runs.plan import WAYS, decide

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

    from deep_image_blending.runs.plan import rows

    table = Table("", *(one.name.replace("_", " ") for one in decision.plan.passes), title_justify="left")
    table.title = "What would be done; nothing was written"
    for label, *values in rows(decision, options, loaded):
        table.add_row(label, *values)
    console_for(False, stderr=False).print(table)


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
    from deep_image_blending.cli.progress import summary, watcher
    from deep_image_blending.runs import execution as pipeline

    lines: dict[str, str] = {}
    try:
        for name in passes:
            title = name.replace("_", " ")
            with interruptible() as asked_to_stop:
                try:
                    with watcher(console, style_of(given, console), title.capitalize()) as watch:
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
def interruptible() -> Iterator[Callable[[], bool]]:
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


def _init_picture(options: Options, canvas: tuple[int, int]) -> Any:
    if options.init in ("noise", "paste", "poisson"):
        return None
    from deep_image_blending.pictures import as_float, load_picture

    path = Path(options.init)
    picture = as_float(load_picture(path).pixels)
    if picture.shape[:2] != canvas:
        raise InputError(
            f"--init '{path}' is {picture.shape[1]}x{picture.shape[0]} but the canvas is {canvas[1]}x{canvas[0]}: "
            "give an image of the canvas's size"
        )
    return picture


def _save_video(run: RunDirectory, given: SimpleNamespace, console: Console) -> None:
    from deep_image_blending.cli.progress import steps_bar
    from deep_image_blending.views.video import make_video as encode

    with steps_bar(console, style_of(given, console), "frame") as progress:
        path, frames = encode(run, progress=progress)
    console.print(f"{path}: {frames} frames", highlight=False, soft_wrap=True)


def _free_folder(name: str) -> Path:
    path, number = Path("results") / name, 2
    while path.exists():
        path, number = Path("results") / f"{name}-{number}", number + 1
    return path


def style_of(given: SimpleNamespace, console: Console) -> Any:
    if given.quiet:
        return "quiet"
    return "live" if console.is_terminal and not given.plain else "plain"


def sayer(console: Console) -> Callable[[str], None]:
    return lambda message: console.print(message, highlight=False, soft_wrap=True)


def _threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)
