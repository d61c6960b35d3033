"""Media types: the format that the Accept header chooses for the rows."""

from __future__ import annotations

from dataclasses import dataclass

from local.rest.errors import ApiError

JSON = "application/json"
CSV = "text/csv"
OPENAPI = "application/openapi+json"
_OBJECT = "application/vnd.pgrst.object"
_ARRAY = "application/vnd.pgrst.array"
_PLAN = "application/vnd.pgrst.plan"
_PLAN_OPTIONS = ("analyze", "verbose", "settings", "buffers", "wal")
_JSON_KINDS = {JSON, "*/*", "application/*", _ARRAY, f"{_ARRAY}+json"}
_MAX_TYPES = 50


@dataclass(frozen=True)
class Media:
    """The chosen format. `explain` are the options of EXPLAIN for a plan; None for rows."""

    content_type: str
    is_single: bool = False
    is_csv: bool = False
    is_stripped: bool = False
    explain: str | None = None


def choose_media(accept: str, *, is_root: bool = False) -> Media:
    """The first acceptable format, by quality. Raises ApiError 406 when there is none.

    GeoJSON and other types are off, as in PostgREST without settings for them.
    """
    wanted = [kind.strip() for kind in accept.split(",")[:_MAX_TYPES]] if accept.strip() else ["*/*"]
    for kind in sorted(wanted, key=_quality, reverse=True):
        found = _root_media(kind) if is_root else _rows_media(kind)
        if found:
            return found
    raise ApiError(406, "PGRST107", f"None of these media types are available: {', '.join(wanted)}")


def _quality(kind: str) -> float:
    for parameter in kind.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _root_media(kind: str) -> Media | None:
    name = kind.split(";", maxsplit=1)[0].strip().lower()
    return Media(f"{OPENAPI}; charset=utf-8") if name in {OPENAPI, JSON, "*/*", "application/*"} else None


def _rows_media(kind: str) -> Media | None:
    name, *parameters = (part.strip().lower() for part in kind.split(";"))
    is_stripped = "nulls=stripped" in parameters
    if name.removesuffix("+json").removesuffix("+text") == _PLAN:
        return _plan(name, parameters)
    if name == CSV:
        return Media(f"{CSV}; charset=utf-8", is_csv=True)
    if name.removesuffix("+json") == _OBJECT:
        stripped = ";nulls=stripped" if is_stripped else ""
        return Media(f"{_OBJECT}+json{stripped}; charset=utf-8", is_single=True, is_stripped=is_stripped)
    if name.removesuffix("+json") == _ARRAY and is_stripped:
        return Media(f"{_ARRAY}+json;nulls=stripped; charset=utf-8", is_stripped=True)
    return Media(f"{JSON}; charset=utf-8") if name in _JSON_KINDS else None


def _plan(name: str, parameters: list[str]) -> Media:
    given = next((each.removeprefix("options=").split("|") for each in parameters if each.startswith("options=")), [])
    kind = "json" if name.endswith("+json") else "text"
    chosen = [option for option in _PLAN_OPTIONS if option in given]
    is_single = any(_OBJECT in each for each in parameters)
    explain = ", ".join([*chosen, f"format {kind}"])
    return Media(f"{_PLAN}+{kind}; charset=utf-8", is_single=is_single, explain=explain)
