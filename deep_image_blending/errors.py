"""What can go wrong, in words for the person at the terminal."""


class BlendError(Exception):
    """A failure whose message names what was wrong, where, and what would be right."""

    exit_code = 1


class InputError(BlendError):
    """Bad usage or bad input: nothing was computed, nothing was written."""

    exit_code = 2


class RunError(BlendError):
    """A run that had started and could not finish; earlier files are intact."""
