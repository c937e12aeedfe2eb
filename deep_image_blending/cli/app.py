"""The command line: parse, run, and end with an exit code. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import signal
import sys
import warnings
from typing import Annotated, Any

import typer

from deep_image_blending import __version__
from deep_image_blending.cli import commands
from deep_image_blending.cli.console import complain, prepare_streams, show_warning
from deep_image_blending.cli.declared import ENTRIES, Command, add_to
from deep_image_blending.declaration import FALSE, TRUE
from deep_image_blending.errors import BlendError, InputError, is_out_of_memory, reason_of, suggestion
from deep_image_blending.options.catalogue import catalogue

_ORDER = ("run", "blend", "first-pass", "second-pass")


def app_of(everything: bool = False) -> typer.Typer:
    """The Typer app; everything: help shows every option, not those alone that people use."""
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}")
    app = typer.Typer(
        name="blend",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        result_callback=_execute,
        help="Put an object from one picture into another so that nobody sees it was ever elsewhere.",
        epilog="Try it:  [bold]blend run[/bold]  blends the bundled demo.",
    )
    app.callback(invoke_without_command=True)(_main_options)
    for name in sorted(ENTRIES, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        add_to(app, ENTRIES[name], everything)
    return app


@functools.cache
def parser(everything: bool = False) -> Any:
    """The app's tree of commands. It is half of the time of a short command, and made once in a process."""
    tree: Any = typer.main.get_command(app_of(everything))
    context = tree.context_class(tree, **tree.context_settings)
    # Flags of the parser's own take no value, and say no type.
    for one in (*tree.params, *(command.get_help_option(context) for command in (tree, *tree.commands.values()))):
        one.metavar = ""
    for one in (one for command in tree.commands.values() for one in command.params):
        if one.param_type_name == "argument":
            _show_by_name(one)
        # As of declared options, whose ranges a refusal says.
        one._get_number_range_help_str = lambda: None
    return tree


def _show_by_name(argument: Any) -> None:
    """Have help show an argument as `RUN`, `RUN...` or `[RUN]`, and no type of the program's."""
    argument.metavar += "..." if argument.nargs != 1 else ""
    argument.display_type_rich = lambda ctx: None
    argument.get_usage_pieces = lambda ctx: [argument.metavar if argument.required else f"[{argument.metavar}]"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    prepare_streams()
    # Threads that wait must sleep. PyTorch's would spin: on a busy machine each keeps the other from its core, and
    # a run takes many times as long. They look around for some microseconds before they lie down, since to be
    # woken takes as long, a hundred times an evaluation. It is read when PyTorch loads, which is later.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    # NumPy's matrix products are small here, and made in threads of ours: OpenBLAS's own would only wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Large tensors lie on large pages, one after the other, with a tenth less in gaps between them.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # A run that is told to end, or whose terminal closes, is interrupted as by Ctrl-C, at any moment of it.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: list[str]) -> int:
    """Run one command; 0 done, 1 failed, 2 bad usage or input, 130 interrupted. Prints errors to stderr."""
    shown = warnings.showwarning
    warnings.showwarning = show_warning
    try:
        return _run_command(arguments)
    finally:
        warnings.showwarning = shown


def _run_command(arguments: list[str]) -> int:
    try:
        arguments = _normalised(arguments)
        _refuse_empty(arguments)
        words = ["--help" if word == "--help-all" else word for word in arguments]
        # An exit that a command asks for comes back as a number.
        code = parser("--help-all" in arguments)(args=words, standalone_mode=False, prog_name="blend")
    except BlendError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return 1
    except OSError as error:
        named = f"'{error.filename}': " if error.filename is not None else ""
        complain(f"{named}{reason_of(error)}; check the path, its permissions and free space")
        return 1
    except Exception as error:
        if is_out_of_memory(error):
            complain("not enough memory; free some, or give smaller --ss and --ts")
            return 1
        return _usage_error(error)
    if code == 130:
        # The parser's word for KeyboardInterrupt.
        complain("interrupted")
    return code if isinstance(code, int) else 0


def _refuse_empty(arguments: list[str]) -> None:
    """Raise InputError for an empty word: a variable that a script has not set, and never a value."""
    for before, word in zip(["blend", *arguments], arguments, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):
            raise InputError(f"what follows '{word or before}' is empty; give a value, or leave it out")


def _execute(command: object, **_: object) -> object:
    """What the parser made of the arguments is a command: run it."""
    if isinstance(command, Command):
        command.require_outputs_apart()
        command.run()
    return command


def _main_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"deep-image-blending {__version__}")
        raise typer.Exit


def _usage_error(error: Exception) -> int:
    """The exit code of what the parser raised, with one line; anything else is a fault of ours, and rises."""
    code = getattr(error, "exit_code", None)
    if code is None:
        if type(error).__name__ == "Abort":
            return 130
        raise error
    if hasattr(error, "format_message"):
        message = " ".join(str(error.format_message()).split())
        name, near = getattr(error, "option_name", None), getattr(error, "possibilities", None) or ()
        if name and type(error).__name__ == "NoSuchOption":
            command = getattr(getattr(error, "ctx", None), "command_path", "blend")
            # What another command has is no misspelling.
            misspelt = near and name.removeprefix("--").replace("-", "_") not in catalogue()
            message = f"no such option {name}; {suggestion(name, near) if misspelt else f'see {command} --help'}"
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
            return 0
        complain(message)
    return int(code)


def _normalised(arguments: list[str]) -> list[str]:
    """Both spellings of every option, `--save-video` with or without a value, and `help COMMAND`."""
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    result: list[str] = []
    spelt: dict[str, str] = {}
    for i, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            flag = name.replace("_", "-")
            # The same spelling again is a script's way to set another value: the last one counts.
            if spelt.setdefault(flag, name) != name:
                raise InputError(f"{spelt[flag]} and {name} are one option; give it once")
            argument = flag + equals + value
        result.append(argument)
        if argument == "--save-video":
            following = arguments[i + 1].lower() if i + 1 < len(arguments) else ""
            if following not in (*TRUE, *FALSE):
                result.append("True")
    return result


if __name__ == "__main__":
    main()
