"""A request to the data API, with what its headers choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from local.rest.errors import ApiError
from local.rest.media import Media, choose_media
from local.rest.preferences import Preferences, parse_preferences
from local.rest.schema_cache import SCHEMA

_READS = {"GET", "HEAD"}
_WRITES = {"POST", "PATCH", "PUT", "DELETE"}


@dataclass(frozen=True)
class RestRequest:
    """A request. `path` is the decoded path below `base_url`; `query` is not decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base_url: str = ""

    @cached_property
    def media(self) -> Media:
        """The format of the response. Raises ApiError 406."""
        return choose_media(self.headers.get("accept", ""), is_root=not self.path)

    @cached_property
    def preferences(self) -> Preferences:
        """The preferences of the Prefer header."""
        return parse_preferences(self.headers.get("prefer", ""))

    @property
    def is_single(self) -> bool:
        """Whether the client wants exactly one row as an object."""
        return self.media.is_single

    @property
    def is_read(self) -> bool:
        """Whether the method reads."""
        return self.method in _READS

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        given = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return "application/json" if given in {"", "*/*"} else given

    @property
    def profile(self) -> str | None:
        """The schema that the client names; None without one."""
        name = "accept-profile" if self.is_read else "content-profile" if self.method in _WRITES else ""
        return self.headers.get(name)

    @property
    def is_checked(self) -> bool:
        """Whether the result decides if the changes are kept."""
        return self.is_single or self.preferences.max_affected is not None or self.is_rolled_back

    @property
    def is_rolled_back(self) -> bool:
        """Whether no change is kept: the client wants none, or only the plan, which may have made it."""
        return self.preferences.is_rolled_back or self.media.explain is not None

    def check(self) -> None:
        """Raises ApiError for an unknown method, path or schema, and for what a strict client does not allow."""
        if self.method not in _READS | _WRITES | {"OPTIONS"}:
            raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {self.method}")
        if self.profile is not None and self.profile != SCHEMA:
            hint = f"Only the following schemas are exposed: {SCHEMA}"
            raise ApiError(406, "PGRST106", f"Invalid schema: {self.profile}", hint=hint)
        if "/" in self.path.removeprefix("rpc/"):
            raise ApiError(404, "PGRST125", "Invalid path specified in request URL")
        if not self.path and self.method in _WRITES:
            raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {self.method}")
        self.preferences.check()
