-- Purpose: each model call of a turn is priced by its own route, and a provider's circuit opens by a rule.
-- Affects: column private.turns.is_forgotten; functions private.forget_turns(), price_attempts(), is_metered(), note_health(), open_until(), book_stale(), public.chat_finish()
-- Access: the service only; definer because logs and counters are granted to nobody.

alter table private.turns add column is_forgotten boolean not null default false;
comment on column private.turns.is_forgotten is 'The person was deleted, or asked for their words to be: none are written any more.';

create function private.forget_turns(p_ids uuid[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update private.turns as r
    set question = null, metadata = '{}', requested_model = null, request_id = null, idempotency_key = null,
        is_forgotten = true
    where r.id = any (p_ids)
$$;
comment on function private.forget_turns(uuid[]) is 'Takes everything a person wrote out of write-ahead rows; money and state stay.';

create function private.price_attempts(p_routes jsonb, p_attempts jsonb) returns jsonb
  language sql immutable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(
    case when jsonb_typeof(a.attempt -> 'usage') = 'object' then (a.attempt - 'cost_usd') || jsonb_build_object('cost_usd',
      private.turn_cost(
        (select r.route -> 'pricing' from jsonb_array_elements(p_routes) as r (route)
         where r.route ->> 'identifier' = a.attempt ->> 'identifier' limit 1),
        u.input_tokens, u.output_tokens, least(u.cached_tokens, u.input_tokens)))
    else a.attempt - 'cost_usd' end order by a.place), '[]')
  from jsonb_array_elements(case jsonb_typeof(p_attempts) when 'array' then p_attempts else '[]' end)
    with ordinality as a (attempt, place)
  cross join lateral (select
    greatest(coalesce((a.attempt #>> '{usage,input_tokens}')::bigint, 0), 0) as input_tokens,
    greatest(coalesce((a.attempt #>> '{usage,output_tokens}')::bigint, 0), 0) as output_tokens,
    greatest(coalesce((a.attempt #>> '{usage,cached_tokens}')::bigint, 0), 0) as cached_tokens) as u
$$;
comment on function private.price_attempts(jsonb, jsonb) is
  'The attempts, each that used anything with its cost_usd by its own route''s pricing; null there when that has no price.';

create function private.is_metered(p_attempts jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select exists (select 1 from jsonb_array_elements(p_attempts) as a (attempt)
                 where jsonb_typeof(a.attempt -> 'usage') = 'object')
$$;
comment on function private.is_metered(jsonb) is 'Whether the attempts tell what they used; otherwise the entry''s own usage counts.';

drop function private.note_health(jsonb);
create function private.note_health(p_attempts jsonb, p_begun_at timestamptz) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v record;
begin
  -- Sorted, so that two turns lock providers in the same order; a healthy provider's row is not touched at all. What a turn
  -- that began before the circuit opened has seen is the incident that opened it: it neither closes it nor counts again.
  for v in
    select distinct on (a.attempt ->> 'provider_key') a.attempt ->> 'provider_key' as provider_key,
      coalesce((a.attempt ->> 'ok')::boolean, false) as ok, a.attempt ->> 'error_code' as reason,
      coalesce((a.attempt ->> 'is_fault')::boolean, false) as is_fault,
      (a.attempt ->> 'open_seconds')::double precision as open_seconds
    from jsonb_array_elements(p_attempts) with ordinality as a (attempt, place)
    where a.attempt ->> 'provider_key' is not null
    order by a.attempt ->> 'provider_key', a.place desc
  loop
    if v.ok then
      update public.provider_health as h set failures = 0, open_until = null, reason = null, updated_at = now()
        where h.provider_key = v.provider_key and h.failures > 0 and (h.open_until is null or h.open_until <= p_begun_at);
    elsif v.is_fault or v.open_seconds is not null then
      insert into public.provider_health as h (provider_key, failures, open_until, reason)
        values (v.provider_key, 1, private.open_until(1, v.open_seconds), v.reason)
        on conflict on constraint provider_health_pkey do update
          set failures = h.failures + 1, reason = excluded.reason, updated_at = now(),
              open_until = private.open_until(h.failures + 1, v.open_seconds)
          where h.open_until is null or h.open_until <= p_begun_at
            or private.open_until(1, v.open_seconds) > h.open_until;
    end if;
  end loop;
end
$$;
comment on function private.note_health(jsonb, timestamptz) is
  'The last attempt at each provider decides: ok closes its circuit, a fault counts, and open_until() says when it opens.';

create function private.open_until(p_failures integer, p_open_seconds double precision) returns timestamptz
  language sql stable security invoker set search_path = ''
as $$
  select case when p_open_seconds is not null or p_failures >= 3 then now() + make_interval(secs => least(3600,
    greatest(p_open_seconds, case when p_failures >= 3 then least(10 * 2 ^ least(p_failures - 3, 9), 300) end))) end
$$;
comment on function private.open_until(integer, double precision) is
  'Until when a circuit is open: for as long as asked, or from the third fault in a row for 10 s, doubling up to five minutes; null = calls go.';

alter table private.stale_costs alter column cost_usd drop not null;
comment on column private.stale_costs.cost_usd is 'Null when the route had no known price.';

create or replace function private.book_stale(p_row private.turns, p_worker_id uuid, p_cost numeric, p_input bigint, p_output bigint)
  returns text
  language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into private.stale_costs (turn_id, worker_id, cost_usd) values (p_row.id, p_worker_id, p_cost)
    on conflict on constraint stale_costs_pkey do nothing;
  if not found then
    return 'duplicate';
  end if;
  update public.chat_logs as l set cost_usd = coalesce(l.cost_usd, 0) + p_cost
    where l.turn_id = p_row.id and p_cost is not null;
  perform private.settle_in(p_row.user_id::text, p_row.day, 0, coalesce(p_cost, 0), p_input, p_output, 0);
  perform private.settle_in('global', p_row.day, 0, coalesce(p_cost, 0), p_input, p_output, 0);
  return 'stale';
end
$$;

create or replace function public.chat_finish(entry jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_row private.turns;
  v_route jsonb;
  v_input bigint := greatest(coalesce((entry #>> '{usage,input_tokens}')::bigint, 0), 0);
  v_output bigint := greatest(coalesce((entry #>> '{usage,output_tokens}')::bigint, 0), 0);
  v_person uuid;
  v_cost numeric;
  v_stale numeric;
  v_release numeric;
  v_is_refunded boolean;
  v_is_open boolean;
  v_message_id uuid;
  v_log_id bigint;
begin
  select * into v_row from private.turns as r where r.id = (entry ->> 'turn_id')::uuid for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select r.route into v_route from jsonb_array_elements(v_row.routes) as r (route)
    where r.route ->> 'identifier' = coalesce(entry ->> 'identifier', v_row.routes #>> '{0,identifier}') limit 1;
  entry := entry || jsonb_build_object('attempts', private.price_attempts(v_row.routes, entry -> 'attempts'));
  v_cost := case when private.is_metered(entry -> 'attempts')
    then (select sum((a.attempt ->> 'cost_usd')::numeric) from jsonb_array_elements(entry -> 'attempts') as a (attempt))
    else private.turn_cost(v_route -> 'pricing', v_input, v_output,
      least(coalesce((entry #>> '{usage,cached_tokens}')::bigint, 0), v_input)) end;
  if (entry ->> 'worker_id')::uuid is distinct from v_row.worker_id then
    return jsonb_build_object('cost_usd', v_cost,
      'outcome', private.book_stale(v_row, (entry ->> 'worker_id')::uuid, v_cost, v_input, v_output));
  end if;
  if v_row.state in ('settled', 'failed') then
    return (select jsonb_build_object('outcome', 'duplicate', 'log_id', l.id, 'cost_usd', l.cost_usd)
            from public.chat_logs as l where l.turn_id = v_row.id);
  end if;

  -- A turn that failed before it used anything is given back to the person's day.
  v_is_refunded := entry ->> 'status' = 'failed' and v_output = 0 and coalesce(v_cost, 0) = 0 and v_row.state = 'started';
  v_release := case when v_row.state = 'started' then v_row.reserved_usd else 0 end;
  select sum(s.cost_usd) into v_stale from private.stale_costs as s where s.turn_id = v_row.id;

  -- Whoever was deleted or forgotten meanwhile: the money is booked, the words are not. A deletion that is just under way makes the
  -- log row's foreign key fail after it; the next try finds them gone.
  v_person := (select u.id from auth.users as u where u.id = v_row.user_id and not v_row.is_forgotten);
  v_row.conversation_id := (select c.id from public.llm_conversations as c where c.id = v_row.conversation_id);
  if v_person is null then
    entry := entry - 'user_id_hash' - 'metadata';
    v_row.conversation_id := null;
    v_row.requested_model := null;
    v_row.request_id := null;
    v_row.metadata := '{}';
    perform private.forget_turns(array[v_row.id]);
  end if;
  v_log_id := private.write_log(v_row, v_person, entry, v_route,
    case when v_cost is null and v_stale is null then null else coalesce(v_cost, 0) + coalesce(v_stale, 0) end);
  v_message_id := private.remember_answer(v_row, entry || jsonb_build_object('identifier', v_route ->> 'identifier'), v_cost);
  -- A turn in which nothing was said may be asked again with its key; what it cost stays with it.
  v_is_open := coalesce(entry ->> 'content', '') = '' and entry ->> 'status' <> 'completed';
  if v_is_open and v_cost > 0 then
    insert into private.stale_costs (turn_id, worker_id, cost_usd) values (v_row.id, v_row.worker_id, v_cost);
  end if;
  update private.turns as r
    set state = case when v_is_open then 'failed' else 'settled' end, finished_at = now(), reserved_usd = 0
    where r.id = v_row.id;
  perform private.note_health(entry -> 'attempts', v_row.started_at);
  -- One lock order everywhere: the turn's row, the person's counters, the global counters last.
  perform private.settle_in(v_row.user_id::text, v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output,
    -v_is_refunded::integer);
  perform private.settle_in('global', v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output, -v_is_refunded::integer);
  return jsonb_build_object('outcome', 'settled', 'log_id', v_log_id, 'message_id', v_message_id, 'cost_usd', v_cost);
end
$$;

revoke execute on function private.forget_turns(uuid[]), private.price_attempts(jsonb, jsonb), private.is_metered(jsonb),
  private.open_until(integer, double precision), private.note_health(jsonb, timestamptz)
  from public, anon, authenticated, service_role;
