-- Purpose: the schema private, settings, and small helpers that every other file uses.
-- Affects: schema private; table private.settings; helper functions
-- Access: authenticated may use the schema and call is_admin() and if_admin(); no client role reads a table of this
-- schema.

create schema private;
comment on schema private is
  'Not exposed by the data API: write-ahead rows, leases, and functions that policies and the ledger call.';
revoke all on schema private from public;
grant usage on schema private to authenticated, service_role;

create table private.settings (
  name text constraint settings_pkey primary key,
  value text not null
);
comment on table private.settings is 'Settings of this deployment, one row each. Without a row the safe default holds.';
comment on column private.settings.name is
  'allow_private_nodes = on: client nodes may use http, any port and private addresses; for laptops only, together '
  'with ALLOW_PRIVATE_NODES of the functions. profiling = on: new profiles may be learned from; default off. '
  'lease_seconds, open_turns_per_person, nodes_per_person, messages_per_person, messages_mb_per_person: numbers, see '
  'docs/limits-and-costs.md.';

alter table private.settings enable row level security;
revoke all on private.settings from public, anon, authenticated, service_role;

create function private.is_admin() returns boolean
  language sql stable security invoker set search_path = '' as $$
  select coalesce((select auth.jwt()) -> 'app_metadata' ->> 'role', '') = 'admin'
$$;
comment on function private.is_admin() is
  'True when the caller''s token carries app_metadata.role = admin. Only the service can set it; user_metadata is '
  'not read.';
revoke execute on function private.is_admin from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to authenticated;

create function private.if_admin(p_id uuid) returns uuid
  language sql stable security invoker set search_path = '' as $$ select case when private.is_admin() then p_id end $$;
comment on function private.if_admin(uuid) is
  'The id for admins, else null. A policy compares ids with it to let admins see all rows by a condition that an index '
  'can answer for others.';
revoke execute on function private.if_admin from public, anon, authenticated, service_role;
grant execute on function private.if_admin(uuid) to authenticated;

create function private.is_one_line(p_text text) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select p_text !~ '[\u0001-\u001F\u007F-\u009F\u061C\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF]'
    and p_text ~ '\S'
$$;
comment on function private.is_one_line(text) is
  'Whether a text is not blank and has no control character, line end, invisible or bidirectional mark.';
revoke execute on function private.is_one_line from public, anon, authenticated, service_role;
grant execute on function private.is_one_line(text) to authenticated, service_role;

create function private.touch_updated_at() returns trigger
  language plpgsql security invoker set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;
comment on function private.touch_updated_at() is 'Trigger: updated_at is the time of the last change.';
revoke execute on function private.touch_updated_at from public, anon, authenticated, service_role;

create function private.refuse(p_sqlstate text, p_code text, p_message text, p_metadata jsonb default '{}') returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  raise exception using errcode = p_sqlstate, message = p_message,
    detail = jsonb_build_object('code', p_code, 'metadata', p_metadata)::text;
end
$$;
comment on function private.refuse(text, text, text, jsonb) is
  'Ends the transaction. PostgREST answers SQLSTATE PTxyz as HTTP xyz; the JSON detail carries the machine code.';
revoke execute on function private.refuse from public, anon, authenticated, service_role;

create function private.refuse_busy() returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  perform private.refuse('PT503', 'database_busy', 'The database is busy right now.', '{"retry_after": 2}');
end
$$;
comment on function private.refuse_busy() is
  'Ends a function that met a lock timeout, a deadlock, a serialization failure or a statement timeout: 503, because '
  'PostgREST answers the errors themselves with 500.';
revoke execute on function private.refuse_busy from public, anon, authenticated, service_role;

create function private.setting(p_name text, p_default integer) returns integer
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return coalesce((select case when s.value ~ '^[0-9]{1,9}$' then s.value::integer end
                   from private.settings as s where s.name = p_name), p_default);
end
$$;
comment on function private.setting(text, integer) is
  'A number from private.settings, or the default when there is none.';
revoke execute on function private.setting from public, anon, authenticated, service_role;

create function private.internal_name(p_text text, p_max integer, p_default text default null) returns text
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case when p_text ~ '^[a-z][a-z0-9_.-]*$' and char_length(p_text) <= p_max then p_text
  else p_default end;
end
$$;
comment on function private.internal_name(text, integer, text) is
  'The text when it looks like an internal name, else the default. Roll-ups keep such names, so free text must not '
  'pass.';
revoke execute on function private.internal_name from public, anon, authenticated, service_role;

create function private.clamp_count(p_value jsonb, p_max integer default 2147483647) returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case when jsonb_typeof(p_value) <> 'null'
    then least(greatest(trunc((p_value #>> '{}')::numeric), 0), p_max)::integer end;
end
$$;
comment on function private.clamp_count(jsonb, integer) is
  'The number as a whole number from 0 to p_max; null when there is none.';
revoke execute on function private.clamp_count from public, anon, authenticated, service_role;

create function private.clamp_usage(p_usage jsonb) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_input integer := private.clamp_count(p_usage -> 'input_tokens');
begin
  return case when jsonb_typeof(p_usage) = 'object' then p_usage || jsonb_build_object(
    'input_tokens', v_input, 'output_tokens', private.clamp_count(p_usage -> 'output_tokens'),
    'cached_tokens', case when jsonb_typeof(p_usage -> 'cached_tokens') <> 'null'
      then least(private.clamp_count(p_usage -> 'cached_tokens'), coalesce(v_input, 0)) end,
    'reasoning_tokens', private.clamp_count(p_usage -> 'reasoning_tokens'),
    'cache_write_tokens', case when jsonb_typeof(p_usage -> 'cache_write_tokens') <> 'null'
      then least(private.clamp_count(p_usage -> 'cache_write_tokens'), greatest(coalesce(v_input, 0)
        - coalesce(private.clamp_count(p_usage -> 'cached_tokens'), 0), 0)) end) end;
end
$$;
comment on function private.clamp_usage(jsonb) is
  'The usage with clamped counts, cached_tokens and cache_write_tokens together at most input_tokens; null when it is '
  'no object.';
revoke execute on function private.clamp_usage from public, anon, authenticated, service_role;
