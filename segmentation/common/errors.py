"""The two kinds of errors that a user can cause or meet. `command_line.run` reports them.

Anything else that is raised is a defect of this program and keeps its traceback.
"""


class InputError(Exception):
    """The user's input is wrong: params, data, addresses. Exit status 2."""


class Fault(Exception):
    """The input may be right, but the run cannot continue: a full disk, a diverged loss. Exit status 1."""


def reason(error: OSError) -> str:
    """Where and what, as in `data/x.json: No space left on device`."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
