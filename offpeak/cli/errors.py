"""What the command line says when something went wrong: one sentence, and an exit code.

Exit codes: 0 it worked; 1 it did not; 2 the command line itself is wrong.
"""

from __future__ import annotations


class CliError(Exception):
    """`message` says what is wrong, where, and what to do."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(CliError):
    """The command line or the settings are wrong; nothing was tried."""

    exit_code = 2


class Unreachable(CliError):
    """No answer, or one that says "later": the same call may work in a while."""
