"""The observer that keeps a run's loss table, frames and checkpoints."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import InputError
from deep_image_blending.networks.network import Network
from deep_image_blending.options.pass_options import PassName
from deep_image_blending.options.run_options import Options
from deep_image_blending.passes import blend_of, optimises_mask_alone, pass_levels
from deep_image_blending.pictures.scene import Scene
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.solve.loop import Evaluation, LoopState, settled
from deep_image_blending.timings import Timings


class Interrupted(Exception):
    """The user asked the run to stop.

    after: the pass that had just ended; None within a pass, where a checkpoint was written if there is a folder.
    """

    def __init__(self, after: PassName | None = None) -> None:
        super().__init__("stopped")
        self.after = after


@dataclass(frozen=True)
class Recorded:
    """What is recorded: a pass of a run, and where it goes on from."""

    run: RunDirectory
    name: PassName
    scene: Scene
    options: Options
    network: Network
    resume: LoopState | None
    timings: Timings


class Recorder:
    """Writes frames as they come, checkpoints every so many seconds, and at the end the loss table."""

    def __init__(self, recorded: Recorded, every: float, stop: Callable[[], bool]) -> None:
        self.run, self.name, self.every, self.stop = recorded.run, recorded.name, every, stop
        self.fingerprint = recorded.options.fingerprint(recorded.name)
        self.options = recorded.options.of(recorded.name)
        masked = optimises_mask_alone(self.options)
        self.windows = {
            level.window.scale: level.window.cut_to_mask(target=True) if masked else level.window
            for level in pass_levels(self.name, recorded.scene, self.options, recorded.network)
        }
        self.shown = (0, 0, *recorded.scene.canvas) if self.options.canvas else recorded.scene.region()
        self.timings = recorded.timings
        state = recorded.resume
        done = state.evaluation if state is not None else 0
        self.rows = _rows_until(self.run, self.name, done)
        self.saved_at, self.saved = state.seconds if state is not None else 0.0, False
        # The evaluations that become frames are the same however often the pass was continued.
        self.next_frame = 1
        while self.next_frame <= done:
            self.next_frame = frame_after(self.next_frame)

    def __call__(self, record: Evaluation) -> None:
        self.rows.append(
            {"evaluation": record.index, "seconds": record.seconds, "total": record.total, **record.terms}
        )
        if record.index >= self.next_frame or record.index == record.budget:
            with self.timings.part("frames"):
                self.run.write_frame(self.name, record.index, self._moment(record))
            self.next_frame = frame_after(record.index)
        solver = record.state.solver
        if solver.status != "running" or settled(record.state.recent, self.options.tolerance):
            # The level ends here. From a checkpoint, the loop would make one evaluation more.
            return
        stop = self.stop()
        if stop or record.seconds - self.saved_at >= self.every:
            with self.timings.part("checkpoints"):
                self.save(record.state)
        if stop:
            raise Interrupted

    def save(self, state: LoopState) -> None:
        """Write the loss table, then the checkpoint that refers to it."""
        self.flush()
        tensors, numbers = state.solver.state_dict()
        if state.before is not None:
            tensors["before"] = state.before
        parts = (part.name for part in dataclasses.fields(state) if part.name not in ("solver", "before"))
        loop = {name: getattr(state, name) for name in parts}
        named = {"solver": numbers, "loop": loop, "fingerprint": self.fingerprint}
        self.run.save_checkpoint(self.name, tensors, named, state.evaluation)
        self.saved_at, self.saved = state.seconds, True

    def flush(self) -> None:
        """Write the loss table."""
        self.run.write_losses(self.name, self.rows)

    def _moment(self, record: Evaluation) -> npt.NDArray[np.uint8]:
        """The object's box of the blend, or the canvas, at full resolution, (h, w, 3)."""
        window = self.windows[record.scale]
        blend = blend_of(record.point, window, self.options)
        # A step that failed has numbers that are none.
        with np.errstate(invalid="ignore"):
            levels = np.rint(blend).astype(np.uint8)
        top, left, bottom, right = self.shown
        rows, columns = (
            np.clip(np.arange(begin, end) // window.scale - start, 0, count - 1)
            for begin, end, start, count in (
                (top, bottom, window.top, levels.shape[0]),
                (left, right, window.left, levels.shape[1]),
            )
        )
        # Columns first, of the few rows that there are at a coarse scale: rows are copied whole.
        return levels.take(columns, axis=1).take(rows, axis=0)


def frame_after(index: int) -> int:
    """The next evaluation that becomes a frame: dense at first, where most changes, then ever sparser."""
    return index + max(1, index // 12)


def _rows_until(run: RunDirectory, name: PassName, done: int) -> list[dict[str, float]]:
    """The loss table's first `done` rows; said where they are not all there."""
    try:
        rows = run.read_losses(name)[:done]
    except (InputError, OSError):
        rows = []
    if [row.get("evaluation") for row in rows] != list(range(1, done + 1)):
        warnings.warn(f"'{run.losses_path(name)}' is damaged: it begins at evaluation {done + 1}", stacklevel=2)
        return []
    return rows
