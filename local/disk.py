"""File-system errors as one line for the user at the terminal."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from local.errors import StackError

_USER_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def require_space(path: Path, needed_bytes: int) -> None:
    """Raises StackError when the disk of `path`, which may not exist yet, has too little space."""
    free = free_bytes(path)
    if free < needed_bytes:
        raise StackError(
            f"{path} needs {needed_bytes / 1e6:.0f} MB, and its disk has {free / 1e6:.0f} MB free: make room first"
        )


def free_bytes(path: Path) -> int:
    """The bytes that an ordinary user can still write on the disk of `path`."""
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    return shutil.disk_usage(existing).free


def is_user_error(error: OSError) -> bool:
    """Whether the user can fix the error: no space, no permission, or a file or directory that already exists."""
    return error.errno in _USER_ERRORS


def error_text(error: StackError | OSError) -> str:
    """One line that says what is wrong and where."""
    if isinstance(error, StackError) or error.errno is None:
        return str(error)
    advice = {errno.ENOSPC: "make room first", errno.EDQUOT: "make room first"}
    action = advice.get(error.errno, "choose a place where you may write")
    return f"{error.filename or 'the disk'}: {os.strerror(error.errno)}; {action}"
