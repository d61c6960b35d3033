"""What each role gets for every table and function of the data API."""

from __future__ import annotations

from typing import Any

# What anon, another user, an admin and the service get: 200 = rows, 0 = 200 without any, else the refusal.
SELECTS = {
    "client_nodes?id=eq.{node}": (401, 0, 200, 200),
    "llm_models?limit=1": (401, 200, 200, 200),
    "llm_models?is_active=is.false&limit=1": (401, 0, 200, 200),
    "llm_routes?alias=eq.{alias}": (401, 200, 200, 200),
    "llm_conversations?id=eq.{conversation}": (401, 0, 200, 200),
    "conversation_members?conversation_id=eq.{conversation}": (401, 0, 200, 200),
    "messages?conversation_id=eq.{conversation}": (401, 0, 200, 200),
    "chat_logs?turn_id=eq.{turn}": (401, 0, 200, 200),
    "usage_limits?scope=eq.default": (401, 0, 200, 200),
    "usage_counters?scope=eq.{owner}": (401, 0, 200, 200),
    "usage_counters?scope=eq.global": (401, 0, 200, 200),
    "usage_daily?user_id=eq.{owner}": (401, 0, 200, 200),
    "cost_alerts?scope=eq.{owner}": (401, 0, 200, 200),
    "provider_health?provider_key=eq.tenancy": (401, 0, 200, 200),
    "refresh_runs?trigger=eq.tenancy": (401, 0, 200, 200),
    "user_llm_profiles?user_id=eq.{friend}": (401, 0, 0, 403),
    "feedback?turn_id=eq.{turn}": (401, 0, 200, 200),
    "model_quality?model_identifier=eq.tenancy": (401, 200, 200, 200),
}


# A forged row for each table, refused to everyone in the order anon, the owner, another user, an admin, the service;
# 0 = allowed.
INSERTS = {
    "client_nodes": (
        {"name": "x", "base_url": "https://x.example/v1", "owner_id": "{owner}", "may_use_tools": True},
        (401, 0, 403, 403, 403),
    ),
    "llm_models": (
        {"model_key": "{fresh}", "model_name": "x", "provider": "x", "upstream_id": "{fresh}"},
        (401, 403, 403, 0, 0),
    ),
    "llm_routes": ({"alias": "forged", "model_key": "gpt-4o"}, (401, 403, 403, 0, 403)),
    "llm_conversations": ({"user_id": "{owner}"}, (401, 403, 403, 403, 403)),
    "conversation_members": ({"conversation_id": "{conversation}", "user_id": "{friend}"}, (401, 0, 403, 403, 403)),
    "messages": ({"conversation_id": "{conversation}", "content": "x", "user_id": "{owner}"}, (401, 0, 403, 403, 403)),
    "chat_logs": ({"turn_id": "{fresh}", "endpoint": "x", "status": "completed"}, (401, 403, 403, 403, 403)),
    "usage_limits": ({"scope": "{fresh}", "daily_requests": 1}, (401, 403, 403, 0, 0)),
    "usage_counters": ({"scope": "x", "period": "day", "period_start": "2026-01-01"}, (401, 403, 403, 403, 403)),
    "usage_daily": ({"day": "2026-01-01", "cost_usd": 1}, (401, 403, 403, 403, 403)),
    "cost_alerts": (
        {"scope": "x", "period": "day", "period_start": "2026-01-01", "threshold": "x", "amount": 1, "cap": 1},
        (401, 403, 403, 403, 403),
    ),
    "provider_health": ({"provider_key": "x"}, (401, 403, 403, 403, 403)),
    "refresh_runs": ({"trigger": "tenancy"}, (401, 403, 403, 403, 0)),
    "user_llm_profiles": ({"user_id": "{owner}", "skill_level": "expert"}, (401, 0, 403, 403, 403)),
    "feedback": ({"turn_id": "{fresh}", "user_id": "{owner}", "rating": 5}, (401, 403, 403, 403, 403)),
    "model_quality": ({"model_identifier": "x", "turns": 1, "errors": 0, "ratings": 0}, (401, 403, 403, 403, 403)),
}
CALLS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "chat_begin": ({"turn": {"dry_run": True, "message": "x"}}, (401, 200, 200, 403)),
    "my_limits": ({}, (401, 200, 200, 403)),
    "chat_finish": ({"entry": {"turn_id": "{fresh}"}}, (401, 403, 403, 200)),
    "open_turns": ({}, (401, 403, 403, 200)),
    "raise_cost_alerts": ({}, (401, 403, 403, 200)),
    "raise_service_alerts": ({}, (401, 403, 403, 200)),
    "recover_alerts": ({"daily_usd": 0}, (401, 403, 403, 200)),
    "service_metrics": ({}, (401, 403, 403, 200)),
    "export_training_data": ({"limit": 1}, (401, 403, 200, 403)),
    "export_training_page": ({"until": "2026-01-01T00:00:00Z"}, (401, 403, 403, 200)),
    "export_my_data": ({}, (401, 200, 200, 403)),
    "claim_cost_alerts": ({"max_rows": 0}, (401, 403, 403, 200)),
    "settle_cost_alerts": ({}, (401, 403, 403, 200)),
    "thin_turns": ({}, (401, 403, 403, 200)),
    "purge_logs": ({"retention_days": 36500}, (401, 403, 403, 200)),
    "take_lease": ({"job": "tenancy", "holder_id": "{fresh}", "ttl_seconds": 1}, (401, 403, 403, 200)),
    "set_node_key": ({"node_id": "{node}", "api_key": "sk-forged"}, (401, 404, 404, 403)),
    "quarantine_spooled": ({"object_key": "tenancy", "reason": "refused"}, (401, 403, 403, 204)),
    "node_key": ({"node_id": "{node}", "base_url": "x"}, (401, 403, 403, 200)),
    "store_node_models": ({"node_id": "{node}", "models": []}, (401, 403, 403, 200)),
    "model_menu": ({}, (401, 200, 200, 200)),
    "diagnose_catalogue": ({}, (401, 200, 200, 403)),
    "diagnose_access": ({}, (401, 403, 200, 403)),
    "diagnose_visibility": ({}, (401, 403, 200, 403)),
    "delete_conversation": ({"conversation_id": "{fresh}"}, (401, 404, 404, 403)),
    "merge_models": ({"merge": {"provider": "x", "listed": [], "fence": 0}}, (401, 403, 403, 409)),
    "extend_lease": (
        {"job": "tenancy", "holder_id": "{fresh}", "fence": 0, "ttl_seconds": 1},
        (401, 403, 403, 200),
    ),
    "roll_up_profiles": ({}, (401, 403, 403, 200)),
    "measure_models": ({}, (401, 403, 403, 200)),
    "lookup_failures": ({}, (401, 200, 200, 200)),
    "ab_results": ({"alias": "tenancy"}, (401, 200, 200, 200)),
    "wilson_interval": ({"hits": 1, "n": 2}, (401, 200, 200, 200)),
    "release_lease": ({"job": "tenancy", "holder_id": "{fresh}", "fence": 0}, (401, 403, 403, 200)),
}
UPDATES = {
    "llm_conversations?id=eq.{conversation}": {"title": "mine now"},
    "client_nodes?id=eq.{node}": {"base_url": "https://evil.example/v1"},
    "client_nodes?id=eq.{node}&may_use_tools=is.false": {"may_use_tools": True},
    "conversation_members?conversation_id=eq.{conversation}": {"role": "owner"},
    "messages?conversation_id=eq.{conversation}": {"content": "never said"},
    "chat_logs?turn_id=eq.{turn}": {"cost_usd": 0},
    "usage_limits?scope=eq.default": {"daily_requests": 1000000},
    "usage_counters?scope=eq.{owner}": {"spent_usd": 0},
    "usage_daily?user_id=eq.{owner}": {"cost_usd": 0},
    "cost_alerts?scope=eq.{owner}": {"notified_at": None},
    "llm_models?model_key=eq.gpt-4o": {"pricing": None},
    "llm_routes?alias=eq.{alias}": {"weight": 0},
    "provider_health?provider_key=eq.tenancy": {"open_until": None},
    "refresh_runs?trigger=eq.tenancy": {"status": "failed"},
    "user_llm_profiles?user_id=eq.{friend}": {"skill_level": "beginner"},
    "feedback?turn_id=eq.{turn}": {"rating": 1},
    "model_quality?model_identifier=eq.tenancy": {"errors": 1},
}
