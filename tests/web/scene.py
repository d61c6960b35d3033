"""A running stack whose providers are scripted, with models for each thing that the page must show."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from local.environment import ROOT
from tests.fakes.providers import Script, Upstream, serving_upstream
from tests.fakes.providers.server import Act
from tests.fakes.providers.wire import Asked, Tokens
from tests.providers import variables
from tests.stack_process import RunningStack, data_folder, free_ports, running_stack

WEB: Final = ROOT / "web"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

RICH: Final = """## Which index helps

An index on `(user_id, day)` answers this query **alone**. See [the manual](https://www.postgresql.org/docs/).

| Query | Before | After |
|---|---:|---:|
| one user, 30 days | 182 ms | 0.4 ms |
| all users, 30 days | 240 ms | 96 ms |

```sql
create index usage_daily_user_id_day_idx
  on public.usage_daily (user_id, day);
```

The cost of a lookup grows with the height of the tree:

$$h = \\lceil \\log_{b}(n) \\rceil$$

1. Measure first.
2. Add the index.
3. Measure again.
"""
HOSTILE: Final = """<script>window.attacked = 1</script> <img src=x onerror="window.attacked = 2">

<iframe srcdoc="<script>parent.attacked = 3</script>"></iframe>

<svg onload="window.attacked = 4"><circle r="9"/></svg> <a href="javascript:window.attacked = 5">html link</a>

[markdown link](javascript:window.attacked=6) [data link](data:text/html,<script>window.attacked=7</script>)

![picture](https://tracker.example.com/pixel.png) ![x](javascript:window.attacked=8)

\u202etxet desrever\u202c and \x1b[31mred\x1b[0m and <style>body{display:none}</style>

| =cmd() | b |
|---|---|
| =HYPERLINK("http://evil.example","x") | @SUM(1) |
"""
_WIDE = "| " + " | ".join(f"column {n}" for n in range(60)) + " |\n" + "|---" * 60 + "|\n"
HUGE_TABLE: Final = _WIDE + ("| " + " | ".join("value" for _ in range(60)) + " |\n") * 40
_QUERY = """select symbol, round(max(high), 2) as highest, count(*) as bars
from bars_1d
group by symbol
order by symbol"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The running stack and the variables with which Playwright finds it."""

    stack: RunningStack
    upstream: Upstream
    environ: dict[str, str]


def chromium() -> str | None:
    """The path of a Chromium: that of CHROMIUM, else the first in PATH; None when there is none."""
    given = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in _BROWSERS)
    return given or next((path for path in found if path), None)


@contextlib.contextmanager
def page_scene() -> Iterator[Scene]:
    """The scene, ended afterwards."""
    with (
        serving_upstream() as upstream,
        data_folder() as data,
        running_stack(data, free_ports(), "--no-reload", "--no-model", environ=variables(upstream)) as stack,
    ):
        upstream.plays.update(_plays())
        _register(stack)
        environ = {
            **os.environ,
            **stack.values,
            "PAGE_URL": f"http://127.0.0.1:{stack.base}",
            "NODE_URL": upstream.url("client"),
            "CONSOLE": str(stack.console),
            "CHROMIUM": chromium() or "",
            "PYTHON": sys.executable,
        }
        yield Scene(stack, upstream, environ)


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + 24] for start in range(0, len(text), 24))


def _script(text: str, reasoning: str = "") -> tuple[Script]:
    return (Script(_pieces(text), reasoning=reasoning, tokens=Tokens(412, 0, len(text) // 4, 0)),)


def _plays() -> dict[str, tuple[Act, ...]]:
    """What the models say, by their names at the provider."""
    long = "\n\n".join(f"Paragraph {n}. " + "The quick brown fox jumps over the lazy dog. " * 8 for n in range(30))
    return {
        "rich": _script(RICH, "The question is about an index. A composite one fits."),
        "hostile": _script(HOSTILE),
        "huge-table": _script(HUGE_TABLE),
        "flowing": (Script((long, *(f"\n\nLine {n}." for n in range(600))), pause_seconds=0.05),),
        "analyst": (_analyst,),
        "handing": (_handing,),
        "hostile-tool": (_hostile_tool,),
    }


def _analyst(asked: Asked) -> Script:
    if asked.tool_results:
        return Script(_pieces("Gold had the highest price of the four instruments."))
    return Script(("I look it up. ",), calls=(("analyze_data", {"sql": _QUERY}),))


def _handing(asked: Asked) -> Script:
    if asked.tool_results:
        return Script(_pieces("Use `explain analyze` first."))
    reason = "This is about code."
    return Script(calls=(("hand_off", {"agent": "technical", "reason": reason}),))


def _hostile_tool(asked: Asked) -> Script:
    if asked.tool_results:
        return Script(("Done.",))
    sql = "select '<img src=x onerror=window.attacked=9>' as \"<b>name</b>\", chr(8238) || 'reversed' as turned"
    return Script(calls=(("analyze_data", {"sql": sql}),))


_MODELS: Final = {
    # model_key: (provider, upstream id, display name, US dollars per million tokens)
    "rich": ("openai", "rich", "Rich text", (1, 4)),
    "dear": ("openai", "fixed~page", "Dear model", (150, 600)),
    "cheap-one": ("openai", "echo~page", "Cheap model", (0.02, 0.08)),
    "unpriced": ("openai", "echo~unpriced", "Model without a price", None),
    "endless": ("openai", "endless~page", "Endless model", (1, 2)),
    "failing": ("openai", "status-500~page", "Failing model", (1, 2)),
    "cutting": ("openai", "cut~page", "Cut model", (1, 2)),
    "recovering": ("openai", "once-status-503~page", "Recovering model", (1, 2)),
    "hostile": ("openai", "hostile", "<b>Hostile</b> model", (1, 2)),
    "huge-table": ("openai", "huge-table", "Tables", (1, 2)),
    "flowing": ("openai", "flowing", "Flowing answers", (1, 2)),
    "analyst": ("openai", "analyst", "Analyst", (1, 2)),
    "handing": ("openai", "handing", "Handing over", (1, 2)),
    "hostile-tool": ("openai", "hostile-tool", "Hostile tools", (1, 2)),
}


def _register(stack: RunningStack) -> None:
    """Adds the scripted models to the catalogue."""
    able = {"context_window": 128_000, "max_output_tokens": 16_000, "supports_tools": True, "supports_vision": True}
    with psycopg.connect(stack.values["DATABASE_URL"], autocommit=True) as db:
        for order, (key, (provider, name, label, price)) in enumerate(_MODELS.items()):
            pricing = price and json.dumps({"input": price[0], "output": price[1]})
            db.execute(
                """insert into public.llm_models
                     (model_key, model_name, provider, upstream_id, capabilities, pricing, display_order)
                   values (%s, %s, %s, %s, %s, %s, %s)""",
                [key, label, provider, name, json.dumps(able), pricing, 500 + order],
            )
        db.execute(
            "update public.usage_limits set daily_cost_usd = 1000, monthly_cost_usd = 5000 where scope = 'global'"
        )
        db.execute("update public.usage_limits set daily_cost_usd = 20, monthly_cost_usd = 90 where scope = 'default'")
        db.execute(
            """insert into public.llm_models
                 (model_key, model_name, provider, upstream_id, capabilities, is_active, replaced_by, display_order)
               values ('retired', 'Retired model', 'openai', 'old~page', '{}', false, 'cheap-one', 600)"""
        )


def playwright(*words: str) -> list[str]:
    """A command of Playwright, to be run in `WEB`."""
    return [str(WEB / "node_modules" / ".bin" / "playwright"), *words]


def missing() -> str | None:
    """Why the page cannot be tested in a browser here; None when it can."""
    if not (WEB / "node_modules" / ".bin" / "playwright").exists():
        return "the npm packages of web/ are missing; `make setup` installs them"
    if not Path(WEB / "dist" / "index.html").exists():
        return "the page is not built; `make page` builds it"
    if chromium() is None:
        return "there is no Chromium: install it (Debian and Ubuntu: apt install chromium), or name one in CHROMIUM"
    return None
