"""What `up` prints when everything is ready."""

from __future__ import annotations

import sys
from pathlib import Path

from local.demo import MODEL_KEY, MODEL_NAME
from local.folder import command, shown
from local.people import DEMO_EMAIL
from local.plan import Plan

_QUESTION = '{"message":"Tell me a short story about a lighthouse."}'


def announcement(plan: Plan, seconds: float) -> str:
    """One table of addresses, who can sign in, where the rest is written, and a command to paste."""
    folder = plan.options.folder
    rows = [*_addresses(plan), *_person(plan)]
    rows += [("variables", shown(folder.env_file)), ("logs", f"{shown(folder.logs)}/")]
    width = max(len(label) for label, _ in rows)
    lines = [f"Parley is ready after {seconds:.1f} s. Ctrl-C or `{command('down', folder.path)}` ends it.", ""]
    lines += [f"  {label:<{width}}  {value}" for label, value in rows]
    lines += ["", *_notes(plan)]
    if "CHAT_URL" in plan.variables:
        lines += [_curl(plan), ""]
    return "\n".join(lines)


def _addresses(plan: Plan) -> list[tuple[str, str]]:
    variables = plan.variables
    rows = [(name, variables[f"{name.upper()}_URL"]) for name in plan.functions]
    labels = {"SUPABASE_URL": "Supabase API", "DATABASE_URL": "PostgreSQL"}
    rows += [(label, variables[name]) for name, label in labels.items() if name in variables]
    if "MODEL_URL" in variables and plan.options.has_model:
        known_as = f"  {MODEL_KEY}, named {MODEL_NAME!r}" if plan.is_embedded else ""
        rows.append(("model", variables["MODEL_URL"] + known_as))
    return rows


def _person(plan: Plan) -> list[tuple[str, str]]:
    if not plan.is_embedded:
        return []
    return [("e-mail", DEMO_EMAIL), ("password", plan.variables["DEMO_PASSWORD"])]


def _notes(plan: Plan) -> list[str]:
    notes = []
    if "CORS_ORIGINS" not in plan.given:
        notes = [
            "Pages on any port of localhost may call the functions. To admit others, write for example:",
            "CORS_ORIGINS=http://localhost:*,https://app.example.com",
            "",
        ]
    if plan.is_embedded:
        return notes
    return [
        *notes,
        "SUPABASE_URL was given, so that project is used as it is and nothing was written to it:",
        "no migrations, no demo person, and no row for the local model (a client node of your own can point at it).",
        "",
    ]


def _curl(plan: Plan) -> str:
    python = shown(Path(sys.executable))
    email = DEMO_EMAIL if plan.is_embedded else "YOUR_EMAIL"
    token = command(f"token {email}", plan.options.folder.path, python)
    return (
        f'curl -N {plan.variables["CHAT_URL"]} -H "Authorization: Bearer $({token})" '
        f"-H 'Content-Type: application/json' -d '{_QUESTION}'"
    )
