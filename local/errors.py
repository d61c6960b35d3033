"""What can keep a stack from running; the text is what the person at the terminal reads."""

from __future__ import annotations


class StackError(Exception):
    """Ends the command with exit code 1 and its text on standard error."""


class AlreadyRunning(StackError):
    """Another supervisor holds this data directory."""


class Interrupted(Exception):
    """Somebody asked the stack to end."""
