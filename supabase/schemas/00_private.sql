-- Purpose: the schema private, settings, and small helpers that every other file uses.
-- Affects: schema private; table private.settings; role parley_admin; helper functions
-- Access: roles of the data API may use the schema and call pre_request(), authenticated is_app() and is_admin(); no
-- client role reads a table of this schema.

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
  'admin_needs_aal2 = on: admins need a session with a second factor. lease_seconds, open_turns_per_person, '
  'forks_per_day, shares_per_person, nodes_per_person, keys_per_person, messages_per_person, messages_mb_per_person: '
  'numbers, see docs/limits-and-costs.md.';

alter table private.settings enable row level security;
revoke all on private.settings from public, anon, authenticated, service_role;

create function private.is_app() returns boolean
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return coalesce(auth.jwt() ->> 'client_id', '') <> '';
end
$$;
comment on function private.is_app() is
  'True when the caller''s token belongs to an OAuth app that the user consented to.';
revoke execute on function private.is_app from public, anon, authenticated, service_role;
grant execute on function private.is_app() to authenticated;

create function private.is_admin() returns boolean
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_claims jsonb := auth.jwt();
begin
  if (v_claims -> 'app_metadata' ->> 'role' = 'admin') is not true or coalesce(v_claims ->> 'client_id', '') <> '' then
    return false;
  end if;
  return coalesce(v_claims ->> 'aal' = 'aal2', false)
    or not exists (select from private.settings as s where s.name = 'admin_needs_aal2' and s.value = 'on');
end
$$;
comment on function private.is_admin() is
  'True when the caller''s token carries app_metadata.role = admin, belongs to no OAuth app, and, with the setting '
  'admin_needs_aal2, is of a session with a second factor. Only the service can set app_metadata; user_metadata is not '
  'read. Definer, because settings are not granted.';
revoke execute on function private.is_admin from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to authenticated;

-- A role belongs to the server, so another database may have created it, also at this moment.
do $$
begin
  create role parley_admin nologin;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not pg_has_role('parley_admin', 'authenticated', 'member') then
    grant authenticated to parley_admin;
  end if;
  if not pg_has_role('authenticator', 'parley_admin', 'member') then
    grant parley_admin to authenticator, current_user;
  end if;
exception when insufficient_privilege then  -- GET /debug names the remedy
  raise warning 'Admins see only their own rows, because parley_admin belongs to another role: %', sqlerrm;
end
$$;

create function private.pre_request() returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  if current_user = 'authenticated' then
    -- Nested, because PostgreSQL checks the right to call all functions of a condition.
    if private.is_admin() and pg_has_role(session_user, to_regrole('parley_admin'), 'member') then
      set local role parley_admin;
    end if;
  end if;
end
$$;
comment on function private.pre_request() is
  'The data API calls it before each request: an admin''s request goes on as parley_admin, a member of authenticated '
  'with policies of its own. So the policies of users name only their own rows, which an index finds. A role that a '
  'project adds for its tokens needs the right to call it.';
revoke execute on function private.pre_request from public, anon, authenticated, service_role;
do $$
declare
  v_role text;
begin
  for v_role in
    select r.rolname from pg_auth_members as a join pg_roles as r on r.oid = a.roleid
    where a.member = 'authenticator'::regrole and r.rolname <> 'parley_admin'
  loop
    execute format('grant usage on schema private to %I', v_role);
    execute format('grant execute on function private.pre_request() to %I', v_role);
  end loop;
end
$$;

-- PostgREST has one such function for a database; a project that has one already calls ours from it.
do $$
begin
  if not exists (select from pg_db_role_setting as s
      where s.setrole = 'authenticator'::regrole and array_to_string(s.setconfig, ' ') ~ 'pgrst\.db_pre_request=.'
        and s.setdatabase in (0, (select d.oid from pg_database as d where d.datname = current_database()))) then
    execute format('alter role authenticator in database %I set pgrst.db_pre_request = %L', current_database(),
      'private.pre_request');
    notify pgrst, 'reload config';
  end if;
exception when insufficient_privilege then  -- GET /debug names the remedy
  raise warning 'The data API does not call private.pre_request(): %', sqlerrm;
end
$$;

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

create function private.refuse_apps() returns void
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if private.is_app() then
    perform private.refuse('PT403', 'app_not_allowed', 'An app may not do this.');
  end if;
end
$$;
comment on function private.refuse_apps() is 'Refuses tokens of OAuth apps.';
revoke execute on function private.refuse_apps from public, anon, authenticated, service_role;

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
  'The usage with clamped counts, cached_tokens and cache_write_tokens together at most input_tokens; null when it '
  'is no object.';
revoke execute on function private.clamp_usage from public, anon, authenticated, service_role;
