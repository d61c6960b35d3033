"""Request bodies: read no further than the limit, parsed as strict JSON, checked against a model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from shared.errors import BodyTooLarge, InvalidRequest, Unprocessable, UnsupportedMediaType

Body = TypeVar("Body", bound=BaseModel)

MAX_BODY_BYTES = 1024 * 1024
_MAX_DEPTH = 64
# Each that does not fit may cost an error of a kilobyte; a megabyte of data that tools told has some ten thousands.
_MAX_VALUES = 100_000
_MAX_FIELDS = 10_000  # of one object: each that is not known costs an error, too
_MAX_PROBLEMS, _MAX_PARAM = 20, 200
_OUR_CLASS = re.compile(r"a valid dictionary( or instance of \w+)?")
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, read no further than the limit. Raises BodyTooLarge, UnsupportedMediaType."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    if kind.strip().lower() != "application/json" or (charset and charset[1].lower() not in {"utf-8", "utf8"}):
        raise UnsupportedMediaType("Send the body as application/json in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed.")
    too_large = BodyTooLarge(f"The body may have at most {max_bytes} bytes.", metadata={"max_bytes": max_bytes})
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 15 or int(length) > max_bytes):
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def parse_body(raw: bytes, model: type[Body]) -> Body:
    """Strict JSON as `model`. Raises InvalidRequest for what is not JSON, Unprocessable for what does not fit.

    Of a body with more values than anybody needs none is looked at.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    _check(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [_problem(each, value) for each in _told(error)]
        first = problems[0]
        raise Unprocessable(
            f"{first['param'] or 'body'}: {first['message']}",
            param=first["param"] or None,
            metadata={"errors": problems},
        ) from error


def _told(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_PROBLEMS]


def _problem(told: ErrorDetails, value: Any) -> dict[str, str]:
    """Where and what, as the caller knows it: nothing of how our models are built."""
    message = _OUR_CLASS.sub("an object", told["msg"].removeprefix("Value error, "))
    return {"param": ".".join(map(str, _path(told, value)))[:_MAX_PARAM], "message": message}


def _path(told: ErrorDetails, value: Any) -> Iterator[str | int]:
    """The steps that lead through the body; pydantic names the kinds of message and union it tried among them."""
    missing = len(told["loc"]) if told["type"] == "missing" else None  # is the last step, and not there
    for place, step in enumerate(told["loc"], 1):
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        elif place != missing:
            continue
        yield step


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_number(text)
    return number


def _check(value: Any) -> None:
    """Strings, depth and number of values. Values are counted before they are looked at."""
    pending: list[tuple[Any, int]] = [(value, 1)]
    count = 0
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            if _SURROGATE_OR_NUL.search(item):
                raise InvalidRequest("Strings may hold neither NUL nor lone surrogates.")
        elif isinstance(item, dict | list):
            if depth > _MAX_DEPTH:
                raise InvalidRequest("The body is nested too deeply.")
            count += len(item)
            if isinstance(item, dict) and len(item) > _MAX_FIELDS:
                raise Unprocessable(f"An object may have at most {_MAX_FIELDS:,} fields.")
            if count > _MAX_VALUES:
                raise Unprocessable(f"The body may hold at most {_MAX_VALUES:,} values.")
            children = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            pending.extend((child, depth + 1) for child in children)
