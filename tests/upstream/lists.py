"""Model lists as each provider gives them; the paged ones have two models a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

Lister = Callable[[web.Request], dict[str, Any]]

_PER_PAGE = 2
_CREATED = 1_721_172_741


def openai(request: web.Request) -> dict[str, Any]:  # noqa: ARG001 - a Lister
    """Names and nothing else."""
    names = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
    models = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "system"} for name in names]
    return {"object": "list", "data": models}


def node(request: web.Request) -> dict[str, Any]:
    """What a vLLM server tells; the header x-models says which names."""
    names = request.headers.get("x-models", "echo,endless").split(",")
    return {"object": "list", "data": [{"id": name, "object": "model", "max_model_len": 8192} for name in names]}


def huggingface(request: web.Request) -> dict[str, Any]:  # noqa: ARG001 - a Lister
    """Every model with the providers that serve it, or are about to."""
    novita = {
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
    cerebras = novita | {
        "provider": "cerebras",
        "context_length": 32_768,
        "pricing": {"input": 0.1, "output": 0.1},
        "supports_tools": True,
        "supports_structured_output": True,
    }
    staging = {"provider": "hyperbolic", "status": "staging", "is_model_author": False}
    models = [
        _routed("meta-llama/Llama-3.1-8B-Instruct", ["text"], [novita, cerebras]),
        _routed("Qwen/Qwen2.5-VL-7B-Instruct", ["text", "image"], [staging]),
    ]
    return {"object": "list", "data": models}


def _routed(name: str, inputs: list[str], providers: list[dict[str, Any]]) -> dict[str, Any]:
    architecture = {"input_modalities": inputs, "output_modalities": ["text"]}
    owner = name.partition("/")[0]
    told = {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
    return told | {"architecture": architecture, "providers": providers}


def gemini(request: web.Request) -> dict[str, Any]:
    """Pages by token; one model only embeds."""
    models = [
        _gemini("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 1_048_576, 65_536),
        _gemini("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", 1_048_576, 65_536),
        _gemini("gemini-3.8-flash", "Gemini 3.8 Flash", 1_048_576, 65_536),
        _gemini("gemini-embedding-001", "Gemini Embedding", 2048, 1, "embedContent"),
    ]
    size = min(int(request.query.get("pageSize", "50")), _PER_PAGE)
    start = int(request.query.get("pageToken") or 0)
    more = {"nextPageToken": str(start + size)} if start + size < len(models) else {}
    return {"models": models[start : start + size], **more}


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
        _anthropic("claude-haiku-4-5", "Claude Haiku 4.5", 200_000, 64_000),
    ]
    size = min(int(request.query.get("limit", "20")), _PER_PAGE)
    ids = [model["id"] for model in models]
    after = request.query.get("after_id")
    start = ids.index(after) + 1 if after in ids else 0
    page = models[start : start + size]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return {"data": page, "has_more": start + size < len(models), **ends}


def _anthropic(name: str, title: str, window: int, longest: int) -> dict[str, Any]:
    def told(*, can: bool) -> dict[str, Any]:
        return {"supported": can}

    abilities = ("batch", "citations", "code_execution", "image_input", "pdf_input", "structured_outputs")
    levels = {level: told(can=False) for level in ("low", "medium", "high", "max")}
    capabilities: dict[str, Any] = {ability: told(can=True) for ability in abilities}
    capabilities["context_management"] = told(can=True)
    capabilities["effort"] = {"supported": False, **levels}
    capabilities["thinking"] = {"supported": True, "types": {"adaptive": told(can=True), "enabled": told(can=True)}}
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
