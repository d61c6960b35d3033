"""An owner, a stranger, an admin and the service, and rows that belong to the owner."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from tests.stack.keys import new_key
from tests.stack.people import Person, Stack, new_admin, service, sign_up
from tests.stack.turns import Database


class Cast:
    """The people of this module and what belongs to the first of them."""

    def __init__(self, stack: Stack, db: Database, identifier: str) -> None:
        self.stack = stack
        self.owner, self.stranger, self.admin = sign_up(stack), sign_up(stack), new_admin(stack)
        friend = sign_up(stack)  # whom the owner adds: the stranger must stay one
        assert friend.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}).status_code == 201
        answer = self.owner.whole("hello", model=identifier)
        node = self.owner.rest(
            "POST",
            "client_nodes",
            json={"name": "mine", "base_url": "https://node.example/v1"},
            headers={"Prefer": "return=representation"},
        ).json()[0]
        alias = f"a{uuid.uuid4().hex[:12]}"
        db.execute("insert into public.llm_routes (alias, model_key) values (%s, 'gpt-4o')", [alias])
        db.execute("insert into public.provider_health (provider_key) values ('tenancy') on conflict do nothing")
        db.execute(
            """insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap)
               values (%s, 'day', '2026-01-01', 'cost 50%%', 1, 2)""",
            [self.owner.id],
        )
        db.execute(
            """insert into public.cost_corrections (run_id, turn_id, day, new_usd, prices)
               values (gen_random_uuid(), gen_random_uuid(), '2026-01-01', 1, '{}')"""
        )
        db.execute(
            """insert into public.provider_bills (provider, day, model, source)
               values ('tenancy', '2026-01-01', 'x', 'csv') on conflict do nothing"""
        )
        db.execute("insert into public.oauth_apps (client_id, name) values ('tenancy', 'x') on conflict do nothing")
        db.execute(
            """insert into public.message_versions
                 (id, conversation_id, user_id, role, content, turn_id, status, created_at, branch_id)
               values (gen_random_uuid(), %s, %s, 'user', 'hello', gen_random_uuid(), 'completed', now(),
                 gen_random_uuid())""",
            [answer["conversation_id"], self.owner.id],
        )
        db.execute(
            """insert into public.conversation_files (conversation_id, user_id, media_type, size_bytes, data)
               values (%s, %s, 'text/plain', 1, 'a')""",
            [answer["conversation_id"], self.owner.id],
        )
        db.execute(
            """insert into public.ai_insights
                 (cache_key, kind, scope, user_id, output, model, prompt_version, turn_id, expires_at)
               values ('tenancy-public', 'x', 'public', null, '{}', 'x:y', '1', gen_random_uuid(), now() + '1 day'),
                 (%s, 'x', 'user', %s, '{}', 'x:y', '1', gen_random_uuid(), now() + '1 day')
               on conflict do nothing""",
            [f"tenancy {self.owner.id}", self.owner.id],
        )
        verdict = {"turn_id": answer["id"], "rating": 5}
        assert self.owner.rest("POST", "feedback", json=verdict).status_code == 201
        new_key(self.owner)
        self.names = {
            "owner": self.owner.id,
            "stranger": self.stranger.id,
            "friend": friend.id,
            "conversation": answer["conversation_id"],
            "turn": answer["id"],
            "node": str(node["id"]),
            "alias": alias,
        }

    @property
    def outsiders(self) -> list[Person | str]:
        """anon, another user, an admin, the service."""
        return ["anon", self.stranger, self.admin, "service"]

    @property
    def everyone(self) -> list[Person | str]:
        """The same with the owner."""
        return ["anon", self.owner, self.stranger, self.admin, "service"]

    def filled(self, value: Any) -> Any:
        """A template with this cast's names; `{fresh}` is a new id each time."""
        if isinstance(value, str):
            return value.format(**self.names, fresh=str(uuid.uuid4()))
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        return value

    def ask(self, who: Person | str, method: str, path: str, **options: Any) -> httpx.Response:
        """A request as a user, as `anon` or as the `service`."""
        if isinstance(who, Person):
            return who.rest(method, path, **options)
        if who == "service":
            return service(self.stack, method, path, **options)
        headers = {"apikey": self.stack["SUPABASE_ANON_KEY"]}
        return httpx.request(method, f"{self.stack['SUPABASE_URL']}/rest/v1/{path}", headers=headers, **options)
