"""What the command line takes: every option once, and the run's options that the given ones make."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deep_image_blending.errors import InputError, require_one_of, suggestion

if TYPE_CHECKING:
    from deep_image_blending.options.options import Options, PassName


_INPUT, _PLACE, METHOD, _LOSS, _MACHINE, OUTPUT = (
    "Pictures",
    "Placement",
    "Method",
    "Losses",
    "Machine",
    "Run and output",
)
SHEET, VIDEO = "Sheet", "Video"


def _option(group: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=group, show_default=False, **more)


# Every option once; the commands name the ones that they take. None means: as the preset has it.
OPTIONS: dict[str, Any] = {
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
        _option(METHOD, "natural (default), painterly, wacv2020 or resnet; see `blend presets`.", "--preset"),
    ],
    "backbone": Annotated[
        str,
        _option(
            METHOD,
            "auto, embedded, random, or a network of torchvision's such as vgg16 or resnet50.",
            "--backbone",
        ),
    ],
    "weights": Annotated[
        Path | None, _option(METHOD, "Local state dict for the backbone (.safetensors or .pth).", "--weights")
    ],
    "init": Annotated[str | None, _option(METHOD, "noise, paste, poisson, or an image to start from.", "--init")],
    "num_steps": Annotated[int | None, _option(METHOD, "Evaluations in each pass.", "--num-steps")],
    "first_steps": Annotated[int | None, _option(METHOD, "Evaluations in the first pass.", "--first-steps")],
    "second_steps": Annotated[int | None, _option(METHOD, "Evaluations in the second pass.", "--second-steps")],
    "levels": Annotated[
        int | None, _option(METHOD, "Resolutions, coarse to fine (0: by the object's size).", "--levels", min=0)
    ],
    "tolerance": Annotated[
        float | None,
        _option(METHOD, "End a level when ten evaluations lower the objective by less (relative).", "--tolerance"),
    ],
    "history": Annotated[int | None, _option(METHOD, "Pairs that L-BFGS remembers.", "--history")],
    "canvas": Annotated[
        bool | None,
        _option(METHOD, "Second pass repaints the whole canvas, as published.", "--canvas/--no-canvas"),
    ],
    "smoothing": Annotated[
        bool | None,
        _option(METHOD, "Activation smoothing (SWAG) of ResNet's style features.", "--smoothing/--no-smoothing"),
    ],
    "reproduce_zero_content": Annotated[
        bool,
        _option(
            METHOD,
            "wacv2020: compare the second pass with itself, as the published code does.",
            "--reproduce-zero-content",
        ),
    ],
    "seed": Annotated[int | None, _option(METHOD, "Seed of the noise start.", "--seed", min=0)],
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
            "Weight, inside content, of holding the object's colour: one, or `first,second`.",
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
        _option(
            _LOSS,
            "How much of the target's fine texture the second pass lays on the object to start with.",
            "--grain",
        ),
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
    "output_dir": Annotated[Path | None, _option(OUTPUT, "Run directory.", "--output-dir")],
    "save_video": Annotated[
        str, _option(OUTPUT, "Make a video at the end.", "--save-video", metavar="True|False")
    ],
    "dry_run": Annotated[
        bool,
        _option(OUTPUT, "Print what would be done, in how much memory and time; write nothing.", "--dry-run"),
    ],
    "resume": Annotated[bool, _option(OUTPUT, "Continue the run in --output-dir.", "--resume")],
    "force": Annotated[bool, _option(OUTPUT, "Replace the run in --output-dir.", "--force")],
    "checkpoint_every": Annotated[
        float, _option(OUTPUT, "Seconds between checkpoints.", "--checkpoint-every", min=0)
    ],
    "plain": Annotated[bool, _option(OUTPUT, "Plain lines in place of the live table.", "--plain")],
    "quiet": Annotated[bool, _option(OUTPUT, "Print errors alone.", "--quiet")],
}
DEFAULTS = {
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
PICTURES = ("source_file", "mask_file", "target_file", "fit_mask", "max_pixels")
PLACING = ("ss", "ts", "x", "y", "grow", "feather")
HOW = ("preset", "backbone", "weights", "num_steps", "levels", "tolerance", "history", "smoothing")
LOSSES = (
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
COMMON = (
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
FIRST = ("first_steps", "init", "seed", "grad_weight", "membrane")
_RELATIVE = ("colour_weight", "smoothing", "style_from", "statistics", "palette", "grain", "membrane")
SECOND = ("second_steps", "canvas", "reproduce_zero_content", "hist_weight", "grain")
BOTH = (*PICTURES, "demo", *PLACING, *HOW, *LOSSES, *COMMON, *FIRST, *SECOND)
YES, NO = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}


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

    from deep_image_blending.options.options import preset
    from deep_image_blending.runs.execution import resolve_device, resolve_precision

    options = base if base is not None else preset(given.preset or "natural")
    if base is not None and given.preset is not None:
        chosen = preset(given.preset)
        options = dataclasses.replace(
            base,
            first=chosen.first if "first_pass" in passes else base.first,
            second=chosen.second,
            preset=given.preset,
            published_input=chosen.published_input,
        )
    options = dataclasses.replace(
        options, placement=dataclasses.replace(options.placement, **placement_changes(given))
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


def placement_changes(given: SimpleNamespace) -> dict[str, Any]:
    """The placement's fields that the command line sets."""
    placement = {name: getattr(given, name) for name in PLACING if getattr(given, name) is not None}
    return {**placement, "fit_mask": True} if given.fit_mask else placement


def refuse_changes(stored: Options, asked: Options, path: Path) -> None:
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


def flag(option: str, text: str) -> bool:
    if text.lower() in YES | NO:
        return text.lower() in YES
    raise InputError(f"{option} {text!r}: give True or False")
