"""A sound deployment for tests of diagnostics, and an admin who asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.llms.debug.ledger_role import MEANT
from functions.llms.main import ROUTES
from shared import auth
from shared.endpoint import respond
from tests.asgi import Caller, call
from tests.fakes.supabase import Project

DEFAULT: dict[str, Any] = {
    "model_key": "gpt-4o",
    "identifier": "openai:gpt-4o",
    "provider": "openai",
    "is_active": True,
    "missing_since": None,
    "retires_on": None,
}
ROUTE = {
    "identifier": "openai:gpt-4o",
    "model_key": "gpt-4o",
    "provider": "openai",
    "upstream_id": "gpt-4o",
}
FOUND = {
    "default": DEFAULT,
    "unpriced": ["x"],
    "last_run": None,
    "last_good_run": None,
    "open_circuits": [{"provider_key": "google", "reason": "provider_error", "open_until": "2026-11-21T12:00:00Z"}],
}
LEDGER_ROLE = {
    "has_login": False,
    "is_admin": False,
    "member_of": [],
    "may_use": sorted(MEANT),
}
PRESETS = {"stored": 3, "overdue": 0, "computing": 0, "failing": {}}
LOOKUPS = [
    {"day": "2026-11-21", "asked_model": "gpt-5", "route_reason": "model_not_found", "turns": 3},
    {"day": "2026-11-20", "asked_model": "gpt-5", "route_reason": "model_replaced", "turns": 2},
    {"day": "2026-11-20", "asked_model": None, "route_reason": "model_not_found", "turns": 1},
]
SOUND: dict[str, tuple[int, Any]] = {
    "/rest/v1/rpc/diagnose_access": (200, {"relations": 16, "functions": 29, "findings": []}),
    "/rest/v1/rpc/diagnose_ledger_role": (200, LEDGER_ROLE),
    "/rest/v1/rpc/my_rights": (200, {"is_admin": True, "app_scopes": None}),
    "/rest/v1/rpc/diagnose_visibility": (200, {"visible": [], "unchecked": []}),
    "/rest/v1/llm_models": (401, {"code": "42501", "message": "permission denied for table llm_models"}),
    "/rest/v1/settings": (406, {"code": "PGRST106", "message": "Invalid schema: private"}),
}


@pytest.fixture
def admin(project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks as an admin, or with other claims."""
    monkeypatch.setattr(auth, "verifier", auth.Verifier())
    environ(OPENAI_API_KEY="sk-secret", OPENAI_BASE_URL="http://127.0.0.1:9")
    project.answers["/rest/v1/rpc/diagnose_catalogue"] = (200, FOUND | {"now": datetime.now(UTC).isoformat()})
    project.answers["/rest/v1/rpc/chat_begin"] = (200, {"routes": [ROUTE]})
    project.answers |= SOUND
    project.answers["/rest/v1/rpc/lookup_failures"] = (200, LOOKUPS)
    project.answers["/rest/v1/rpc/diagnose_insights"] = (200, PRESETS)

    async def ask(method: str, path: str, body: Any = None, **claims: Any) -> Caller:
        token = project.token(**({"app_metadata": {"role": "admin"}} | claims))
        headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": "application/json"} if body else {})
        chunks = [json.dumps(body).encode()] if body else []
        return await call(lambda request: respond(request, ROUTES), method, path, headers, chunks=chunks)

    return ask
