"""The one exception that means "the user can mend this"."""


class UsageError(ValueError):
    """Bad input, told in one line: what is wrong, where, and how to mend it."""
