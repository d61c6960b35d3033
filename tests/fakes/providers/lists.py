"""Model lists of each provider: the usual ones, with two models a page, and lists that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Lister = Callable[[web.Request], dict[str, Any]]

_PER_PAGE = 2
_CREATED = 1_721_172_741


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a test puts up instead of a dialect's usual list: entries, or a text with a status.

    `is_held` waits for `Upstream.release` before it answers.
    """

    entries: Sequence[Any] = ()
    text: str | None = None
    status: int = 200
    is_held: bool = False

    def response(self, dialect: str, request: web.Request) -> web.Response:
        """The answer to one request for the list or a page of it."""
        if self.text is not None:
            return web.Response(text=self.text, status=self.status, content_type="text/html")
        return web.json_response(_PAGES[dialect](request, self.entries, 1000), status=self.status)


def entry(dialect: str, name: str, title: str = "", **changes: Any) -> dict[str, Any]:
    """A model as this dialect lists it."""
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "google": lambda: _gemini(name, title or name, 1_048_576, 65_536),
        "anthropic": lambda: _anthropic(name, title or name, 200_000, 64_000),
        "openai": lambda: {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"},
        "client": lambda: {"id": name, "object": "model", "max_model_len": 8192},
        "huggingface": lambda: _routed(name, ["text"], [_NOVITA]),
        "matcha": lambda: {"id": int(name), "name": title},
    }
    return makers[dialect]() | changes


def openai(request: web.Request) -> dict[str, Any]:  # noqa: ARG001 - a Lister
    """Names and nothing else."""
    names = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
    models = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "system"} for name in names]
    return {"object": "list", "data": models}


def node(request: web.Request) -> dict[str, Any]:
    """The model list of a vLLM server; the header x-models names its models."""
    names = request.headers.get("x-models", "echo,endless").split(",")
    return {"object": "list", "data": [{"id": name, "object": "model", "max_model_len": 8192} for name in names]}


def huggingface(request: web.Request) -> dict[str, Any]:  # noqa: ARG001 - a Lister
    """Every model with the providers that serve it, or are about to."""
    cerebras = _NOVITA | {
        "provider": "cerebras",
        "context_length": 32_768,
        "pricing": {"input": 0.1, "output": 0.1},
        "supports_tools": True,
        "supports_structured_output": True,
    }
    staging = {"provider": "hyperbolic", "status": "staging", "is_model_author": False}
    models = [
        _routed("meta-llama/Llama-3.1-8B-Instruct", ["text"], [_NOVITA, cerebras]),
        _routed("Qwen/Qwen2.5-VL-7B-Instruct", ["text", "image"], [staging]),
    ]
    return {"object": "list", "data": models}


_NOVITA = {
    "provider": "novita",
    "status": "live",
    "context_length": 16_384,
    "pricing": {"input": 0.02, "output": 0.05},
    "supports_tools": False,
    "supports_structured_output": False,
    "first_token_latency_ms": 411.0,
    "throughput": 71.2,
    "is_model_author": False,
}


def _routed(name: str, inputs: list[str], providers: list[dict[str, Any]]) -> dict[str, Any]:
    architecture = {"input_modalities": inputs, "output_modalities": ["text"]}
    owner = name.partition("/")[0]
    received = {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
    return received | {"architecture": architecture, "providers": providers}


def gemini(request: web.Request) -> dict[str, Any]:
    """Pages by token; one model only embeds."""
    models = [
        _gemini("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 1_048_576, 65_536),
        _gemini("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", 1_048_576, 65_536),
        _gemini("gemini-3.8-flash", "Gemini 3.8 Flash", 1_048_576, 65_536),
        _gemini("gemini-embedding-001", "Gemini Embedding", 2048, 1, "embedContent"),
    ]
    return _google_page(request, models, _PER_PAGE)


def _google_page(request: web.Request, models: Sequence[Any], most: int) -> dict[str, Any]:
    size = min(int(request.query.get("pageSize", "50")), most)
    start = int(request.query.get("pageToken") or 0)
    more = {"nextPageToken": str(start + size)} if start + size < len(models) else {}
    return {"models": list(models[start : start + size]), **more}


def _gemini(name: str, title: str, window: int, longest: int, method: str = "generateContent") -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": title,
        "description": title,
        "inputTokenLimit": window,
        "outputTokenLimit": longest,
        "supportedGenerationMethods": [method, "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
    }


def anthropic(request: web.Request) -> dict[str, Any]:
    """Pages by the last id seen."""
    models = [
        _anthropic("claude-opus-4-8", "Claude Opus 4.8", 1_000_000, 128_000),
        _anthropic("claude-sonnet-4-6", "Claude Sonnet 4.6", 1_000_000, 64_000),
        _anthropic("claude-haiku-4-5-20251001", "Claude Haiku 4.5", 200_000, 64_000),
    ]
    return _anthropic_page(request, models, _PER_PAGE)


def _anthropic_page(request: web.Request, models: Sequence[Any], most: int) -> dict[str, Any]:
    size = min(int(request.query.get("limit", "20")), most)
    ids = [model["id"] if isinstance(model, dict) else None for model in models]
    after = request.query.get("after_id")
    start = ids.index(after) + 1 if after in ids else 0
    page = list(models[start : start + size])
    ends = {"first_id": ids[start] if page else None, "last_id": ids[start + len(page) - 1] if page else None}
    return {"data": page, "has_more": start + size < len(models), **ends}


def _anthropic(name: str, title: str, window: int, longest: int) -> dict[str, Any]:
    def received(*, can: bool) -> dict[str, Any]:
        return {"supported": can}

    abilities = ("batch", "citations", "code_execution", "image_input", "pdf_input", "structured_outputs")
    levels = {level: received(can=False) for level in ("low", "medium", "high", "max")}
    capabilities: dict[str, Any] = {ability: received(can=True) for ability in abilities}
    capabilities["context_management"] = received(can=True)
    capabilities["effort"] = {"supported": False, **levels}
    capabilities["thinking"] = {
        "supported": True,
        "types": {"adaptive": received(can=True), "enabled": received(can=True)},
    }
    return {
        "type": "model",
        "id": name,
        "display_name": title,
        "created_at": "2026-02-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": window,
        "max_tokens": longest,
        "capabilities": capabilities,
        "deprecated_at": None,
        "retires_at": None,
    }


def _openai_page(_request: web.Request, models: Sequence[Any], _most: int) -> dict[str, Any]:
    return {"object": "list", "data": list(models)}


def _matcha_page(_request: web.Request, models: Sequence[Any], _most: int) -> dict[str, Any]:
    return {"llms": list(models)}


_PAGES: dict[str, Callable[[web.Request, Sequence[Any], int], dict[str, Any]]] = {
    "google": _google_page,
    "anthropic": _anthropic_page,
    "openai": _openai_page,
    "client": _openai_page,
    "huggingface": _openai_page,
    "matcha": _matcha_page,
}
