"""Units: what is in them and what is not, the same bytes every time, and small enough."""

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import pytest

from deploy import build
from deploy.build import ROOT, RUNTIME, build_cloud_run, build_lambda, functions, strip_elf, unzipped_bytes
from tests.deploy.conftest import ARCH, PYTHON

_FUNCTIONS = functions()


def _names(units: Path, name: str) -> list[str]:
    with zipfile.ZipFile(units / f"{name}.zip") as archive:
        return archive.namelist()


def test_building_again_elsewhere_gives_the_same_bytes(units: Path, tmp_path: Path) -> None:
    """The hash in an account says which sources run there; no path, time or order of this machine gets in."""
    again = build_lambda("llms", ARCH, tmp_path, python=PYTHON)
    assert again.read_bytes() == (units / "llms.zip").read_bytes()


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_unit_holds_one_function(units: Path, name: str) -> None:
    """Its folder, its OpenAPI document, shared/, its packages and run.sh; no tests and no other function."""
    names = _names(units, name)
    assert {"run.sh", "main.py", "shared/config.py", f"functions/{name}/main.py"} <= set(names)
    assert [each for each in names if each.startswith("docs/")] == [f"docs/openapi-{name}.json"]
    own = {each.split("/")[1] for each in names if each.startswith("functions/")}
    assert own == {"__init__.py", "__pycache__", name}
    unwanted = re.compile(r"(^|/)(tests|gunicorn|watchdog|requirements\.(in|txt))(/|$)|\.pyi$")
    assert [each for each in names if unwanted.search(each)] == []


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_everything_in_a_unit_is_compiled_and_never_checked(units: Path, name: str) -> None:
    """A cold start reads bytecode only: ours beside its source, which a traceback shows, others' alone."""
    folder = units / name
    sources = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {each.split("/")[0] for each in sources} - {"_duckdb.py"} == {"main.py", "functions", "shared"}
    compiled = list(folder.rglob("*.pyc"))
    assert len(compiled) > len(sources)
    # PEP 552: bit 0 says that it goes by a hash and not by a time, bit 1 that the hash would be checked
    assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {0b01}
    cached = {path.name.split(".")[0] for path in folder.glob(f"functions/{name}/__pycache__/*.pyc")}
    assert cached == {path.stem for path in folder.glob(f"functions/{name}/*.py")}


@pytest.mark.parametrize(("name", "most"), [("llms", 65e6), ("refresh", 65e6), ("chat", 100e6)])
def test_a_unit_is_small(units: Path, name: str, most: float) -> None:
    """What it weighs unzipped."""
    assert unzipped_bytes(units / name) < most


def test_chat_can_be_built_without_duckdb_and_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment without data saves a quarter of the unit; one with data takes its file along."""
    file = tmp_path / "market.duckdb"
    file.write_bytes(b"rows")
    installed: list[str] = []

    def install(name: str, _arch: str, _python: str, work: Path) -> None:
        installed.append(name)
        (work / "duckdb").mkdir()
        (work / "duckdb" / "__init__.py").touch()
        (work / "_duckdb.abi3.so").write_bytes(b"library")

    monkeypatch.setattr(build, "_install", install)
    lean = build_lambda("chat", ARCH, tmp_path / "lean", python=PYTHON, has_duckdb=False)
    full = build_lambda("chat", ARCH, tmp_path / "full", python=PYTHON, data=file)
    with zipfile.ZipFile(lean) as archive:
        assert not any("duckdb" in name for name in archive.namelist())
    with zipfile.ZipFile(full) as archive:
        assert archive.read("data/trading.duckdb") == b"rows"
        assert {"duckdb/__init__.pyc", "_duckdb.py", "_duckdb.so.gz"} <= set(archive.namelist())
        assert gzip.decompress(archive.read("_duckdb.so.gz")) == b"library"


def test_modes_and_dates_are_not_this_machines(units: Path) -> None:
    """Lambda can start run.sh and read the rest, whatever the umask of whoever built it."""
    with zipfile.ZipFile(units / "llms.zip") as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == sorted((info.filename for info in infos), key=lambda n: n.split("/"))
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.filename for info in infos if info.external_attr >> 16 & 0o111} == {"run.sh"}
    assert b"\r" not in (ROOT / "deploy" / "run.sh").read_bytes()


def test_only_libraries_are_cut(tmp_path: Path) -> None:
    """What is no library of 64 bits stays as it is."""
    file = tmp_path / "linker-script.so"
    file.write_bytes(b"INPUT(-lc)")
    strip_elf(file)
    assert file.read_bytes() == b"INPUT(-lc)"


def test_the_bytecode_is_for_the_runtime_that_is_deployed() -> None:
    """Another minor version could not load it at all."""
    assert f"runtime: python{RUNTIME}\n" in (ROOT / "serverless.yml").read_text()


def test_a_version_that_the_machine_lacks_is_said_so(tmp_path: Path) -> None:
    """With what to do about it, before anything is installed."""
    with pytest.raises(SystemExit, match=r"uv python install 3\.99"):
        build_lambda("llms", ARCH, tmp_path, python="3.99")


def test_an_architecture_that_lambda_lacks_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when it comes by the variable, with what there is instead."""
    monkeypatch.setenv("LAMBDA_ARCH", "arm")
    monkeypatch.setattr("sys.argv", ["build", "lambda"])
    with pytest.raises(SystemExit, match="2"):
        build.main()
    assert "LAMBDA_ARCH is arm, and not one of" in capsys.readouterr().err


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_staged_folder_is_what_googles_buildpack_expects(tmp_path: Path, name: str) -> None:
    """main.py and requirements.txt at its root, locked with hashes, and our packages beside them."""
    folder = build_cloud_run(name, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"main.py", "requirements.txt", "functions", "shared", "docs"}
    assert [path.name for path in (folder / "docs").iterdir()] == [f"openapi-{name}.json"]
    assert "--hash=sha256:" in (folder / "requirements.txt").read_text()
    assert [path for path in folder.rglob("*") if path.suffix in {".pyc", ".in"}] == []
