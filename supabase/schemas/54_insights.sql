-- Purpose: finds cached answers, leases keys to those who compute, stores answers.
-- Affects: public.find_insights(), public.renew_insight_lease(), public.release_insight_lease(),
-- public.finish_insight(), public.purge_insights()
-- Access: the service only; definer because the cache, logs and write-ahead rows are not granted.

create type private.insight_lookup as (
  user_id uuid, turn_id uuid, request_id text, preset text, prompt_version text, input_hash text, is_public boolean,
  model text, wanted_models jsonb, needs jsonb, context_tokens bigint, mode text, awaited_key text,
  awaited_fence bigint, idempotency_key text, body_hash text, duration_ms integer, user_id_hash text, cache_key text,
  reason text, key_hash text
);
comment on type private.insight_lookup is
  'One element of the parameter of find_insights, whose comment explains the attributes; cache_key and reason are '
  'resolved there.';

create function private.insight_key(p_input_hash text, p_model text, p_user_id uuid) returns text
  language sql immutable security invoker set search_path = '' as $$
  select encode(sha256(convert_to(concat_ws(' ', p_input_hash, coalesce(p_user_id::text, 'public'), p_model), 'utf8')),
    'hex')
$$;
comment on function private.insight_key(text, text, uuid) is
  'The cache key of an input, a model and a scope; a null user is the public scope.';
revoke execute on function private.insight_key from public, anon, authenticated, service_role;

create function private.insight_user(p_is_public boolean, p_model text, p_user_id uuid) returns uuid
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return case when p_is_public is not true or p_model like 'client:%' and not exists (
      select from public.client_nodes as n
      where n.is_shared and n.id = case when p_model ~ '^client:[0-9]{1,18}:'
        then split_part(p_model, ':', 2)::bigint end) then p_user_id end;
end
$$;
comment on function private.insight_user(boolean, text, uuid) is
  'The user to whom an answer of this model belongs; null for all. Answers of a node that is not shared are never for '
  'all: its owner writes them, and names the model.';
revoke execute on function private.insight_user from public, anon, authenticated, service_role;

create function private.resolve_insight(p private.insight_lookup, p_deployment jsonb) returns private.insight_lookup
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_criteria jsonb := jsonb_build_object('seed', p.input_hash, 'needs', coalesce(p.needs, '[]'), 'is_strict', false,
    'providers', case jsonb_typeof(p_deployment -> 'providers') when 'array' then p_deployment -> 'providers' end,
    'defaults', case jsonb_typeof(p_deployment -> 'defaults') when 'array' then p_deployment -> 'defaults'
      else '[]' end, 'context', p.context_tokens);
  v_resolved jsonb;
  v_preferred text;
  v_model text;
begin
  -- Circuits are open for one user alone or for all, so routing needs to know who asks.
  perform set_config('request.jwt.claims',
    jsonb_build_object('sub', p.user_id, 'role', 'authenticated')::text, true);
  select u.preferred_model into v_preferred from public.user_llm_profiles as u where u.user_id = p.user_id;
  v_resolved := private.resolve_routes(p.user_id, left(p.model, 300), null, v_preferred, p.wanted_models, false,
    v_criteria);
  if exists (select from public.usage_limits as l where l.degrade_at is not null) then
    v_resolved := private.degrade(p.user_id, v_resolved, private.scope_caps(p.user_id::text),
      private.scope_caps('global'), v_criteria);
  end if;
  -- The model that would serve now: a route with an open circuit is skipped.
  select r.route ->> 'identifier' into v_model
    from jsonb_array_elements(v_resolved -> 'routes') with ordinality as r (route, place)
    order by coalesce(r.route -> 'open_until', 'null') <> 'null', r.place limit 1;
  p.reason := v_resolved ->> 'reason';
  p.cache_key := private.insight_key(p.input_hash, v_model,
    private.insight_user(p.is_public, v_model, p.user_id));
  return p;
exception when sqlstate 'PT404' or sqlstate 'PT422' or sqlstate 'PT503' then
  p.cache_key := null;  -- chat_begin refuses with the reason
  return p;
end
$$;
comment on function private.resolve_insight(private.insight_lookup, jsonb) is
  'The lookup with the key of the model that would serve now; without a key when no model can serve.';
revoke execute on function private.resolve_insight from public, anon, authenticated, service_role;

create function private.take_insight_lease(p private.insight_lookup) returns bigint
  language sql volatile security invoker set search_path = '' as $$
  insert into private.insight_leases as l (cache_key, holder_id, lease_until)
    values (p.cache_key, p.turn_id, now() + interval '15 seconds')
    on conflict on constraint insight_leases_pkey do update
      set holder_id = excluded.holder_id, lease_until = excluded.lease_until, fence = l.fence + 1, insight_id = null,
          error_code = null
      where l.lease_until < now() or l.holder_id = excluded.holder_id  -- the call may be sent twice
    returning l.fence
$$;
comment on function private.take_insight_lease(private.insight_lookup) is
  'The fence of a lease of 15 seconds on the key; null while another one holds it.';
revoke execute on function private.take_insight_lease from public, anon, authenticated, service_role;

create function private.keyed_insight(p private.insight_lookup) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_row private.turns;
  v_replay private.insight_replays;
begin
  if p.idempotency_key is null then
    return null;
  end if;
  select * into v_row from private.turns as r
    where r.user_id = p.user_id and r.idempotency_key = p.idempotency_key;
  if not found then
    return null;
  end if;
  if v_row.body_hash is distinct from p.body_hash then
    return jsonb_build_object('outcome', 'mismatch');
  end if;
  if v_row.state = 'settled' then
    select * into v_replay from private.insight_replays as k where k.turn_id = v_row.id;
    return case when found then jsonb_build_object('outcome', 'replay', 'turn_id', v_row.id, 'output', v_replay.output,
      'model', v_replay.model, 'cost_usd', v_replay.cost_usd) else jsonb_build_object('outcome', 'not_kept') end;
  end if;
  if v_row.state = 'started' and v_row.lease_until > now() then
    return jsonb_build_object('outcome', 'in_progress',
      'retry_after', least(ceil(extract(epoch from v_row.lease_until - now())), 5));
  end if;
  return null;
end
$$;
comment on function private.keyed_insight(private.insight_lookup) is
  'What an earlier request with the same idempotency key decides: mismatch, replay, not_kept or in_progress; null '
  'without such a request, and when it failed.';
revoke execute on function private.keyed_insight from public, anon, authenticated, service_role;

create function private.stored_insight(p private.insight_lookup) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_entry public.ai_insights;
  v_awaited private.insight_leases;
begin
  select * into v_entry from public.ai_insights as i
    where i.cache_key = p.cache_key and now() < i.expires_at + (i.expires_at - i.created_at) / 10;
  if v_entry.id is null and p.awaited_key is not null then
    select * into v_awaited from private.insight_leases as l
      where l.cache_key = p.awaited_key and l.fence = p.awaited_fence and l.lease_until < now();
    if v_awaited.insight_id is not null then
      select * into v_entry from public.ai_insights as i
        where i.id = v_awaited.insight_id and (i.scope = 'public' or i.user_id = p.user_id);
    elsif v_awaited.error_code is not null then
      return jsonb_build_object('outcome', 'failed', 'error_code', v_awaited.error_code);
    end if;
  end if;
  return case when v_entry.id is not null then private.insight_hit(v_entry, v_entry.expires_at <= now()) end;
end
$$;
comment on function private.stored_insight(private.insight_lookup) is
  'The hit or failed of find_insights(); null when there is neither an answer nor the end of an awaited holder.';
revoke execute on function private.stored_insight from public, anon, authenticated, service_role;

create function private.try_insight_lease(p_key text) returns boolean
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  perform from private.insight_leases as l where l.cache_key = p_key for update skip locked;
  return found or not exists (select from private.insight_leases as l where l.cache_key = p_key);
end
$$;
comment on function private.try_insight_lease(text) is
  'Locks a lease, or returns false at once when another transaction has it locked: lookups never wait for the end of a '
  'turn. True also when there is no lease yet.';
revoke execute on function private.try_insight_lease from public, anon, authenticated, service_role;

create function private.find_insight(p private.insight_lookup) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_found jsonb := private.keyed_insight(p);
  v_is_free boolean;
  v_fence bigint;
begin
  if v_found is not null then
    return v_found;
  end if;
  if p.cache_key is null then
    return jsonb_build_object('outcome', case p.mode when 'only_cached' then 'none' else 'unknown' end);
  end if;
  v_found := case when p.mode is distinct from 'fresh' then private.stored_insight(p) end;
  if p.mode = 'only_cached' then
    return coalesce(v_found, '{"outcome": "none"}');
  end if;
  if v_found is null or v_found @> '{"is_stale": true}' then
    v_is_free := private.try_insight_lease(p.cache_key);
    if v_is_free and p.mode is distinct from 'fresh' then  -- a holder may have stored its answer just before the lock
      v_found := private.stored_insight(p);
    end if;
  end if;
  if v_found is not null and not v_found @> '{"is_stale": true}' then
    return v_found;
  end if;
  v_fence := case when v_is_free then private.take_insight_lease(p) end;
  if v_fence is null and p.mode is distinct from 'fresh' then
    -- Without a fence when the lease has ended and another lookup is about to take it: there is no end to await yet.
    return coalesce(v_found, (select jsonb_build_object('outcome', 'busy', 'cache_key', l.cache_key,
        'fence', case when l.lease_until >= now() then l.fence end)
      from private.insight_leases as l where l.cache_key = p.cache_key));
  end if;
  return jsonb_build_object('outcome', 'compute', 'cache_key', p.cache_key, 'fence', v_fence)
    || case when v_found is null then '{}' else jsonb_build_object('stale_id', v_found -> 'insight_id') end;
end
$$;
comment on function private.find_insight(private.insight_lookup) is 'One result of find_insights().';
revoke execute on function private.find_insight from public, anon, authenticated, service_role;

create function private.insight_hit(p_entry public.ai_insights, p_is_stale boolean) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object('outcome', 'hit', 'insight_id', p_entry.id, 'is_stale', p_is_stale,
    'age', greatest(floor(extract(epoch from now() - p_entry.created_at)), 0), 'model', p_entry.model,
    'saved_usd', p_entry.cost_usd, 'computed_by', p_entry.turn_id)
$$;
comment on function private.insight_hit(public.ai_insights, boolean) is
  'The result for a cached answer, without its output. age is in seconds; zero for an answer that was stored after '
  'this transaction began.';
revoke execute on function private.insight_hit from public, anon, authenticated, service_role;

create function private.log_insight_hit(p private.insight_lookup, p_hit jsonb) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_model text := p_hit ->> 'model';
begin
  insert into public.chat_logs
    (turn_id, request_id, user_id, endpoint, status, input_tokens, output_tokens, cost_usd, model, provider,
     model_identifier, duration_ms, finish_reason, user_id_hash, metadata, route_reason, preset_version, saved_usd)
  values
    (p.turn_id, left(p.request_id, 64), p.user_id, private.internal_name('assist.' || p.preset, 64, 'assist'),
     'completed', 0, 0, 0, private.upstream_name(v_model), split_part(v_model, ':', 1), v_model, p.duration_ms, 'stop',
     p.user_id_hash, jsonb_build_object('computed_by', p_hit -> 'computed_by'), p.reason, left(p.prompt_version, 40),
     coalesce((p_hit ->> 'saved_usd')::numeric, 0))
  on conflict on constraint chat_logs_turn_id_key do nothing;  -- the call may be sent twice
  if p.idempotency_key is not null then
    insert into private.turns (id, user_id, request_id, endpoint, idempotency_key, body_hash, state, worker_id,
      lease_until, finished_at, is_thin)
      values (p.turn_id, p.user_id, left(p.request_id, 64), 'assist', p.idempotency_key, p.body_hash, 'settled',
        p.turn_id, now(), now(), true)
      on conflict do nothing;
    insert into private.insight_replays (turn_id, output, model, cost_usd)
      select r.id, i.output, i.model, 0 from private.turns as r, public.ai_insights as i
      where r.id = p.turn_id and i.id = (p_hit ->> 'insight_id')::bigint
      on conflict do nothing;
  end if;
end
$$;
comment on function private.log_insight_hit(private.insight_lookup, jsonb) is
  'Writes the log row of a hit: no tokens, no cost, and what the hit saved. Keeps the answer for its key.';
revoke execute on function private.log_insight_hit from public, anon, authenticated, service_role;

create function private.upstream_name(p_identifier text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select substring(p_identifier from case when p_identifier like 'client:%' then '^client:[0-9]+:(.*)$'
    else '^[^:]+:(.*)$' end)
$$;
comment on function private.upstream_name(text) is 'The provider''s own name in an identifier.';
revoke execute on function private.upstream_name from public, anon, authenticated, service_role;

create function private.refused_key(p_key_hash text) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_detail text;
begin
  perform private.active_api_key(p_key_hash);
  return null;
exception when sqlstate 'PT401' then
  get stacked diagnostics v_detail = pg_exception_detail;
  return jsonb_build_object('outcome', 'bad_key', 'message', sqlerrm,
    'reason', v_detail::jsonb -> 'metadata' ->> 'reason');
end
$$;
comment on function private.refused_key(text) is
  'The result for a lookup whose API key is no longer valid; null for a valid key. A refusal must not end the lookups '
  'of others.';
revoke execute on function private.refused_key from public, anon, authenticated, service_role;

create function public.find_insights(lookups jsonb, deployment jsonb default '{}') returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
  set enable_seqscan = off set jit = off as $$
declare
  v_lookup private.insight_lookup;
  v_same private.insight_lookup;
  v_resolved private.insight_lookup[] := '{}';
  v_hits private.insight_lookup[] := '{}';
  v_result jsonb;
  v_refused jsonb;
  v_results jsonb := '{}';
  v_wanted bigint[] := '{}';
begin
  -- A crash of the server may lose hits and leases, which costs nothing.
  perform set_config('synchronous_commit', 'off', true);
  for v_lookup in
    select r.* from jsonb_array_elements(lookups) as e (lookup)
      cross join lateral jsonb_populate_record(null::private.insight_lookup, e.lookup) as r
      order by r.user_id, r.input_hash, r.model
  loop
    v_refused := case when v_lookup.key_hash is not null then private.refused_key(v_lookup.key_hash) end;
    perform from auth.users as u where u.id = v_lookup.user_id for key share of u;
    if v_refused is not null then
      v_results := v_results || jsonb_build_object(v_lookup.turn_id, v_refused);
    elsif found then
      -- Many requests for the same answer arrive together: their model is resolved once.
      if (v_lookup.user_id, v_lookup.input_hash, coalesce(v_lookup.model, ''))
          is distinct from (v_same.user_id, v_same.input_hash, coalesce(v_same.model, '')) then
        v_same := private.resolve_insight(v_lookup, deployment);
      end if;
      v_lookup.cache_key := v_same.cache_key;
      v_lookup.reason := v_same.reason;
      v_resolved := v_resolved || v_lookup;
    else
      v_results := v_results || jsonb_build_object(v_lookup.turn_id, '{"outcome": "no_user"}'::jsonb);
    end if;
  end loop;
  -- One lock order everywhere: leases by key, then the sums of usage by user.
  for v_lookup in select r.* from unnest(v_resolved) as r order by r.cache_key loop
    v_result := private.find_insight(v_lookup);
    v_results := v_results || jsonb_build_object(v_lookup.turn_id, v_result);
    if v_result ->> 'outcome' = 'hit' then
      v_hits := v_hits || v_lookup;
      v_wanted := v_wanted || (v_result ->> 'insight_id')::bigint;
    end if;
  end loop;
  for v_lookup in select r.* from unnest(v_hits) as r order by r.user_id, r.preset loop
    perform private.log_insight_hit(v_lookup, v_results -> v_lookup.turn_id::text);
  end loop;
  return jsonb_build_object('results', v_results, 'outputs', coalesce(
    (select jsonb_object_agg(i.id, i.output) from public.ai_insights as i where i.id = any (v_wanted)), '{}'));
end
$$;
comment on function public.find_insights(jsonb, jsonb) is
  'Finds the cached answers of several requests, and writes a log row for each hit. An element of lookups: user_id, '
  'turn_id, request_id?, preset, prompt_version, input_hash, is_public, model?, wanted_models?, needs?, '
  'context_tokens, mode (default, fresh or only_cached), awaited_key? and awaited_fence? (of an earlier busy), '
  'idempotency_key?, body_hash?, duration_ms?, user_id_hash?, key_hash? (the SHA-256 of the '
  'request''s API key, which is read again). deployment: {providers, defaults} as for model_menu. '
  'Returns {results: by turn_id, outputs: by insight_id}. Outcomes: hit (insight_id, is_stale, age, model, saved_usd, '
  'computed_by); compute (cache_key and fence: the caller holds the lease; without a fence another one holds it, too; '
  'stale_id: an answer to serve if computing fails); busy (cache_key, and fence to await or null); failed '
  '(error_code of the awaited holder); replay (output of the same idempotency key); in_progress; mismatch; not_kept '
  '(the answer of the same key was given, but could not be stored); none (nothing cached); unknown (no model can '
  'serve: chat_begin refuses with the reason); no_user; bad_key (message and reason: the API key is no longer '
  'valid).';
revoke execute on function public.find_insights from public, anon, authenticated, service_role;
grant execute on function public.find_insights(jsonb, jsonb) to service_role;

create function public.renew_insight_lease(lease jsonb) returns boolean
  language sql volatile security definer set search_path = '' as $$
  update private.insight_leases as l set lease_until = now() + interval '15 seconds'
  where l.cache_key = lease ->> 'cache_key' and l.holder_id = (lease ->> 'holder_id')::uuid
    and l.fence = (lease ->> 'fence')::bigint and l.lease_until >= now()
  returning true
$$;
comment on function public.renew_insight_lease(jsonb) is
  'True when the holder still had the lease and has it for another 15 seconds; null when it had ended. lease: '
  'cache_key, holder_id, fence. Definer, because leases are not granted.';
revoke execute on function public.renew_insight_lease from public, anon, authenticated, service_role;
grant execute on function public.renew_insight_lease(jsonb) to service_role;

create function public.release_insight_lease(lease jsonb) returns boolean
  language sql volatile security definer set search_path = '' as $$
  update private.insight_leases as l set lease_until = '-infinity', error_code = left(lease ->> 'error_code', 64)
  where l.cache_key = lease ->> 'cache_key' and l.holder_id = (lease ->> 'holder_id')::uuid
    and l.fence = (lease ->> 'fence')::bigint
  returning true
$$;
comment on function public.release_insight_lease(jsonb) is
  'True when the holder still had the lease and it is free now. lease: cache_key, holder_id, fence, error_code? (the '
  'failure that those who wait get). Definer, because leases are not granted.';
revoke execute on function public.release_insight_lease from public, anon, authenticated, service_role;
grant execute on function public.release_insight_lease(jsonb) to service_role;

create function private.lock_insight_lease(p_key text) returns boolean
  language plpgsql volatile security invoker set search_path = '' set lock_timeout = '500ms' as $$
begin
  perform from private.insight_leases as l where l.cache_key = p_key for update;
  return true;
exception when lock_not_available then
  return false;
end
$$;
comment on function private.lock_insight_lease(text) is
  'Whether the lease, if there is one, is locked now; a lookup locks it for milliseconds.';
revoke execute on function private.lock_insight_lease from public, anon, authenticated, service_role;

create function private.store_insight(p_turn_id uuid, p_cost numeric, p_insight jsonb) returns bigint
  language plpgsql volatile security invoker set search_path = '' set lock_timeout = '300ms' as $$
declare
  v_user_id uuid := (p_insight ->> 'user_id')::uuid;
  v_scope_id uuid := private.insight_user((p_insight ->> 'is_public')::boolean, p_insight ->> 'model', v_user_id);
  v_id bigint;
begin
  if not (p_insight ->> 'ttl_seconds')::double precision > 0 or p_insight -> 'fence' <> 'null' and not exists (
      select from private.insight_leases as l where l.cache_key = p_insight ->> 'cache_key'
        and l.fence = (p_insight ->> 'fence')::bigint and l.holder_id = (p_insight ->> 'holder_id')::uuid) then
    return null;
  end if;
  insert into public.ai_insights as i
    (cache_key, kind, scope, user_id, input, output, model, prompt_version, turn_id, cost_usd, expires_at)
  values
    (private.insight_key(p_insight ->> 'input_hash', p_insight ->> 'model', v_scope_id), p_insight ->> 'preset',
     case when v_scope_id is null then 'public' else 'user' end, v_scope_id, nullif(p_insight -> 'input', 'null'),
     p_insight -> 'output', p_insight ->> 'model', p_insight ->> 'prompt_version', p_turn_id, p_cost,
     now() + make_interval(secs => (p_insight ->> 'ttl_seconds')::double precision))
  on conflict on constraint ai_insights_cache_key_key do update
    set input = excluded.input, output = excluded.output, prompt_version = excluded.prompt_version,
        turn_id = excluded.turn_id, cost_usd = excluded.cost_usd, created_at = excluded.created_at,
        expires_at = excluded.expires_at
  returning i.id into v_id;
  update private.insight_leases as l set lease_until = '-infinity', insight_id = v_id
    where l.cache_key = p_insight ->> 'cache_key' and l.fence = (p_insight ->> 'fence')::bigint;
  return v_id;
end
$$;
comment on function private.store_insight(uuid, numeric, jsonb) is
  'Stores the answer of a booked turn and ends its lease. Returns the id, or null as explained at finish_insight(). It '
  'hardly waits for another transaction, because the counters of the turn are locked.';
revoke execute on function private.store_insight from public, anon, authenticated, service_role;

create function public.finish_insight(entry jsonb, insight jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
  set enable_seqscan = off set jit = off as $$
declare
  v_is_locked boolean;
  v_booked jsonb;
  v_row private.turns;
  v_id bigint;
  v_error text;
begin
  -- A deletion of the user's text takes the same lock: it sees this answer, or this turn is forgotten.
  perform pg_advisory_xact_lock_shared(hashtextextended('private.forget:' || (insight ->> 'user_id'), 0));
  -- As in find_insights: the lease before the sums and counters.
  v_is_locked := private.lock_insight_lease(insight ->> 'cache_key');
  v_booked := public.chat_finish(entry);
  if v_booked ->> 'outcome' in ('settled', 'duplicate') then
    select * into v_row from private.turns as r
      where r.id = (entry ->> 'turn_id')::uuid and r.user_id::text = insight ->> 'user_id' and not r.is_forgotten;
  end if;
  if v_row.id is not null then
    -- Each in a block of its own: the turn is booked in any case, and the answer is kept for its key in any case.
    begin
      if v_row.idempotency_key is not null then
        insert into private.insight_replays (turn_id, output, model, cost_usd)
          values (v_row.id, insight -> 'output', insight ->> 'model', (v_booked ->> 'cost_usd')::numeric)
          on conflict do nothing;
      end if;
    exception when others then
      v_error := sqlstate;
    end;
    begin
      if v_is_locked then
        v_id := private.store_insight(v_row.id, (v_booked ->> 'cost_usd')::numeric, insight);
      else
        v_error := '55P03';
      end if;
    exception when others then
      v_error := sqlstate;
    end;
  end if;
  return v_booked || jsonb_build_object('insight_id', v_id, 'insight_error', v_error);
end
$$;
comment on function public.finish_insight(jsonb, jsonb) is
  'chat_finish for a turn with a validated answer: stores the answer and ends the lease in the same transaction. '
  'insight: user_id, is_public, input_hash, preset, prompt_version, input?, output, model, ttl_seconds (0 keeps the '
  'answer for its idempotency key only), cache_key, holder_id, fence (null without a lease). Returns the result of '
  'chat_finish, insight_id, and insight_error: the SQLSTATE when storing failed, which is undone alone. insight_id is '
  'null when nothing is kept: storing failed, the turn was not booked, the lease was lost, or the user or their text '
  'was deleted.';
revoke execute on function public.finish_insight from public, anon, authenticated, service_role;
grant execute on function public.finish_insight(jsonb, jsonb) to service_role;

create function public.purge_insights(max_rows integer default 5000) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_purged integer;
begin
  delete from private.insight_leases as l where l.cache_key = any (array(
    select k.cache_key from private.insight_leases as k where k.lease_until < now() - interval '1 hour'
    limit least(greatest(max_rows, 1), 50000) for update skip locked));
  delete from public.ai_insights as i where i.id = any (array(
    select k.id from public.ai_insights as k
    where k.expires_at < now() and now() >= k.expires_at + (k.expires_at - k.created_at) / 10
    order by k.expires_at limit least(greatest(max_rows, 1), 50000) for update skip locked));
  get diagnostics v_purged = row_count;
  return v_purged;
end
$$;
comment on function public.purge_insights(integer) is
  'Deletes up to max_rows answers that are too old to be served, and leases that ended. Returns the number of answers.';
revoke execute on function public.purge_insights from public, anon, authenticated, service_role;
grant execute on function public.purge_insights(integer) to service_role;
