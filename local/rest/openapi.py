"""The OpenAPI document of the data API at its root: the tables and functions that the caller may use."""

from __future__ import annotations

import json
from typing import Any

from local.rest.results import Statement
from local.rest.schema_cache import SCHEMA

# One row like that of every statement; its body is what `document` reads.
_QUERY = f"""
    select null::bigint, 1, json_build_object(
      'tables', coalesce((select json_agg(json_build_object('name', c.relname,
          'comment', obj_description(c.oid, 'pg_class'),
          'verbs', (select coalesce(json_agg(v), '[]') from unnest(array['select', 'insert', 'update', 'delete']) as v
                    where has_table_privilege(c.oid, v) or v <> 'delete' and has_any_column_privilege(c.oid, v)),
          'columns', (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
              'comment', col_description(c.oid, a.attnum), 'required', a.attnotnull and not a.atthasdef
                and a.attidentity = '', 'is_key', coalesce(a.attnum = any (i.indkey), false)) order by a.attnum)
            from pg_attribute as a left join pg_index as i on i.indrelid = c.oid and i.indisprimary
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)) order by c.relname)
        from pg_class as c where c.relnamespace = '{SCHEMA}'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and not c.relispartition and has_any_column_privilege(c.oid, 'select, insert, update')), '[]'),
      'functions', coalesce((select json_agg(json_build_object('name', p.proname,
          'comment', obj_description(p.oid, 'pg_proc'), 'is_read_only', p.provolatile <> 'v',
          'required', p.pronargs - p.pronargdefaults, 'arguments',
            (select coalesce(json_agg(json_build_array(coalesce(p.proargnames[a.i], ''), format_type(a.type, -1))
                                      order by a.i), '[]')
             from unnest(p.proargtypes::oid[]) with ordinality as a (type, i))) order by p.proname)
        from pg_proc as p where p.pronamespace = '{SCHEMA}'::regnamespace and p.prokind = 'f'
          and p.prorettype <> 'trigger'::regtype and has_function_privilege(p.oid, 'execute')), '[]'))::text,
      null::text, null::text, null::int, null::json
"""
_VERBS = {"select": "get", "insert": "post", "update": "patch", "delete": "delete"}
_TYPES = {
    "boolean": "boolean",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
}


def root_statement() -> Statement:
    """The statement that reads what the document describes."""
    return Statement(_QUERY, [], is_read_only=True, success_status=200, range_of="", applied=())


def document(text: str, url: str) -> str:
    """The document (OpenAPI 2.0) as JSON for the data API at `url`."""
    found = json.loads(text)
    scheme, _, place = url.partition("://")
    host, _, base = place.partition("/")
    paths: dict[str, Any] = {"/": {"get": {"tags": ["Introspection"], "responses": {"200": {"description": "OK"}}}}}
    paths |= {f"/{table['name']}": _table_path(table) for table in found["tables"]}
    paths |= {f"/rpc/{function['name']}": _function_path(function) for function in found["functions"]}
    return json.dumps(
        {
            "swagger": "2.0",
            "info": {"title": "standard public schema", "description": "", "version": "local"},
            "host": host,
            "basePath": f"/{base}",
            "schemes": [scheme],
            "consumes": ["application/json", "text/csv"],
            "produces": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
            "paths": paths,
            "definitions": {table["name"]: _definition(table) for table in found["tables"]},
        }
    )


def _table_path(table: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": f"#/definitions/{table['name']}"}
    body = [{"name": table["name"], "in": "body", "schema": schema}]
    filters = [{"name": column["name"], "in": "query", "type": "string"} for column in table["columns"]]
    shown = {"200": {"description": "OK", "schema": {"type": "array", "items": schema}}}
    return {
        _VERBS[verb]: {
            "tags": [table["name"]],
            **({"summary": table["comment"]} if table["comment"] else {}),
            "parameters": (filters if verb != "insert" else []) + (body if verb in {"insert", "update"} else []),
            "responses": shown if verb == "select" else {"201" if verb == "insert" else "204": {"description": "Done"}},
        }
        for verb in table["verbs"]
    }


def _function_path(function: dict[str, Any]) -> dict[str, Any]:
    arguments = [(name, kind) for name, kind in function["arguments"] if name]
    required = [name for name, _ in arguments[: function["required"]]]
    properties = {name: _type(kind) for name, kind in arguments}
    schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    shared = {
        "tags": [f"(rpc) {function['name']}"],
        **({"summary": function["comment"]} if function["comment"] else {}),
        "responses": {"200": {"description": "OK"}},
    }
    query = [{"name": name, "in": "query", "type": "string", "required": name in required} for name, _ in arguments]
    post = shared | {"parameters": [{"name": "args", "in": "body", "required": True, "schema": schema}]}
    return {"post": post} | ({"get": shared | {"parameters": query}} if function["is_read_only"] else {})


def _definition(table: dict[str, Any]) -> dict[str, Any]:
    required = [column["name"] for column in table["columns"] if column["required"]]
    return {
        "type": "object",
        **({"description": table["comment"]} if table["comment"] else {}),
        **({"required": required} if required else {}),
        "properties": {column["name"]: _property(column) for column in table["columns"]},
    }


def _property(column: dict[str, Any]) -> dict[str, Any]:
    note = "Note:\nThis is a Primary Key.<pk/>" if column["is_key"] else ""
    description = "\n\n".join(filter(None, [column["comment"], note]))
    return _type(column["type"]) | ({"description": description} if description else {})


def _type(kind: str) -> dict[str, Any]:
    if kind.endswith("[]"):
        return {"format": kind, "type": "array", "items": {"type": _TYPES.get(kind[:-2], "string")}}
    if kind in {"json", "jsonb"}:
        return {"format": kind}
    return {"format": kind, "type": _TYPES.get(kind.partition("(")[0], "string")}
