"""The data API through supabase-js."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.environment import ROOT
from tests.local.servers import Api
from tests.stack_process import clean_environ

_SCRIPT = Path(__file__).with_name("rest_calls.mjs")
_RESULTS: dict[str, list[Any]] = {
    "csv": [200, "id,name\n1,Microsoft\n2,Apple"],
    "single": [200, {"name": "Microsoft"}],
    "singleOfTwo": [406, "PGRST116"],
    "maybeSingle": [200, None],
    "maybeSingleOfTwo": [406, "PGRST116"],
    "count": [200, None, 15],
    "planned": [206, [{"id": 1}], 15],
    "range": [200, [{"id": 3}, {"id": 4}]],
    "stripNulls": [200, [{"id": 5, "name": "Orphan"}]],
    "explain": [406, "PGRST107"],
    "schema": [406, "PGRST106"],
    "likeAnyOf": [200, [{"id": 1}]],
    "ilikeAllOf": [200, [{"id": 2}]],
    "contains": [200, [{"id": 1}]],
    "containedBy": [200, [{"id": 2}]],
    "overlaps": [200, [{"id": 1}]],
    "rangeGt": [200, [{"id": 2}]],
    "textSearch": [200, [{"id": 1}]],
    "webSearch": [200, [{"id": 2}]],
    "match": [200, [{"id": 2}]],
    "not": [200, [{"id": 3}]],
    "or": [200, [{"id": 1}, {"id": 3}]],
    "orInside": [200, [{"projects": [{"id": 2}]}]],
    "inside": [200, [{"projects": [{"id": 1}]}]],
    "manyToMany": [200, [{"tasks": [{"id": 5}, {"id": 6}]}]],
    "spread": [200, [{"id": 1, "client": "Microsoft"}]],
    "relatedOrder": [200, [{"id": 5, "clients": None}]],
    "aggregate": [400, "PGRST123"],
    "insert": [201, [{"id": 9, "kind": "plain"}]],
    "insertMany": [201, [{"kind": "plain"}, {"kind": "plain"}]],
    "insertCount": [201, None, 2],
    "upsert": [200, [{"name": "one", "size": 5}]],
    "upsertBy": [200, [{"id": 2, "size": 7}]],
    "upsertIgnored": [201, []],
    "update": [200, {"size": 5}],
    "remove": [204, None, 2],
    "maxAffected": [400, "PGRST124"],
    "duplicate": [409, "23505"],
    "rpc": [200, 6],
    "rpcGet": [200, 9],
    "rpcHead": [200, None, 2],
    "rpcRows": [200, [{"id": 2}]],
    "rpcLimit": [400, "PGRST124"],
    "rpcUnknown": [404, "PGRST202"],
}


@pytest.fixture(scope="module")
def results(api: Api) -> Any:
    """What supabase-js got for each call: (status, rows or error code, count)."""
    # A browser has WebSockets, which supabase-js looks for; Node 20 has them behind a flag.
    command = ["node", "--no-warnings", "--experimental-websocket", str(_SCRIPT)]
    environ = clean_environ() | {"API_URL": api.url, "API_KEY": api.keys.publishable_key}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", _RESULTS)
def test_a_call_of_supabase_js(results: Any, name: str) -> None:
    """Filters, modifiers, embeds, changes and calls give what they give on Supabase."""
    assert results[name] == _RESULTS[name]


def test_every_call_is_compared(results: Any, api: Api) -> None:
    """The script has no other calls, and none of them kept a change."""
    assert set(results) == set(_RESULTS)
    assert api.query("select (select sum(size) from public.things), (select count(*) from public.items)") == [(40, 15)]
