"""docs/errors.md, from the classes of shared/errors.py: their docstrings, statuses, codes and advice for the client."""

from __future__ import annotations

import inspect

from shared.errors import BY_CODE, ParleyError
from tools.documents.markdown import code, table

_HEAD = """\
# Errors

Generated from `shared/errors.py` by `make docs`. Edit the docstrings there.

An error before the first byte of the answer is an HTTP status with this body:

```json
{"error": {"message": "…", "type": "…", "code": "quota_exceeded", "param": null, "request_id": "…", "metadata": {}}}
```

After the first byte it is a frame of the stream: the AI SDK's `error` part, or an OpenAI chunk with `error`.
The receipt comes before the AI SDK's `error` part.
`message` is safe to show to the user. Programs read `code`, which is stable.
The body holds no stack trace, no SQL and no text of other users.

`Retry-After` says how many seconds to wait. `x-should-retry: false` says that the same request fails again.
`metadata` holds the numbers of a limit: `resets_at`, `limit` and `used`, or `limit_usd`, `spent_usd`,
`reserved_usd` and `needed_usd`. For a limit of the whole project it holds `resets_at` only.

## Codes

"""
_FOOT = """
## One code with two statuses

On `POST /v1/chat/completions`, `provider_refused` is 422 when the provider answered 400, 413 or 422.
There the client wrote the whole request. Elsewhere the status is 502.

## After the first byte

The stream has status 200. Usual codes there are `answer_cut`, `provider_timeout`, `node_failed` and `internal_error`.
The turn's status is then `partial`: the text that arrived is stored, and the turn costs what it used.
"""


def page() -> str:
    """The page."""
    own = [each for each in BY_CODE.values() if each is not ParleyError]
    rows = ((str(each.status), code(each.code), _when(each), each.client_action) for each in sorted(own, key=_order))
    return _HEAD + table(("Status", "Code", "When", "What the client does"), rows) + _FOOT


def _order(each: type[ParleyError]) -> int:
    return each.status


def _when(each: type[ParleyError]) -> str:
    """The first paragraph of the docstring."""
    return inspect.cleandoc(each.__doc__ or "").split("\n\n", 1)[0]
