-- Purpose: a retry takes what was booked along to its own day, nobody holds money in many turns at once, and names are names.
-- Affects: index on private.turns; functions private.setting(), slug(), lock_counters(), claim_turn(), reserve_turn()
-- Access: called by chat_begin only.

comment on column private.settings.name is
  'allow_private_nodes = on: client nodes may live on http, any port and private addresses; on a laptop only, and '
  'together with the functions'' ALLOW_PRIVATE_NODES. open_turns_per_person (64): turns of one person that may run at once. '
  'lease_seconds (360): the longest a turn holds money when nobody finishes it, at most 900; at least TURN_SECONDS + 60.';

create index turns_user_id_lease_until_idx on private.turns (user_id, lease_until) where state = 'started';

create function private.setting(p_name text, p_default integer) returns integer
  language sql stable security invoker set search_path = ''
as $$
  select coalesce((select case when s.value ~ '^[0-9]{1,9}$' then s.value::integer end
                   from private.settings as s where s.name = p_name), p_default)
$$;
comment on function private.setting(text, integer) is 'A number from private.settings, the default when there is none.';

create function private.slug(p_text text, p_most integer, p_default text default null) returns text
  language sql immutable security invoker set search_path = ''
as $$ select case when p_text ~ '^[a-z][a-z0-9_.-]*$' and char_length(p_text) <= p_most then p_text else p_default end $$;
comment on function private.slug(text, integer, text) is
  'A name of our own kind; anything else, which a caller may have worded, is the default: roll-ups keep such names for ever.';

create function private.lock_counters(p_scope text, p_days date[]) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_months date[] := array(select distinct date_trunc('month', d.day)::date from unnest(p_days) as d (day));
begin
  insert into public.usage_counters (scope, period, period_start)
    select p_scope, 'day', d.day from (select distinct u.day from unnest(p_days) as u (day)) as d order by d.day
    on conflict on constraint usage_counters_pkey do nothing;
  perform 1 from public.usage_counters as c
    where c.scope = p_scope and c.period = 'day' and c.period_start = any (p_days) order by c.period_start for update;
  perform 1 from public.usage_counters as c
    where c.scope = p_scope and c.period = 'month' and c.period_start = any (v_months) order by c.period_start for update;
end
$$;
comment on function private.lock_counters(text, date[]) is
  'Locks a scope''s counters of several days in the order of a single one, all days before all months: otherwise two who meet at midnight '
  'would wait for each other.';

create or replace function private.claim_turn(p_user_id uuid, p_turn jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_longest integer := least(greatest(private.setting('lease_seconds', 360), 60), 900);
  v_lease interval := make_interval(secs => least(greatest(coalesce((p_turn ->> 'lease_seconds')::integer, v_longest), 60), v_longest));
  v_keeps_words boolean := coalesce((p_turn ->> 'store')::boolean, true) or coalesce((p_turn ->> 'log_words')::boolean, false);
  v_regenerates bytea := case when (p_turn ->> 'regenerate')::boolean then sha256(convert_to(p_turn ->> 'message', 'UTF8')) end;
  v_metadata jsonb := coalesce(nullif(p_turn -> 'metadata', 'null'), '{}');
  v_endpoint text := private.slug(p_turn ->> 'endpoint', 64, 'chat');
  v_agent text := private.slug(p_turn ->> 'agent', 40);
  v_row private.turns;
  v_held jsonb;
begin
  if jsonb_typeof(v_metadata) <> 'object' or octet_length(v_metadata::text) > 16384 then
    perform private.refuse('PT422', 'validation_failed', 'metadata is an object of at most 16 KB.');
  end if;
  -- The unique index makes callers with the same key wait for each other.
  insert into private.turns
    (id, user_id, request_id, endpoint, idempotency_key, body_hash, worker_id, lease_until, question,
     is_stored, requested_model, agent_type, metadata, regenerates)
  values
    ((p_turn ->> 'turn_id')::uuid, p_user_id, left(p_turn ->> 'request_id', 64), v_endpoint,
     p_turn ->> 'idempotency_key', p_turn ->> 'body_hash', (p_turn ->> 'worker_id')::uuid, now() + v_lease,
     left(p_turn ->> 'question', 200000), v_keeps_words, left(p_turn ->> 'requested_model', 300),
     v_agent, v_metadata, v_regenerates)
  on conflict do nothing;
  if found then
    return jsonb_build_object('outcome', 'new', 'turn_id', p_turn ->> 'turn_id');
  end if;

  select * into v_row from private.turns as r
    where r.user_id = p_user_id and r.idempotency_key = p_turn ->> 'idempotency_key' for update;
  if not found or v_row.body_hash is distinct from p_turn ->> 'body_hash' then
    return jsonb_build_object('outcome', 'mismatch');
  end if;
  if v_row.state = 'settled' then
    return private.replayed_turn(v_row) || jsonb_build_object('limits', private.peek_limits(p_user_id));
  end if;
  if v_row.state = 'started' and v_row.lease_until > now() then
    return jsonb_build_object('outcome', 'in_progress',
      'retry_after', least(ceil(extract(epoch from v_row.lease_until - now())), 5));
  end if;

  -- The earlier attempt failed before anything was said, or its worker is dead: the money it still holds goes back first, and
  -- what earlier attempts used moves along to the day on which the row will stand.
  if v_row.state = 'started' or v_row.day <> (now() at time zone 'utc')::date then
    select jsonb_build_object('turn_id', v_row.id, 'day', v_row.day,
        'reserved_usd', case when v_row.state = 'started' then v_row.reserved_usd else 0 end,
        'requests', (v_row.state = 'started')::integer, 'spent_usd', coalesce(sum(s.cost_usd), 0),
        'input_tokens', coalesce(sum(s.input_tokens), 0), 'output_tokens', coalesce(sum(s.output_tokens), 0))
      into v_held from private.stale_costs as s where s.turn_id = v_row.id;
  end if;
  update private.turns as r
    set state = 'started', worker_id = (p_turn ->> 'worker_id')::uuid, lease_until = now() + v_lease,
        tries = r.tries + 1, started_at = now(), finished_at = null,
        request_id = left(p_turn ->> 'request_id', 64), endpoint = v_endpoint,
        question = left(p_turn ->> 'question', 200000), is_stored = v_keeps_words,
        requested_model = left(p_turn ->> 'requested_model', 300), agent_type = v_agent,
        metadata = v_metadata, regenerates = v_regenerates
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held', v_held);
end
$$;
comment on function private.claim_turn(uuid, jsonb) is
  '{outcome: new | replay | in_progress | mismatch, turn_id, conversation_id?, held?}; held is {turn_id, day, reserved_usd, requests, '
  'spent_usd, input_tokens, output_tokens}: what a dead worker''s attempt still reserves, and what earlier attempts used on another day.';

create or replace function private.reserve_turn(p_user_id uuid, p_usd numeric, p_held jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_day date := (now() at time zone 'utc')::date;
  v_month date := date_trunc('month', now() at time zone 'utc')::date;
  v_held_day date := (p_held ->> 'day')::date;
  v_held_usd numeric := (p_held ->> 'reserved_usd')::numeric;
  v_held_requests integer := (p_held ->> 'requests')::integer;
  v_is_moved boolean := coalesce(v_held_day <> v_day, false);
  v_spent numeric := case when v_is_moved then (p_held ->> 'spent_usd')::numeric else 0 end;
  v_input bigint := case when v_is_moved then (p_held ->> 'input_tokens')::bigint else 0 end;
  v_output bigint := case when v_is_moved then (p_held ->> 'output_tokens')::bigint else 0 end;
  v_caps public.usage_limits := private.caps_of(p_user_id, coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false));
  v_most integer := private.setting('open_turns_per_person', 64);
  v_open record;
  v_global public.usage_limits;
  v_user_day public.usage_counters;
  v_user_month public.usage_counters;
begin
  select * into v_global from public.usage_limits where scope = 'global';
  if v_is_moved then  -- the row's day is the day charged, at every instant
    update public.chat_logs as l set created_at = now() where l.turn_id = (p_held ->> 'turn_id')::uuid;
  end if;
  -- One lock order everywhere: the person's rows, then the global ones, which everybody waits for, last.
  if v_is_moved then
    perform private.lock_counters(p_user_id::text, array[v_held_day, v_day]);
  end if;
  if v_held_day is not null then
    perform private.settle_in(p_user_id::text, v_held_day, v_held_usd, -v_spent, -v_input, -v_output, -v_held_requests);
  end if;
  v_user_day := private.reserve_in(p_user_id::text, 'day', v_day, p_usd + v_spent, v_caps.daily_requests, v_caps.daily_cost_usd);
  v_user_month := private.reserve_in(p_user_id::text, 'month', v_month, p_usd + v_spent, null, v_caps.monthly_cost_usd);
  if v_is_moved then
    perform private.settle_in(p_user_id::text, v_day, v_spent, v_spent, v_input, v_output, 0);
  end if;
  -- Counted while the person's counter is locked, so that no two see the same last place.
  select count(*) as n, extract(epoch from min(r.lease_until) - now()) as seconds into v_open from private.turns as r
    where r.user_id = p_user_id and r.state = 'started' and r.lease_until > now();
  if v_open.n > v_most then
    perform private.refuse('PT429', 'too_many_turns', 'Too many turns are being answered at once.',
      jsonb_build_object('most', v_most, 'retry_after', least(ceil(v_open.seconds), 5)));
  end if;
  if v_is_moved then
    perform private.lock_counters('global', array[v_held_day, v_day]);
  end if;
  if v_held_day is not null then
    perform private.settle_in('global', v_held_day, v_held_usd, -v_spent, -v_input, -v_output, -v_held_requests);
  end if;
  perform private.reserve_in('global', 'day', v_day, p_usd + v_spent, v_global.daily_requests, v_global.daily_cost_usd);
  perform private.reserve_in('global', 'month', v_month, p_usd + v_spent, null, v_global.monthly_cost_usd);
  if v_is_moved then
    perform private.settle_in('global', v_day, v_spent, v_spent, v_input, v_output, 0);
  end if;
  return private.limits_left(v_caps, v_user_day, v_user_month);
end
$$;
comment on function private.reserve_turn(uuid, numeric, jsonb) is
  'Holds p_usd and counts one turn for the person and for all; gives back what a dead attempt held and moves what earlier attempts used to '
  'this day; returns what is left. Refuses with too_many_turns (429) whoever has open_turns_per_person running already.';

revoke execute on function private.setting(text, integer), private.slug(text, integer, text), private.lock_counters(text, date[])
  from public, anon, authenticated, service_role;
