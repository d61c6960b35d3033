"""Units: their content, their size, and that a build is reproducible."""

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
    """The hash of a unit identifies its sources: it has no path, time or file order of the build machine."""
    again = build_lambda("llms", ARCH, tmp_path, python=PYTHON)
    assert again.read_bytes() == (units / "llms.zip").read_bytes()


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_unit_holds_one_function(units: Path, name: str) -> None:
    """A unit holds its folder, its OpenAPI document, shared/, its packages and run.sh; no tests, no other function."""
    names = _names(units, name)
    assert {"run.sh", "main.py", "shared/config.py", f"functions/{name}/main.py"} <= set(names)
    assert [each for each in names if each.startswith("docs/")] == [f"docs/openapi-{name}.json"]
    own = {each.split("/")[1] for each in names if each.startswith("functions/")}
    assert own == {"__init__.py", "__pycache__", name}
    unwanted = re.compile(r"(^|/)(tests|gunicorn|watchdog|requirements\.(in|txt))(/|$)|\.pyi$")
    assert [each for each in names if unwanted.search(each)] == []


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_unit_has_unchecked_bytecode(units: Path, name: str) -> None:
    """A cold start reads bytecode only: our sources stay for tracebacks, those of packages are removed."""
    folder = units / name
    sources = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {each.split("/")[0] for each in sources} - {"_duckdb.py"} == {"main.py", "functions", "shared"}
    compiled = list(folder.rglob("*.pyc"))
    assert len(compiled) > len(sources)
    # PEP 552: bit 0 means a hash instead of a time, bit 1 that Python checks the hash
    assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {0b01}
    cached = {path.name.split(".")[0] for path in folder.glob(f"functions/{name}/__pycache__/*.pyc")}
    assert cached == {path.stem for path in folder.glob(f"functions/{name}/*.py")}


@pytest.mark.parametrize(("name", "most"), [("llms", 65e6), ("refresh", 110e6), ("chat", 110e6), ("assist", 110e6)])
def test_a_unit_is_small(units: Path, name: str, most: float) -> None:
    """The unzipped size stays under the limit."""
    assert unzipped_bytes(units / name) < most


def test_chat_can_be_built_without_duckdb_and_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data the unit is a quarter smaller; with data it contains the file."""
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
    ca = tmp_path / "prod-ca.crt"
    ca.write_text("certificate")
    full = build_lambda("chat", ARCH, tmp_path / "full", python=PYTHON, data=file, authority=ca)
    with zipfile.ZipFile(lean) as archive:
        assert not any("duckdb" in name for name in archive.namelist())
    with zipfile.ZipFile(full) as archive:
        assert archive.read("data/trading.duckdb") == b"rows"
        assert archive.read("ca.pem") == b"certificate"
        assert {"duckdb/__init__.pyc", "_duckdb.py", "_duckdb.so.gz"} <= set(archive.namelist())
        assert gzip.decompress(archive.read("_duckdb.so.gz")) == b"library"


def test_modes_and_dates_are_fixed(units: Path) -> None:
    """Lambda can start run.sh and read the other files, whatever the umask of the build machine."""
    with zipfile.ZipFile(units / "llms.zip") as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == sorted((info.filename for info in infos), key=lambda n: n.split("/"))
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.filename for info in infos if info.external_attr >> 16 & 0o111} == {"run.sh"}
    assert b"\r" not in (ROOT / "deploy" / "run.sh").read_bytes()


def test_only_libraries_are_stripped(tmp_path: Path) -> None:
    """A file that is no 64-bit library stays unchanged."""
    file = tmp_path / "linker-script.so"
    file.write_bytes(b"INPUT(-lc)")
    strip_elf(file)
    assert file.read_bytes() == b"INPUT(-lc)"


def test_the_bytecode_matches_the_deployed_runtime() -> None:
    """Another minor version could not load it."""
    assert f"runtime: python{RUNTIME}\n" in (ROOT / "serverless.yml").read_text()


def test_a_missing_python_version_is_an_error(tmp_path: Path) -> None:
    """The error comes before anything is installed and names the command to run."""
    with pytest.raises(SystemExit, match=r"uv python install 3\.99"):
        build_lambda("llms", ARCH, tmp_path, python="3.99")


def test_an_unknown_architecture_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error lists the known ones, also for a value of LAMBDA_ARCH."""
    monkeypatch.setenv("LAMBDA_ARCH", "arm")
    monkeypatch.setattr("sys.argv", ["build", "lambda"])
    with pytest.raises(SystemExit, match="2"):
        build.main()
    assert "LAMBDA_ARCH is arm, and not one of" in capsys.readouterr().err


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_cloud_run_folder_has_what_googles_buildpack_expects(tmp_path: Path, name: str) -> None:
    """It has main.py, a requirements.txt with hashes, and our packages."""
    folder = build_cloud_run(name, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"main.py", "requirements.txt", "functions", "shared", "docs"}
    assert [path.name for path in (folder / "docs").iterdir()] == [f"openapi-{name}.json"]
    assert "--hash=sha256:" in (folder / "requirements.txt").read_text()
    assert [path for path in folder.rglob("*") if path.suffix in {".pyc", ".in"}] == []
