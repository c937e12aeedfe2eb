"""The command line: one file a command, the live table, the terminal."""

import time

BEGAN = time.perf_counter()
"""When the command line began to load, for `--timings`."""

from deep_image_blending.cli.app import main, run_command  # noqa: E402

__all__ = ["BEGAN", "main", "run_command"]
