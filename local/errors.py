"""Errors of the local stack; their text is for the user at the terminal."""

from __future__ import annotations


class StackError(Exception):
    """Ends the command with exit code 1; the text goes to standard error."""


class AlreadyRunning(StackError):
    """Another supervisor holds the lock of this data directory."""


class Interrupted(Exception):
    """The user stopped the stack before it was ready."""
