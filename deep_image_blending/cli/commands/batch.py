"""`blend batch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deep_image_blending.cli.console import complain, console_for, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.errors import InputError, Stopped
from deep_image_blending.options.groups import MACHINE, METHOD, OUTPUT
from deep_image_blending.options.resolve import refuse_unused

if TYPE_CHECKING:
    from deep_image_blending.batch.batch import Batch
    from deep_image_blending.batch.executor import Resources
    from deep_image_blending.batch.manifest import Checked, Shard


@command("batch", panel="Many")
@dataclass
class MakeBatch(Command):
    """Every picture of a manifest, here or on a Ray cluster. Given again, it goes on with what is missing.

    A manifest is CSV or JSON Lines; its columns are the options of `blend run`, and id, category, method, objects.

    Examples:  blend batch scenes.jsonl --output-dir pictures --annotations coco
    blend batch scenes.jsonl --output-dir s3://bucket/pictures --address auto
    blend batch --status pictures
    """

    manifest: Annotated[str | None, typer.Argument(metavar="MANIFEST", help="Manifest, .csv or .jsonl.")] = None
    output_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL", help="Where the pictures go, such as s3://bucket/x.", rich_help_panel=OUTPUT
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster to join: auto, HOST:PORT, ray://HOST:PORT.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Tasks at once; default: what there is.", rich_help_panel=MACHINE),
    ] = None
    cpus_per_task: Annotated[
        int, typer.Option(min=1, max=1024, help="Cores, and threads, of a task.", rich_help_panel=MACHINE)
    ] = 1
    gpus_per_task: Annotated[
        float, typer.Option(min=0, max=64, help="GPUs of a task; 0.25: four share one.", rich_help_panel=MACHINE)
    ] = 0.0
    memory_per_task: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1e6,
            metavar="GIB",
            help="Memory of a task; default: its plan's.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    retries: Annotated[
        int,
        typer.Option(
            min=0, max=100, help="Times that a task is given out again after a crash.", rich_help_panel=MACHINE
        ),
    ] = 2
    timeout: Annotated[
        float | None, typer.Option(min=0.001, max=1e9, help="Seconds a picture may take.", rich_help_panel=MACHINE)
    ] = None
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="The I-th of N parts alone.", rich_help_panel=METHOD)
    ] = None
    annotations: Annotated[
        Literal["coco"] | None,
        typer.Option(metavar="coco", help="Write annotations.json.", rich_help_panel=OUTPUT),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES", help="Annotations in parts, train, val, test: 0.8,0.1,0.1.", rich_help_panel=OUTPUT
        ),
    ] = None
    split_seed: Annotated[int, typer.Option(min=0, help="Seed of the split.", rich_help_panel=OUTPUT)] = 0
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", metavar="", help="Leave out rows that can't be used.", rich_help_panel=METHOD),
    ] = False
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", metavar="", help="Stop at the first failure.", rich_help_panel=METHOD)
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Check, and say what would be done.", rich_help_panel=OUTPUT),
    ] = False
    status: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|URL", help="Say how the batch there goes.", rich_help_panel=OUTPUT),
    ] = None
    plain: Annotated[
        bool, typer.Option("--plain", metavar="", help="Plain lines, no live table.", rich_help_panel=OUTPUT)
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", metavar="", help="Print errors alone.", rich_help_panel=OUTPUT)
    ] = False

    def run(self) -> None:
        own = self.own()
        if self.manifest is not None and self.status is not None:
            raise InputError("give either a manifest, to make its pictures, or --status, not both")
        if self.status is not None:
            refuse_unused(own, own.keys() - {"status", "plain", "quiet"}, "--status")
            _say_status(self.status)
            return
        if self.split is None:
            refuse_unused(own, ["split_seed"], "annotations without --split")
        if self.manifest is None or self.output_dir is None:
            raise InputError("give a manifest and --output-dir, or --status with where a batch's pictures go")
        from deep_image_blending.batch.batch import Batch
        from deep_image_blending.batch.coco import split_of
        from deep_image_blending.batch.executor import require_ray
        from deep_image_blending.batch.manifest import Shard, shard_of
        from deep_image_blending.batch.store import Store

        shard = Shard() if self.shard is None else shard_of(self.shard)
        split = split_of(self.split, self.split_seed)
        if not self.dry_run:
            require_ray()
        store = Store(self.output_dir)
        checked = self._checked(self.manifest)
        store.require_usable(write=not self.dry_run)
        annotated = self.annotations is not None or self.split is not None
        batch = Batch(checked, store, shard, self._resources(), split, annotated)
        if self.dry_run:
            console = console_for(self.quiet)
            for line in batch.planned():
                console.print(line, soft_wrap=True)
            return
        batch.begin()
        self._carry_out(batch, shard)

    def _checked(self, path: str) -> Checked:
        """The manifest, if it can be used. Raises InputError after a line for each row that can't."""
        from deep_image_blending.batch.manifest import check

        bad = 0

        def refuse(line: int, reason: str) -> None:
            nonlocal bad
            bad += 1
            complain(f"{path}, line {line}: {reason}")

        checked = check(path, refuse)
        if bad and not self.skip_bad:
            rows = "1 row" if bad == 1 else f"{bad} rows"
            raise InputError(f"{rows} of '{path}' can't be used; mend them, or leave them out with --skip-bad")
        if not checked.rows:
            raise InputError(f"no row of '{path}' can be used")
        return checked

    def _resources(self) -> Resources:
        from deep_image_blending.batch.executor import GIB, Resources

        return Resources(
            self.address,
            self.workers,
            self.cpus_per_task,
            self.gpus_per_task,
            None if self.memory_per_task is None else round(self.memory_per_task * GIB),
            self.retries,
            self.timeout,
            self.fail_fast,
        )

    def _carry_out(self, batch: Batch, shard: Shard) -> None:
        from deep_image_blending.batch.executor import Watch
        from deep_image_blending.cli.batch_progress import watching

        console = console_for(self.quiet)
        style = style_of(console, self.quiet, self.plain)
        with watching(console, style, batch.store, shard) as show:
            try:
                tally = batch.run(Watch(show.tally, show.failed), show.say)
            except KeyboardInterrupt:
                raise Stopped("stopped; what is finished stays, and the same command goes on from there") from None
        console.print(tally.line(), soft_wrap=True)
        if tally.failed:
            pictures = "1 picture" if tally.failed == 1 else f"{tally.failed} pictures"
            complain(f"{pictures} failed; see failures{shard.suffix}.csv in '{self.output_dir}'")
            raise typer.Exit(1)


def _say_status(root: str) -> None:
    from deep_image_blending.batch.progress import STALE, clock, read_status
    from deep_image_blending.batch.store import Store

    console = console_for(False, stderr=False)
    store = Store(root)
    store.require_usable(write=False)
    found = list(read_status(store))
    if not found:
        raise InputError(f"no batch writes to '{root}'; give the --output-dir of one")
    for name, tally, age in found:
        silent = not tally.ended and age > STALE
        state = "ended" if tally.ended else f"silent for {clock(age)}" if silent else "running"
        console.print(f"{name}, {state}: {tally.line()}", soft_wrap=True)
        for node, count in sorted(tally.nodes.items()):
            console.print(f"  {node}: {count} pictures", soft_wrap=True)
