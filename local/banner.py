"""The text that `up` prints when the stack is ready."""

from __future__ import annotations

from local.data_dir import command, display_path
from local.seeding import MODEL_KEY, MODEL_NAME
from local.stack_plan import StackPlan
from local.users import DEMO_EMAIL

_QUESTION = '{"message":"Tell me a short story about a lighthouse."}'


def banner_text(plan: StackPlan, seconds: float) -> str:
    """A table of addresses, the demo user and the files, then a command to paste."""
    data_dir = plan.options.data_dir
    rows = [*_addresses(plan), *_demo_user(plan)]
    rows += [("variables", display_path(data_dir.env_file)), ("logs", f"{display_path(data_dir.logs)}/")]
    width = max(len(label) for label, _ in rows)
    lines = [f"Parley is ready after {seconds:.1f} s. Ctrl-C or `{command('down', data_dir.path)}` stops it.", ""]
    lines += [f"  {label:<{width}}  {value}" for label, value in rows]
    lines += ["", *_notes(plan)]
    if "CHAT_URL" in plan.variables:
        lines += [_curl(plan), ""]
    return "\n".join(lines)


def _addresses(plan: StackPlan) -> list[tuple[str, str]]:
    variables = plan.variables
    rows = [("page", plan.options.ports.url("page"))] if plan.starts_page else []
    rows += [(name, variables[f"{name.upper()}_URL"]) for name in plan.functions]
    labels = {"SUPABASE_URL": "Supabase API", "DATABASE_URL": "PostgreSQL"}
    rows += [(label, variables[name]) for name, label in labels.items() if name in variables]
    if "MODEL_URL" in variables and plan.options.has_model:
        model_names = f"  {MODEL_KEY}, named {MODEL_NAME!r}" if plan.is_embedded else ""
        rows.append(("model", variables["MODEL_URL"] + model_names))
    return rows


def _demo_user(plan: StackPlan) -> list[tuple[str, str]]:
    if not plan.is_embedded:
        return []
    return [("e-mail", DEMO_EMAIL), ("password", plan.variables["DEMO_PASSWORD"])]


def _notes(plan: StackPlan) -> list[str]:
    has_page = plan.starts_page or plan.options.only is not None
    notes = [] if has_page else ["The page is not built: `make run` builds it with Node 20 or newer.", ""]
    if "CORS_ORIGINS" not in plan.given:
        notes += [
            "Pages on any port of localhost may call the functions. To allow other origins, set for example:",
            "CORS_ORIGINS=http://localhost:*,https://app.example.com",
            "",
        ]
    if plan.is_embedded:
        return notes
    return [
        *notes,
        "SUPABASE_URL is set, so the stack uses that project and writes nothing to it:",
        "no migrations, no demo user and no row for the local model (add a client node to use it).",
        "",
    ]


def _curl(plan: StackPlan) -> str:
    email = DEMO_EMAIL if plan.is_embedded else "YOUR_EMAIL"
    token = command(f"token {email}", plan.options.data_dir.path)
    return (
        f'curl -N {plan.variables["CHAT_URL"]} -H "Authorization: Bearer $({token})" '
        f"-H 'Content-Type: application/json' -d '{_QUESTION}'"
    )
