-- Purpose: personal API keys: secrets with which a user's tools run turns, with an expiry, scopes and a daily cap.
-- Affects: public.api_keys, private.api_key_hashes, public.create_api_key(), public.revoke_api_key(),
-- public.api_key_person(), public.usage_by_key()
-- Access: users read, create and revoke their own keys, admins read and revoke all; no role reads a hash.

create table public.api_keys (
  id uuid default gen_random_uuid() constraint api_keys_pkey primary key,
  user_id uuid not null constraint api_keys_user_id_fkey references auth.users (id) on delete cascade,
  name text not null
    constraint api_keys_name_check check (char_length(name) between 1 and 80 and private.is_one_line(name)),
  key_prefix text not null constraint api_keys_key_prefix_check check (char_length(key_prefix) <= 20),
  scopes text[] not null
    constraint api_keys_scopes_check
      check (scopes <@ array['chat', 'history', 'models', 'usage'] and cardinality(scopes) > 0),
  daily_cost_usd numeric(18, 9)
    constraint api_keys_daily_cost_usd_check check (daily_cost_usd >= 0),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  last_used_at timestamptz,
  client_id text,
  constraint api_keys_user_id_client_id_key unique (user_id, client_id)
);
comment on table public.api_keys is
  'A personal API key, without its secret, or the use of an OAuth app. Written by create_api_key, revoke_api_key and '
  'chat_begin; refresh deletes a key 90 days after it has ended.';
comment on column public.api_keys.key_prefix is 'The first characters of the key, by which its owner recognises it.';
comment on column public.api_keys.scopes is
  'What the key may do. chat: run turns; models: list models; history: search messages; usage: read the usage.';
comment on column public.api_keys.daily_cost_usd is
  'US dollars per UTC day, reservations included; null = only the caps of the user.';
comment on column public.api_keys.revoked_at is 'Null while the key is not revoked.';
comment on column public.api_keys.last_used_at is 'Exact to some minutes; null when the key was never used.';

comment on column public.api_keys.client_id is
  'The OAuth app whose turns this row counts, caps and revokes; such a row has no secret. Null for a key.';

create index api_keys_user_id_idx on public.api_keys (user_id, created_at desc);

alter table public.api_keys enable row level security;
revoke all on public.api_keys from public, anon, authenticated, service_role;
grant select on public.api_keys to authenticated;

create policy api_keys_select_own on public.api_keys for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy api_keys_select_own on public.api_keys is 'Users see their own keys.';
create policy api_keys_select_admin on public.api_keys for select to parley_admin using (true);
comment on policy api_keys_select_admin on public.api_keys is 'Admins see all.';

create table private.api_key_hashes (
  key_id uuid constraint api_key_hashes_pkey primary key
    constraint api_key_hashes_key_id_fkey references public.api_keys (id) on delete cascade,
  secret_hash bytea not null constraint api_key_hashes_secret_hash_key unique
    constraint api_key_hashes_secret_hash_check check (octet_length(secret_hash) = 32)
);
comment on table private.api_key_hashes is
  'The SHA-256 of each API key. Apart from api_keys, so that no query of a client can reach it.';

alter table private.api_key_hashes enable row level security;
revoke all on private.api_key_hashes from public, anon, authenticated, service_role;

create function public.create_api_key(
  name text, expires_in_days integer default 90, daily_cost_usd numeric default null,
  scopes text[] default '{chat,models}') returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s' as $$
declare
  v_user_id uuid := private.signed_in_user();
  v_max integer := private.setting('keys_per_person', 20);
  -- 256 bits of the digest of 366 random ones: gen_random_uuid() is the only strong source in every PostgreSQL.
  v_secret text := 'pk_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid())), 'hex');
  v_key public.api_keys;
begin
  perform 1 from auth.users as u where u.id = v_user_id for key share;
  if not found then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to create an API key.');
  end if;
  perform private.refuse_apps();
  if auth.jwt() @> '{"is_anonymous": true}' or auth.jwt() ? 'parley_api_key_id' then
    perform private.refuse('PT403', 'forbidden', 'Only a person with an account creates API keys.');
  end if;
  if (char_length(create_api_key.name) between 1 and 80 and private.is_one_line(create_api_key.name)) is not true then
    perform private.refuse('PT422', 'validation_failed', 'name is one line of 1 to 80 characters.');
  end if;
  if (expires_in_days between 1 and 366) is not true then
    perform private.refuse('PT422', 'validation_failed', 'expires_in_days is a number from 1 to 366.');
  end if;
  if daily_cost_usd not between 0 and 999999 then
    perform private.refuse('PT422', 'validation_failed', 'daily_cost_usd is null or from 0 to 999999.');
  end if;
  if (create_api_key.scopes <@ array['chat', 'history', 'models', 'usage']
      and cardinality(create_api_key.scopes) > 0) is not true then
    perform private.refuse('PT422', 'validation_failed', 'scopes is a list of chat, history, models and usage.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('private.api_keys:' || v_user_id, 0));
  if (select count(*) from public.api_keys as k
      where k.user_id = v_user_id and k.client_id is null and k.revoked_at is null and k.expires_at > now())
      >= v_max then
    perform private.refuse('PT422', 'validation_failed', format('A person has at most %s API keys.', v_max));
  end if;
  -- Ended keys are kept for their owner, but not without limit.
  delete from public.api_keys as k where k.id in (
    select d.id from public.api_keys as d
    where d.user_id = v_user_id and d.client_id is null and (d.revoked_at is not null or d.expires_at <= now())
    order by d.created_at desc, d.id offset 100);
  insert into public.api_keys (user_id, name, key_prefix, scopes, daily_cost_usd, expires_at)
    values (v_user_id, create_api_key.name, left(v_secret, 9),
      array(select distinct s.scope from unnest(create_api_key.scopes) as s (scope) order by s.scope),
      create_api_key.daily_cost_usd, now() + make_interval(hours => 24 * expires_in_days))
    returning * into v_key;
  insert into private.api_key_hashes (key_id, secret_hash) values (v_key.id, sha256(v_secret::bytea));
  return jsonb_build_object('key', v_secret) || (to_jsonb(v_key) - 'user_id' - 'client_id');
end
$$;
comment on function public.create_api_key(text, integer, numeric, text[]) is
  'Creates an API key of the caller and returns {key, id, name, key_prefix, scopes, daily_cost_usd, expires_at, …}. '
  'key is the secret: it is shown only here. expires_in_days: 1 to 366; daily_cost_usd: null for no cap of the key; '
  'scopes: chat (run turns), models (list models), history (search the user''s messages), usage (read the usage). '
  '403 for anonymous users; 422 for wrong values and at keys_per_person keys. Definer, because nothing else writes '
  'keys.';
revoke execute on function public.create_api_key from public, anon, authenticated, service_role;
grant execute on function public.create_api_key(text, integer, numeric, text[]) to authenticated;

create function public.revoke_api_key(id uuid) returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s' as $$
begin
  perform private.refuse_apps();
  update public.api_keys as k set revoked_at = coalesce(k.revoked_at, now())
    where k.id = revoke_api_key.id and (k.user_id = (select auth.uid()) or private.is_admin());
  if not found then
    perform private.refuse('PT404', 'not_found', 'There is no such API key.');
  end if;
end
$$;
comment on function public.revoke_api_key(uuid) is
  'Revokes an API key, or an OAuth app, of the caller; an admin revokes any. New turns are refused at once. '
  '404 when there is none.';
revoke execute on function public.revoke_api_key from public, anon, authenticated, service_role;
grant execute on function public.revoke_api_key(uuid) to authenticated;

create function private.active_api_key(p_hash text) returns public.api_keys
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_key public.api_keys;
  v_user jsonb;
  v_reason text;
begin
  select k.* into v_key from private.api_key_hashes as h join public.api_keys as k on k.id = h.key_id
    where h.secret_hash = case when p_hash ~ '^[0-9a-f]{64}$' then decode(p_hash, 'hex') end;
  select to_jsonb(u) into v_user from auth.users as u where u.id = v_key.user_id;
  v_reason := case
    when v_key.id is null or v_user is null then 'unknown'
    when v_key.revoked_at is not null then 'revoked'
    when v_key.expires_at <= now() then 'expired'
    when v_user ->> 'deleted_at' is not null or (v_user ->> 'banned_until')::timestamptz > now() then 'suspended' end;
  if v_reason is not null then
    perform private.refuse('PT401', 'invalid_api_key',
      case v_reason when 'unknown' then 'This API key does not exist.'
        when 'suspended' then 'The account of this API key is suspended.'
        else 'This API key is ' || v_reason || '.' end,
      jsonb_build_object('reason', v_reason));
  end if;
  return v_key;
end
$$;
comment on function private.active_api_key(text) is
  'The key with this SHA-256 (hex). Refuses with invalid_api_key (401) and its reason: unknown, revoked, expired, or '
  'suspended (the account is banned or soft-deleted).';
revoke execute on function private.active_api_key from public, anon, authenticated, service_role;

create function public.api_key_person(key_hash text) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_key public.api_keys := private.active_api_key(key_hash);
begin
  if v_key.last_used_at is null or v_key.last_used_at < now() - interval '1 minute' then
    update public.api_keys as k set last_used_at = now()
      where k.id = (select l.id from public.api_keys as l where l.id = v_key.id for no key update skip locked);
  end if;
  return jsonb_build_object('key_id', v_key.id, 'user_id', v_key.user_id, 'scopes', to_jsonb(v_key.scopes),
    'expires_at', extract(epoch from v_key.expires_at));
end
$$;
comment on function public.api_key_person(text) is
  '{key_id, user_id, scopes, expires_at (epoch)} of the API key with this SHA-256 (hex), and records its use. Refuses '
  'with invalid_api_key (401).';
revoke execute on function public.api_key_person from public, anon, authenticated, service_role;
grant execute on function public.api_key_person(text) to service_role;

create function private.key_scope(p_key_id uuid) returns text
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return 'key:' || p_key_id;
end
$$;
comment on function private.key_scope(uuid) is 'The scope of an API key''s counters.';
revoke execute on function private.key_scope from public, anon, authenticated, service_role;

create function private.key_left(p_key_id uuid, p_day public.usage_counter_slots) returns numeric
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (select k.daily_cost_usd from public.api_keys as k where k.id = p_key_id)
    - p_day.spent_usd - p_day.reserved_usd;
end
$$;
comment on function private.key_left(uuid, public.usage_counter_slots) is
  'What is left of an API key''s daily cap, in US dollars; null without a cap.';
revoke execute on function private.key_left from public, anon, authenticated, service_role;

create function private.reserve_for_key(p_key_id uuid, p_day date, p_requests integer, p_usd numeric) returns numeric
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_scope text := private.key_scope(p_key_id);
  v_cap numeric := (select k.daily_cost_usd from public.api_keys as k where k.id = p_key_id);
  v_day public.usage_counter_slots;
begin
  v_day := private.reserve_in_scope(v_scope, 0::smallint, 'day', p_day, p_requests, p_usd, null, v_cap);
  perform private.reserve_in_scope(v_scope, 0::smallint, 'month', date_trunc('month', p_day)::date, p_requests, p_usd,
    null, null);
  return v_cap - v_day.spent_usd - v_day.reserved_usd;
end
$$;
comment on function private.reserve_for_key(uuid, date, integer, numeric) is
  'Counts p_requests turns and reserves p_usd for an API key; what is left of its daily cap, null without one. '
  'Refuses with budget_exceeded (402).';
revoke execute on function private.reserve_for_key from public, anon, authenticated, service_role;

create function private.with_key_budget(p_limits jsonb, p_left numeric) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return p_limits || jsonb_build_object('budget_remaining_usd',
    least((p_limits ->> 'budget_remaining_usd')::numeric, p_left));
end
$$;
comment on function private.with_key_budget(jsonb, numeric) is
  'Limits as of limits_left(), with the smaller budget of the user and the API key.';
revoke execute on function private.with_key_budget from public, anon, authenticated, service_role;

create function public.usage_by_key(from_day date default null, to_day date default null) returns table (
  api_key_id uuid, name text, key_prefix text, turns bigint, input_tokens bigint, output_tokens bigint,
  cost_usd numeric, last_at timestamptz)
  language sql stable security invoker set search_path = '' as $$
  select l.api_key_id, k.name, k.key_prefix, count(*), sum(l.input_tokens), sum(l.output_tokens), sum(l.cost_usd),
    max(l.created_at)
  from public.chat_logs as l left join public.api_keys as k on k.id = l.api_key_id
  where l.user_id = (select auth.uid()) and l.api_key_id is not null
    and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date)::timestamp at time zone 'utc'
    and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1)::timestamp at time zone 'utc'
  group by 1, 2, 3 order by sum(l.cost_usd) desc nulls last, 1
$$;
comment on function public.usage_by_key(date, date) is
  'The caller''s finished turns by API key between two UTC days, by default today. cost_usd is null when no turn has a '
  'known price; name is null when the key was deleted.';
revoke execute on function public.usage_by_key from public, anon, authenticated, service_role;
grant execute on function public.usage_by_key(date, date) to authenticated;
