"""Request bodies: strict JSON up to a limit."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.types import Message

from shared import body as module
from shared.body import MAX_BODY_BYTES, parse_body, read_body
from shared.errors import BodyTooLarge, InvalidRequest, ParleyError, RequestTimeout, Unprocessable, UnsupportedMediaType
from tests.asgi import Caller, request_of

JSON = {"Content-Type": "application/json"}


class Order(BaseModel):
    """A body to be strict about."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = ""
    count: int = Field(default=1, ge=1)
    share: float = 0.0
    inner: dict[str, Any] = Field(default_factory=dict)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b"{'text': 'x'}",
        b'{"text": "x"} {}',
        b'{"text": "x",}',
        b'{"share": NaN}',
        b'{"share": Infinity}',
        b'{"share": -Infinity}',
        b'{"share": 1e999}',
        b'{"count": ' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"text": "x"}',
        '{"text": "ä"}'.encode("latin-1"),
        '{"text": "x"}'.encode("utf-16"),
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"inner": {"\\udfff": 1}}',
        b'{"inner": {"a": ["\\u0000"]}}',
        b'{"text": "a\nb"}',
        b'{"inner": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
        b"[" * 100_000,
        b'{"inner":' * 50_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_a_body_that_is_not_strict_json_is_a_400(raw: bytes) -> None:
    """It raises InvalidRequest, whatever is wrong, and never crashes."""
    with pytest.raises(InvalidRequest):
        parse_body(raw, Order)


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"[]", None),
        (b'"text"', None),
        (b"null", None),
        (b"5", None),
        (b'{"text": 5}', "text"),
        (b'{"text": null}', "text"),
        (b'{"count": "5"}', "count"),
        (b'{"count": 5.0}', "count"),
        (b'{"count": true}', "count"),
        (b'{"count": 0}', "count"),
        (b'{"share": "0.5"}', "share"),
        (b'{"unknown": 1}', "unknown"),
        (b'{"inner": []}', "inner"),
    ],
)
def test_json_that_does_not_fit_the_model_is_a_422(raw: bytes, param: str | None) -> None:
    """The error names the field and does not repeat the value."""
    with pytest.raises(Unprocessable) as caught:
        parse_body(raw, Order)
    assert caught.value.param == param
    assert [problem["param"] or None for problem in caught.value.metadata["errors"]] == [param]


class Square(BaseModel):
    """One of two shapes."""

    kind: Literal["square"]
    side: int


class Circle(BaseModel):
    """The other one."""

    kind: Literal["circle"]
    radius: int
    centre: Square | Literal["here"] = "here"


class Drawing(BaseModel):
    """Shapes, distinguished by their kind."""

    shapes: list[Annotated[Square | Circle, Field(discriminator="kind")]]


@pytest.mark.parametrize(
    ("shape", "param"),
    [
        ({"kind": "square", "side": "x"}, "shapes.0.side"),
        ({"kind": "square"}, "shapes.0.side"),
        ({"kind": "none"}, "shapes.0.kind"),
        ({}, "shapes.0.kind"),
        (5, "shapes.0"),
        ({"kind": "circle", "radius": 1, "centre": "there"}, "shapes.0.centre"),
        ({"kind": "circle", "radius": 1, "centre": {"kind": "square"}}, "shapes.0.centre.side"),
    ],
)
def test_a_problem_has_its_path_in_the_body(shape: object, param: str) -> None:
    """The path has the client's fields only, without names of our models or union members."""
    with pytest.raises(Unprocessable) as caught:
        parse_body(json.dumps({"shapes": [shape]}).encode(), Drawing)
    problems = caught.value.metadata["errors"]
    assert param in [each["param"] for each in problems]
    assert {each["param"] for each in problems} <= {param, param.rpartition(".")[0]}
    assert "instance of" not in json.dumps(problems)
    assert "tag" not in json.dumps(problems)


def test_up_to_twenty_problems_are_listed() -> None:
    """The client sees all problems at once, up to twenty."""
    raw = json.dumps({f"unknown{number}": 1 for number in range(1000)}).encode()
    with pytest.raises(Unprocessable) as caught:
        parse_body(raw, Order)
    assert len(caught.value.metadata["errors"]) == 20


@pytest.mark.parametrize(
    "raw",
    [
        b'{"inner": {"a": [' + b"1," * 100_000 + b"1]}}",
        b'{"inner": {"a": [' + b"{}," * 100_000 + b"1]}}",
        b"[" + b"[1]," * 50_001 + b"1]",
    ],
    ids=["numbers", "objects", "lists"],
)
def test_a_body_with_too_many_values_is_rejected_before_validation(raw: bytes) -> None:
    """Each misfit would cost an error, and other requests of the instance would wait."""
    with pytest.raises(Unprocessable, match="at most 100,000 values") as caught:
        parse_body(raw, Order)
    assert caught.value.metadata == {}


def test_an_object_with_too_many_fields_is_rejected_before_validation() -> None:
    """Each unknown field would cost an error."""
    with pytest.raises(Unprocessable, match="at most 10,000 fields") as caught:
        parse_body(json.dumps({f"unknown{number}": 1 for number in range(10_001)}).encode(), Order)
    assert caught.value.metadata == {}


def test_a_body_with_100_000_values_is_read() -> None:
    """That is a long conversation with many tools."""
    assert len(parse_body(b'{"inner": {"a": [' + b"1," * 99_000 + b"1]}}", Order).inner["a"]) == 99_001


def test_a_long_field_name_is_cut() -> None:
    """The error has at most 200 characters of the path."""
    with pytest.raises(Unprocessable) as caught:
        parse_body(json.dumps({"u" * 10_000: 1}).encode(), Order)
    assert caught.value.param == "u" * 200


def test_errors_do_not_repeat_values() -> None:
    """A password in the wrong field is neither in the error nor in its log line."""
    with pytest.raises(Unprocessable) as caught:
        parse_body(b'{"count": "hunter22"}', Order)
    assert "hunter22" not in json.dumps([caught.value.message, caught.value.metadata])


def test_a_body_that_fits_becomes_the_model() -> None:
    """Text of any script, numbers and moderate depth are unchanged."""
    raw = '{"text": "zwei\\nZeilen 🙂\\ud83d\\ude00", "count": 3, "share": 1, "inner": {"a": [[[1.5]]]}}'.encode()
    assert parse_body(raw, Order) == Order(text="zwei\nZeilen 🙂😀", count=3, share=1, inner={"a": [[[1.5]]]})


@given(st.binary(max_size=200))
def test_any_bytes_become_a_model_or_an_error(raw: bytes) -> None:
    """The parser raises no other exception."""
    with pytest.raises(ParleyError):
        parse_body(raw + b"\x00", Order)


async def _read(headers: dict[str, str], *chunks: bytes, max_bytes: int = 10) -> tuple[bytes, int]:
    caller = Caller(chunks=list(chunks))
    return await read_body(request_of(caller, "POST", "/", headers), max_bytes), caller.taken


@pytest.mark.anyio
@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "Application/JSON"],
)
async def test_json_in_utf8_is_read(kind: str) -> None:
    """Chunks are joined; the charset may be named if it is UTF-8."""
    assert (await _read({"Content-Type": kind}, b"{", b"}"))[0] == b"{}"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=utf-16"},
        JSON | {"Content-Encoding": "gzip"},
    ],
)
async def test_other_media_types_are_rejected_unread(headers: dict[str, str]) -> None:
    """A form, another charset or a compressed body is 415 before a byte is read."""
    caller = Caller(chunks=[b"{}"])
    with pytest.raises(UnsupportedMediaType):
        await read_body(request_of(caller, "POST", "/", headers))
    assert caller.taken == 0


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [JSON, JSON | {"Content-Length": "400"}])
async def test_a_client_that_still_writes_can_read_its_413(headers: dict[str, str]) -> None:
    """What is too large is read to its end and dropped, because a closed connection would lose the response."""
    caller = Caller(chunks=[b"1234"] * 100)
    with pytest.raises(BodyTooLarge) as caught:
        await read_body(request_of(caller, "POST", "/", headers), 10)
    assert caller.taken == 100
    assert caught.value.metadata == {"max_bytes": 10}


@pytest.mark.anyio
async def test_an_endless_body_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops at the limit of what is dropped."""
    monkeypatch.setattr(module, "_MAX_DRAINED_BYTES", 40)
    caller = Caller(chunks=[b"1234"] * 100)
    with pytest.raises(BodyTooLarge):
        await read_body(request_of(caller, "POST", "/", JSON), 10)
    assert caller.taken == 11


@pytest.mark.anyio
@pytest.mark.parametrize("length", ["11", "99999999999999999999999999"])
async def test_a_client_that_waits_for_100_continue_sends_nothing_too_large(length: str) -> None:
    """Its Content-Length is enough, and its body is not asked for."""
    caller = Caller(chunks=[b"{}"])
    headers = JSON | {"Content-Length": length, "Expect": "100-continue"}
    with pytest.raises(BodyTooLarge):
        await read_body(request_of(caller, "POST", "/", headers), 10)
    assert caller.taken == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("sent", "kind"), [(b"123", RequestTimeout), (b"12345678901", BodyTooLarge)])
async def test_a_body_has_a_deadline(sent: bytes, kind: type[ParleyError], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops in the middle is answered after BODY_SECONDS, and sooner when it has sent too much."""
    monkeypatch.setattr(module, "BODY_SECONDS" if kind is RequestTimeout else "_DRAIN_SECONDS", 0.05)
    caller = Caller(chunks=[sent, b""])
    request = request_of(caller, "POST", "/", JSON)

    async def receive() -> Message:
        if caller.taken == 1:
            await asyncio.Event().wait()
        return await caller.receive()

    with pytest.raises(kind):
        await read_body(Request(request.scope, receive), 10)


@pytest.mark.anyio
async def test_a_body_of_exactly_the_limit_is_read() -> None:
    """The limit itself is allowed; the default is one MiB."""
    assert await _read(JSON | {"Content-Length": "10"}, b"12345", b"67890") == (b"1234567890", 2)
    assert MAX_BODY_BYTES == 1024 * 1024
