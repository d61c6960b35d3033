"""Unpacks a compressed extension module on its first import and loads it under this module's name.

deploy/build.py copies this file into a unit under the name of the extension module. The unpacked library stays in the
temporary folder, where other processes of the instance find it; its name contains the checksum of the archive.
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
    """The path of the unpacked library, written atomically. Raises OSError when the temporary folder is full."""
    with archive.open("rb") as file:
        file.seek(-8, os.SEEK_END)  # gzip ends with the checksum and the size of its content
        name = f"{archive.stem}.{file.read().hex()}"
    library = Path(tempfile.gettempdir()) / name
    # Other users can write to the temporary folder: use only a file that this user owns.
    if not (library.exists() and library.stat().st_uid == os.getuid()):
        descriptor, draft = tempfile.mkstemp(prefix=name)
        try:
            with os.fdopen(descriptor, "wb") as target, gzip.open(archive) as source:
                shutil.copyfileobj(source, target, 2**20)
            Path(draft).replace(library)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    return library


def load(name: str, library: Path) -> None:
    """Loads the library as the module of this name. Raises ImportError."""
    loader = ExtensionFileLoader(name, str(library))
    spec = spec_from_file_location(name, library, loader=loader)
    if spec is None:
        raise ImportError(name=name)
    sys.modules[name] = module_from_spec(spec)
    loader.exec_module(sys.modules[name])


if Path(__file__).with_suffix(".so.gz").exists():
    load(__name__, unpacked(Path(__file__).with_suffix(".so.gz")))
