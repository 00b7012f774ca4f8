"""The exception that is the user's to mend, how it quotes others, and the one that is no mistake."""


class UserError(Exception):
    """A mistake in the user's input, told in one line that says what to change.

    The command line prints it to stderr and exits with status 2. It is raised before any model
    loads and before anything is written, wherever that is possible.
    """

    status = 2
    """Exit status of the command line."""


def one_line(error: BaseException) -> str:
    """Return what an error of another library says, on one line, to quote it; its type if nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class UnfitError(UserError):
    """What was looked at is not as it has to be: to look again helps nobody before it was changed.

    The exit status is 78, the system's EX_CONFIG, which tells a verdict from a check that could not be made.
    """

    status = 78


class LoneError(UserError):
    """A mistake that this rank alone knows of: it must not enter another collective operation."""


class Interrupted(SystemExit):
    """A run has stopped as it was asked to, and can go on; what does not know of this exception lets it pass.

    The exit status is 75, the system's EX_TEMPFAIL: try again.

    Args:
        message: one line for whoever started the run.
    """

    code: int

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 75
