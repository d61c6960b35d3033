"""Builds the deployable units, one for each function, from its locked requirements only.

    python -m deploy.build lambda      build/lambda/<arch>/<function>.zip: stripped, compiled, reproducible
    python -m deploy.build cloud-run   build/cloud-run/<function>/: a folder for `gcloud run deploy --function`

Both start with a root main.py that imports the function, so Python loads its package once and by its own name.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from deploy.closure import lambda_markers, unmet
from deploy.entry import entry_of

ROOT = Path(__file__).resolve().parents[1]
RUNTIME: Final = "3.13"
"""Python's minor version on Lambda, as in serverless.yml; no other version can use the bytecode."""
LIMIT_BYTES: Final = 250 * 2**20
"""Lambda's limit for an unzipped unit, layers included."""
_PLATFORMS = {"arm64": "aarch64-manylinux_2_34", "x86_64": "x86_64-manylinux_2_34"}  # Amazon Linux 2023 has glibc 2.34
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can store
# Servers of functions-framework that only other hosts use; the Lambda Web Adapter starts uvicorn alone.
_UNUSED = ("bin", "gunicorn", "uvicorn_worker", "watchdog")
_DUCKDB = ("duckdb", "_duckdb*", "adbc_driver_duckdb")
_OVER_THE_LEDGER = ("chat", "assist")
_WITH_DATA = ("chat", "assist")
_PACKED = "_duckdb"  # two thirds of chat and assist; only the child process of the data tools loads it
_UNUSED_FOLDERS = {"tests", "__pycache__"}
_UNUSED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".c", ".h", ".cc", ".hpp", ".typed"}
_UNUSED_RECORDS = {
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    ".lock",
}  # package managers' records; a unit is never changed in place
_ELF64 = b"\x7fELF\x02\x01"  # little-endian, as both architectures are
_LOADED = 1  # PT_LOAD


def functions() -> tuple[str, ...]:
    """The names of all functions."""
    return tuple(sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py")))


def build_lambda(
    name: str,
    arch: str,
    out: Path,
    *,
    python: str = RUNTIME,
    data: Path | None = None,
    has_duckdb: bool = True,
    authority: Path | None = None,
) -> Path:
    """The path of a function's zip. Raises SystemExit when it exceeds Lambda's limit or a tool is missing.

    `data` is a DuckDB file for chat and assist, `authority` the certificate that signs PostgreSQL's.
    Without `has_duckdb` these are a quarter smaller and cannot open such a file.
    """
    interpreter = find_python(python)
    if interpreter is None:
        raise SystemExit(f"Bytecode for Lambda needs Python {python}: uv python install {python}")
    work = _empty_folder(out / name)
    print(f"{name}: building for {arch} with Python {python}", file=sys.stderr, flush=True)
    _install(name, arch, python, work)
    _strip(work, _UNUSED if has_duckdb else (*_UNUSED, *_DUCKDB))
    _compile(work, interpreter, "-b")
    for path in work.rglob("*.py"):  # sources are a third of the unit; a traceback still names the line
        path.unlink()
    _pack(work)
    _copy_sources(name, work)
    shutil.copy(ROOT / "deploy" / "run.sh", work)
    if data is not None and name in _WITH_DATA:
        (work / "data").mkdir()
        shutil.copy(data, work / "data" / "trading.duckdb")
    _copy_authority(name, authority, work)
    _compile(work, interpreter)
    size = unzipped_bytes(work)
    if size > LIMIT_BYTES:
        raise SystemExit(f"{name} is {size / 1e6:.0f} MB unzipped; the limit of Lambda is {LIMIT_BYTES / 1e6:.0f} MB.")
    return _zipped(work, out / f"{name}.zip")


def build_cloud_run(name: str, out: Path, *, authority: Path | None = None) -> Path:
    """The folder of a function with its locked requirements.txt; Google's buildpack installs the packages."""
    work = _empty_folder(out / name)
    _copy_sources(name, work)
    shutil.copy(_requirements(name), work)
    _copy_authority(name, authority, work)
    return work


def find_python(version: str) -> str | None:
    """The path of an interpreter of this minor version from BUILD_PYTHON, uv or pyenv; None when there is none.

    pyenv's folders are searched directly: a shim of a version that is not active fails, and uv runs that shim.
    """
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    command = [_uv(), "python", "find", "--no-python-downloads", "--no-project", version]
    by_uv = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    candidates = [os.environ.get("BUILD_PYTHON"), by_uv, *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))]
    return next((path for path in candidates if path and _is_python(path, version)), None)


def _is_python(path: str, version: str) -> bool:
    command = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == version
    except OSError:
        return False


def unzipped_bytes(unit: Path) -> int:
    """The unzipped size of a unit, which Lambda limits."""
    return sum(path.stat().st_size for path in _files(unit))


def strip_elf(path: Path) -> None:
    """Removes symbols, debug information and the section table at the end of a library; the loader needs none of them.

    binutils' strip supports only the architecture of its own machine, and its output differs between versions.
    """
    content = bytearray(path.read_bytes())
    if not content.startswith(_ELF64):
        return
    offset, size, count = (*struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54))
    end = offset + size * count
    for place in range(offset, end, size):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", content, place)
        if kind == _LOADED:
            end = max(end, start + length)
    struct.pack_into("<Q", content, 40, 0)  # the offset of the section table
    struct.pack_into("<HH", content, 60, 0, 0)
    path.write_bytes(content[:end])


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _requirements(name: str) -> Path:
    return ROOT / "functions" / name / "requirements.txt"


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


def _install(name: str, arch: str, python: str, work: Path) -> None:
    """Installs wheels of the target platform, checked by hash; stripping a link would change uv's cache."""
    command = [_uv(), "pip", "install", "--quiet", "--target", str(work), "--link-mode", "copy", "--no-deps"]
    command += ["--python-version", python, "--python-platform", _PLATFORMS[arch], "--only-binary", ":all:"]
    if subprocess.run([*command, "--require-hashes", "-r", str(_requirements(name))], check=False).returncode != 0:
        raise SystemExit(f"The packages of {name} could not be installed; the output of uv is above.")
    if missing := unmet(distributions(path=[str(work)]), lambda_markers(python, arch)):
        raise SystemExit("\n".join([f"functions/{name}/requirements.txt is not complete: run `make lock`.", *missing]))


def _strip(work: Path, unused: tuple[str, ...]) -> None:
    for name in unused:
        for path in (*work.glob(name), *work.glob(f"{name}-*.dist-info")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in sorted(work.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _UNUSED_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and (path.suffix in _UNUSED_SUFFIXES or path.name in _UNUSED_RECORDS):
            path.unlink()
        elif path.is_file() and ".so" in path.suffixes:
            strip_elf(path)


def _pack(work: Path) -> None:
    """Compresses the largest library and adds a module of the same name that unpacks it on import."""
    for library in work.glob(f"{_PACKED}.*so"):
        (work / f"{_PACKED}.so.gz").write_bytes(_compressed(library.read_bytes()))
        library.unlink()
        shutil.copy(ROOT / "deploy" / "packed.py", work / f"{_PACKED}.py")


@functools.lru_cache(maxsize=1)  # the same library in several units
def _compressed(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[9] = 255  # gzip's byte for an unknown system; the default differs between Python versions
    return bytes(packed)


def _copy_sources(name: str, work: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "requirements.*")
    (work / "functions").mkdir()
    shutil.copy(ROOT / "functions" / "__init__.py", work / "functions")
    shutil.copytree(ROOT / "functions" / name, work / "functions" / name, ignore=ignored)
    shutil.copytree(ROOT / "shared", work / "shared", ignore=ignored)
    (work / "docs").mkdir()
    shutil.copy(ROOT / "docs" / f"openapi-{name}.json", work / "docs")
    (work / "main.py").write_text(entry_of(name))


def _copy_authority(name: str, authority: Path | None, work: Path) -> None:
    if authority is not None and name in _OVER_THE_LEDGER:
        shutil.copy(authority, work / "ca.pem")


def _compile(work: Path, interpreter: str, *options: str) -> None:
    """Writes unchecked bytecode: the files on Lambda are read-only, so Python need not compare it with the source."""
    command = [interpreter, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", *options]
    environ = {**os.environ, "PYTHONHASHSEED": "0"}  # keeps the order of constants in a set reproducible
    subprocess.run([*command, "-s", str(work), "-p", "/var/task", str(work)], check=True, env=environ)


def _zipped(work: Path, path: Path) -> Path:
    """Writes the zip atomically, with sorted names, one date and fixed modes, so that it is reproducible."""
    draft = path.with_suffix(".half")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(work):
            info = zipfile.ZipInfo(file.relative_to(work).as_posix(), _EPOCH)
            mode = 0o755 if file.suffix == ".sh" else 0o644
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.create_system = 3  # Unix: external_attr holds Unix modes
            info.compress_type = zipfile.ZIP_STORED if file.suffix == ".gz" else zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())
    return draft.replace(path)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def main() -> None:
    """Builds and prints one line per unit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("lambda", "cloud-run"))
    parser.add_argument("functions", nargs="*", metavar="function", help="default: all functions")
    parser.add_argument("--arch", choices=_PLATFORMS, default=os.environ.get("LAMBDA_ARCH", "arm64"))
    parser.add_argument("--data", type=Path, help="a DuckDB file to pack into chat and assist as data/trading.duckdb")
    parser.add_argument("--duckdb", action="store_true", help="pack DuckDB into chat and assist without a data file")
    parser.add_argument(
        "--ca", type=Path, help="the certificate for LEDGER_DATABASE_URL, packed as ca.pem into its units"
    )
    args = parser.parse_args()
    if args.arch not in _PLATFORMS:  # argparse does not check defaults against the choices
        parser.error(f"LAMBDA_ARCH is {args.arch}, and not one of {', '.join(_PLATFORMS)}")
    if unknown := set(args.functions) - set(functions()):
        parser.error(f"there is no function {min(unknown)}")
    for name in args.functions or functions():
        if args.target == "cloud-run":
            print(build_cloud_run(name, ROOT / "build" / "cloud-run", authority=args.ca).relative_to(ROOT))
            continue
        out = ROOT / "build" / "lambda" / args.arch
        has_duckdb = args.duckdb or args.data is not None
        path = build_lambda(name, args.arch, out, data=args.data, has_duckdb=has_duckdb, authority=args.ca)
        megabytes = unzipped_bytes(path.with_suffix("")) / 1e6, path.stat().st_size / 1e6
        print("{}   {:.1f} MB unzipped, {:.1f} MB zipped".format(path.relative_to(ROOT), *megabytes))


if __name__ == "__main__":
    main()
