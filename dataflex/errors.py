"""The one exception that is the user's to mend."""


class UserError(Exception):
    """A mistake in the user's input, told in one line that says what to change.

    The command line prints it to stderr and exits with status 2. It is raised before any model
    loads and before anything is written, wherever that is possible.
    """


class LoneError(UserError):
    """A mistake that this rank alone knows of: it must not enter another collective operation."""
