"""Request bodies: read up to a limit, parsed as strict JSON, validated by a model; and the idempotency key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from shared.errors import BodyTooLarge, InvalidRequest, RequestTimeout, Unprocessable, UnsupportedMediaType
from shared.identifiers import is_idempotency_key
from shared.strict_json import MAX_DEPTH, MAX_VALUES, parse_json
from shared.validation import problems

Body = TypeVar("Body", bound=BaseModel)

MAX_BODY_BYTES = 1024 * 1024
MAX_BYTES_WITH_FILES = 4 * 1024 * 1024  # files are sent as text; both clouds take six megabytes
BODY_SECONDS = 30.0
_MAX_DRAINED_BYTES = 32 * 1024 * 1024
_DRAIN_SECONDS = 1.0  # of silence, after which a client waits for its response
_MAX_FIELDS = 10_000  # of one object: pydantic makes an error of each unknown field
_MAX_PROBLEMS, _MAX_PARAM = 20, 200
_OUR_CLASS = re.compile(r"a valid dictionary( or instance of \w+)?")
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, of at most `max_bytes`. Raises BodyTooLarge, RequestTimeout, UnsupportedMediaType."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    if kind.strip().lower() != "application/json" or (charset and charset[1].lower() not in {"utf-8", "utf8"}):
        raise UnsupportedMediaType("Send the body as application/json in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed.")
    length = request.headers.get("content-length", "")
    is_long = length.isdigit() and (len(length) > 15 or int(length) > max_bytes)
    if not is_long or "expect" not in request.headers:  # who waits for 100 Continue has sent nothing yet
        body = await _received(request, max_bytes)
        if body is not None:
            return body
    raise body_too_large(max_bytes)


def body_too_large(max_bytes: int) -> BodyTooLarge:
    """The error of a body over this limit."""
    return BodyTooLarge(f"The body may have at most {max_bytes} bytes.", metadata={"max_bytes": max_bytes})


async def _received(request: Request, max_bytes: int) -> bytes | None:
    """The body; None when it is too large. Raises RequestTimeout.

    What is too large is read and dropped while it arrives, up to _MAX_DRAINED_BYTES: a client that still writes when
    the connection closes reads no response.
    """
    body, size, loop = bytearray(), 0, asyncio.get_running_loop()
    try:
        async with asyncio.timeout(BODY_SECONDS) as limit:
            deadline = loop.time() + BODY_SECONDS
            async for chunk in request.stream():
                size += len(chunk)
                if size <= max_bytes:
                    body += chunk
                elif size > _MAX_DRAINED_BYTES:
                    break
                else:
                    limit.reschedule(min(deadline, loop.time() + _DRAIN_SECONDS))
    except TimeoutError as error:
        if size <= max_bytes:
            raise RequestTimeout("The body did not arrive in time.") from error
    return bytes(body) if size <= max_bytes else None


def parse_body(raw: bytes, model: type[Body]) -> Body:
    """The body as a `model`. Raises InvalidRequest if it is not JSON, Unprocessable if it does not fit.

    Bodies with more than MAX_VALUES values are rejected before validation: each misfit can cost 1 kB of error.
    """
    try:
        value = parse_json(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    _check(value, has_escapes=b"\\u" in raw)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = [_problem(each, value) for each in problems(error, _MAX_PROBLEMS, with_context=True)]
        first = errors[0]
        raise Unprocessable(
            f"{first['param'] or 'body'}: {first['message']}",
            param=first["param"] or None,
            metadata={"errors": errors},
        ) from error


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key; None without one. Raises InvalidRequest for a wrong one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not is_idempotency_key(key):
        raise InvalidRequest("Idempotency-Key takes 1 to 255 printable ASCII characters.", param="Idempotency-Key")
    return key


def _problem(details: ErrorDetails, value: Any) -> dict[str, str]:
    """The field and the problem in terms of the request, without names of our models."""
    message = _OUR_CLASS.sub("an object", details["msg"].removeprefix("Value error, "))
    if details["type"] == "union_tag_invalid":
        message = f"Input should be one of {details['ctx']['expected_tags']}"
    elif details["type"] == "union_tag_not_found":
        message = "Field required"
    return {"param": ".".join(map(str, _path(details, value)))[:_MAX_PARAM], "message": message}


def _path(details: ErrorDetails, value: Any) -> Iterator[str | int]:
    """The steps to the field in the body, without the union members that pydantic adds to its own path."""
    missing = len(details["loc"]) if details["type"] == "missing" else None  # the last step is not in the body
    for place, step in enumerate(details["loc"], 1):
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        elif place != missing:
            continue
        yield step
    if details["type"].startswith("union_tag_"):
        yield str(details.get("ctx", {}).get("discriminator", "")).strip("'")


def _check(value: Any, *, has_escapes: bool) -> None:
    """Checks strings, depth and the number of values. Raises InvalidRequest, Unprocessable.

    Only escapes bring NUL and lone surrogates into a string: UTF-8 has no surrogates, and JSON no control characters.
    """
    pending: list[tuple[Any, int]] = [(value, 1)]
    count = 0
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            if has_escapes and _SURROGATE_OR_NUL.search(item):
                raise InvalidRequest("Strings may hold neither NUL nor lone surrogates.")
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise InvalidRequest("The body is nested too deeply.")
            count += len(item)
            if isinstance(item, dict) and len(item) > _MAX_FIELDS:
                raise Unprocessable(f"An object may have at most {_MAX_FIELDS:,} fields.")
            if count > MAX_VALUES:
                raise Unprocessable(f"The body may hold at most {MAX_VALUES:,} values.")
            children = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            pending.extend((child, depth + 1) for child in children)
