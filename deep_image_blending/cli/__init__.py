"""The command line: one file a command, the live table, the terminal."""

from deep_image_blending.cli.app import main, run_command

__all__ = ["main", "run_command"]
