"""A batch from its manifest to its last file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deep_image_blending.batch.coco import Annotations, Split
from deep_image_blending.batch.executor import GIB, Executor, Resources, Watch, connected
from deep_image_blending.batch.manifest import Checked, Shard
from deep_image_blending.batch.progress import Tally, read_status, write_status
from deep_image_blending.batch.records import FOLDER, ledger, records_of
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.batch.summary import Gathered, page
from deep_image_blending.errors import InputError

Say = Callable[[str], None]
_WRITTEN = re.compile(r"pictures|(annotations|failures|status|summary).*\.(csv|html|json)")


@dataclass(frozen=True)
class Batch:
    """A checked manifest and where its pictures go. annotated: write COCO's annotations, too."""

    manifest: Checked
    store: Store
    shard: Shard = field(default_factory=Shard)
    resources: Resources = field(default_factory=Resources)
    split: Split = field(default_factory=Split)
    annotated: bool = False

    def begin(self) -> None:
        """Make the place the batch's own. Raises InputError as `require_own` does."""
        self.require_own()
        write_status(self.store, self.shard, Tally(self.manifest.count(self.shard)))

    def require_own(self) -> None:
        """Raise InputError for what is not a batch's and would be lost."""
        names = set(self.store.names())
        if FOLDER not in names and not any(read_status(self.store)):
            for name in sorted(filter(_WRITTEN.fullmatch, names)):
                raise InputError(f"'{self.store.root}/{name}' is no batch's; give a folder of its own")

    def run(self, watch: Watch, say: Say) -> Tally:
        """Make what is missing, then write the failures, the annotations and the summary. Raises InputError."""
        known = ledger(self.store)
        planned = Tally(self.manifest.count(self.shard))
        with connected(self.resources) as ray:
            executor = Executor(ray, self.store, self.resources, watch, known, planned)
            tally = executor.run(self.manifest.read(self.shard))
        for name in self.write_up(tally):
            say(f"{self.store.root}/{name}")
        return tally

    def planned(self) -> Iterator[str]:
        """What would be done, in lines. Nothing is written. Raises InputError for what can't be begun."""
        self.require_own()
        known = ledger(self.store)
        rows = missing = 0
        first: Row | None = None
        for row, finished in known.looked_up(self.manifest.read(self.shard)):
            rows += 1
            if not finished:
                missing += 1
                first = row if first is None and row.method == "natural" else first
        pictures = "1 picture" if rows == 1 else f"{rows} pictures"
        yield f"{pictures}, {rows - missing} of them there, {missing} to make"
        if self.manifest.categories:
            yield f"categories: {', '.join(self.manifest.categories)}"
        if first is not None:
            memory = f"{_peak(first) / GIB:.2f} GiB"
            yield f"memory of the first task: about {memory}; cores of a task: {self.resources.cpus}"

    def write_up(self, tally: Tally) -> list[str]:
        """What is made of all records: annotations, failures and the page. The names of the files."""
        gathered, suffix = Gathered(), self.shard.suffix
        failures = io.StringIO()
        table = csv.writer(failures, lineterminator="\n")
        table.writerow(("id", "reason", "attempt"))

        def finished() -> Iterator[tuple[Row, dict[str, Any]]]:
            for row, record, failed in records_of(self.store, self.manifest.read(self.shard)):
                if record is None:
                    continue
                if failed:
                    table.writerow((row.id, record.get("reason", ""), record.get("attempt", "")))
                    gathered.add_failure(row, str(record.get("reason", "")))
                    continue
                gathered.add(row, record)
                yield row, record

        names: list[str] = []
        if self.annotated:
            names += Annotations(self.store, self.manifest.categories, self.split, suffix).write(finished())
        else:
            for _ in finished():
                pass
        if gathered.failed:
            self.store.write(f"failures{suffix}.csv", failures.getvalue().encode(errors="backslashreplace"))
            names.append(f"failures{suffix}.csv")
        else:
            self.store.delete(f"failures{suffix}.csv")
        text = page(self.store, gathered, tally)
        self.store.write(f"summary{suffix}.html", text.encode(errors="backslashreplace"))
        return [*names, f"summary{suffix}.html"]


def _peak(row: Row) -> int:
    """Bytes that the plan of a row's first object asks for. Raises InputError, with the row's id."""
    from deep_image_blending.batch.blending import job_of
    from deep_image_blending.runs.execution import prepare

    try:
        return prepare(job_of(row.objects[0]), planning=True).decision.plan.peak.host
    except InputError as error:
        raise InputError(f"picture '{row.id}': {error}") from error
