"""Stands in for an extension module that travels compressed beside it, and unpacks it when it is first imported.

deploy/build.py puts this file into a unit under the module's own name. The library then lies in the temporary folder,
for the instance's other processes, too; its name bears the checksum of what it was unpacked from.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def unpacked(archive: Path) -> Path:
    """The library, whole or not there at all. Raises OSError when the temporary folder has no room."""
    with archive.open("rb") as file:
        file.seek(-8, os.SEEK_END)  # gzip ends with the checksum and the size of what is in it
        name = f"{archive.stem}.{file.read().hex()}"
    library = Path(tempfile.gettempdir()) / name
    # Where others can write, too, a file of the right name is not yet ours.
    if not (library.exists() and library.stat().st_uid == os.getuid()):
        descriptor, half = tempfile.mkstemp(prefix=name)
        try:
            with os.fdopen(descriptor, "wb") as target, gzip.open(archive) as source:
                shutil.copyfileobj(source, target, 2**20)
            Path(half).replace(library)
        except BaseException:
            Path(half).unlink(missing_ok=True)
            raise
    return library


def load(name: str, library: Path) -> None:
    """Makes the library the module that everybody gets by this name. Raises ImportError."""
    loader = ExtensionFileLoader(name, str(library))
    spec = spec_from_file_location(name, library, loader=loader)
    if spec is None:
        raise ImportError(name=name)
    sys.modules[name] = module_from_spec(spec)
    loader.exec_module(sys.modules[name])


if Path(__file__).with_suffix(".so.gz").exists():
    load(__name__, unpacked(Path(__file__).with_suffix(".so.gz")))
