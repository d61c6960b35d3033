"""docs/errors.md, from the classes of shared/errors: their docstrings, statuses, codes and advice for the client."""

from __future__ import annotations

import inspect

from shared.errors import BY_CODE, ParleyError
from tools.documents.markdown import code, table

_HEAD = """\
# Errors

Generated from `shared/errors/` by `make docs`. Edit the docstrings there.

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
## In OpenAI's words

`POST /v1/chat/completions` and `POST /v1/responses` use the statuses and codes that client libraries know.
Our own code is then in `metadata.code`, and in the log row.

| Our code | There |
|---|---|
| `context_exceeded`, and a provider's error for a conversation that is too long | 400 `context_length_exceeded` |
| `provider_refused`, when the provider answered 400, 413 or 422 | 400 with the provider's code, if it sent one |
| `validation_failed` | 400 `validation_failed` |
| `budget_exceeded` | 429 `insufficient_quota` |
| `quota_exceeded`, `too_many_turns` | 429 `rate_limit_exceeded` |

## In Anthropic's words

`POST /v1/messages` uses the statuses and types that Anthropic's SDKs and Claude Code know, in Anthropic's shape.
Our own code is in `error.metadata.code`.

| Our code | There |
|---|---|
| `context_exceeded`, `context_length_exceeded` | 400, and a message that begins with `prompt is too long` |
| `provider_refused`, when the provider answered 400, 413 or 422 | 400 `invalid_request_error` |
| `validation_failed` | 400 `invalid_request_error` |
| `budget_exceeded` | 402 `billing_error` |
| `quota_exceeded`, `too_many_turns` | 429 `rate_limit_error` |
| `provider_overloaded` | 529 `overloaded_error` |

The message of `provider_refused` has the provider's reason, redacted and cut. Client nodes have none.

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
