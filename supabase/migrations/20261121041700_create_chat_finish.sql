-- Purpose: the second of a turn's two round trips: what was said, used and spent, booked exactly once.
-- Affects: functions private.book_stale(), note_health(), remember_answer(), write_log(); public.chat_finish()
-- Access: the service only; definer because logs and counters are granted to nobody.

create function private.book_stale(p_row private.turns, p_worker_id uuid, p_cost numeric, p_input bigint, p_output bigint)
  returns text
  language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into private.stale_costs (turn_id, worker_id, cost_usd) values (p_row.id, p_worker_id, coalesce(p_cost, 0))
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
comment on function private.book_stale(private.turns, uuid, numeric, bigint, bigint) is
  'An attempt that lost its lease: its money was really spent, its result and the reservation are not its own.';

create function private.note_health(p_attempts jsonb) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v record;
begin
  -- Sorted, so that two turns lock providers in the same order; a healthy provider's row is not touched at all.
  for v in
    select distinct on (a.attempt ->> 'provider_key') a.attempt ->> 'provider_key' as provider_key,
      (a.attempt ->> 'ok')::boolean as ok, a.attempt ->> 'error_code' as reason,
      (a.attempt ->> 'open_seconds')::numeric as open_seconds
    from jsonb_array_elements(p_attempts) with ordinality as a (attempt, place)
    where a.attempt ->> 'provider_key' is not null
    order by a.attempt ->> 'provider_key', a.place desc
  loop
    if v.ok then
      update public.provider_health as h set failures = 0, open_until = null, reason = null, updated_at = now()
        where h.provider_key = v.provider_key and h.failures > 0;
    elsif v.open_seconds is not null then
      insert into public.provider_health as h (provider_key, failures, open_until, reason)
        values (v.provider_key, 1, now() + make_interval(secs => least(v.open_seconds, 3600)), v.reason)
        on conflict on constraint provider_health_pkey do update
          set failures = h.failures + 1, open_until = excluded.open_until, reason = excluded.reason, updated_at = now();
    end if;
  end loop;
end
$$;
comment on function private.note_health(jsonb) is
  'The last attempt at each provider decides: ok closes its circuit, a failure with open_seconds opens it for that long.';

create function private.remember_answer(p_row private.turns, p_entry jsonb, p_cost numeric) returns uuid
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_message_id uuid;
begin
  if p_row.conversation_id is null then
    return null;
  end if;
  if p_row.is_stored and (coalesce(p_entry ->> 'content', '') <> '' or p_entry -> 'parts' <> 'null') then
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', coalesce(p_entry ->> 'content', ''), nullif(p_entry -> 'parts', 'null'),
              p_entry ->> 'identifier', p_entry ->> 'agent_type', p_row.id,
              case when p_entry ->> 'status' = 'failed' then 'partial' else p_entry ->> 'status' end)
      on conflict (turn_id, role) where turn_id is not null do nothing
      returning id into v_message_id;
  end if;
  update public.llm_conversations as c
    set last_activity = now(), total_cost = c.total_cost + coalesce(p_cost, 0),
        total_tokens_used = c.total_tokens_used
          + coalesce((p_entry #>> '{usage,input_tokens}')::bigint, 0) + coalesce((p_entry #>> '{usage,output_tokens}')::bigint, 0)
    where c.id = p_row.conversation_id;
  return v_message_id;
end
$$;
comment on function private.remember_answer(private.turns, jsonb, numeric) is
  'Stores the assistant''s message, whose id is the turn''s, and the conversation''s totals; null when nothing was said or the conversation is gone.';

create function private.write_log(
  p_row private.turns, p_person uuid, p_entry jsonb, p_route jsonb, p_cost numeric) returns bigint
  language sql volatile security invoker set search_path = ''
as $$
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response, tools_used,
     input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_source, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, context_size_tokens, duration_ms, ttft_ms, attempts,
     finish_reason, error_code, user_id_hash, metadata, created_at)
  values
    (p_row.id, p_row.request_id, p_person, p_row.conversation_id, p_row.endpoint, p_entry ->> 'status',
     case when p_person is not null then p_row.question end,
     case when p_person is not null and p_row.is_stored then p_entry ->> 'response' end,
     coalesce(nullif(p_entry -> 'tools_used', 'null'), '[]'),
     (p_entry #>> '{usage,input_tokens}')::integer, (p_entry #>> '{usage,output_tokens}')::integer,
     (p_entry #>> '{usage,cached_tokens}')::integer, (p_entry #>> '{usage,reasoning_tokens}')::integer,
     p_entry #>> '{usage,source}', p_cost, p_route ->> 'upstream_id', p_route ->> 'provider',
     p_route ->> 'identifier', p_row.requested_model, coalesce(p_entry ->> 'agent_type', p_row.agent_type),
     case when p_entry #>> '{usage,source}' <> 'estimate' then (p_entry #>> '{usage,input_tokens}')::integer end,
     (p_entry ->> 'duration_ms')::integer, (p_entry ->> 'ttft_ms')::integer,
     coalesce(nullif(p_entry -> 'attempts', 'null'), '[]'),
     p_entry ->> 'finish_reason', p_entry ->> 'error_code', p_entry ->> 'user_id_hash',
     p_row.metadata || coalesce(nullif(p_entry -> 'metadata', 'null'), '{}'), p_row.started_at)
  -- A late or repeated attempt knows better than the sweeper, a failure or a hang-up before the first word.
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, response = excluded.response, tools_used = excluded.tools_used,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cached_tokens = excluded.cached_tokens, reasoning_tokens = excluded.reasoning_tokens,
        usage_source = excluded.usage_source, cost_usd = excluded.cost_usd, model = excluded.model,
        provider = excluded.provider, model_identifier = excluded.model_identifier,
        agent_type = excluded.agent_type, context_size_tokens = excluded.context_size_tokens,
        duration_ms = excluded.duration_ms, ttft_ms = excluded.ttft_ms, attempts = excluded.attempts,
        finish_reason = excluded.finish_reason, error_code = excluded.error_code, metadata = excluded.metadata,
        request_id = excluded.request_id, created_at = excluded.created_at
  returning l.id
$$;
comment on function private.write_log(private.turns, uuid, jsonb, jsonb, numeric) is
  'Exactly one log row per turn, dated when it began so that its day is the day charged; without words when the person is gone.';

create function public.chat_finish(entry jsonb) returns jsonb
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
  v_cost := private.turn_cost(v_route -> 'pricing', v_input, v_output,
    least(coalesce((entry #>> '{usage,cached_tokens}')::bigint, 0), v_input));
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

  -- Whoever was deleted meanwhile: the money is booked, the words are not. A deletion that is just under way makes the
  -- log row's foreign key fail after it; the next try finds them gone.
  v_person := (select u.id from auth.users as u where u.id = v_row.user_id);
  v_row.conversation_id := (select c.id from public.llm_conversations as c where c.id = v_row.conversation_id);
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
  perform private.note_health(coalesce(nullif(entry -> 'attempts', 'null'), '[]'));
  -- One lock order everywhere: the turn's row, the person's counters, the global counters last.
  perform private.settle_in(v_row.user_id::text, v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output,
    -v_is_refunded::integer);
  perform private.settle_in('global', v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output, -v_is_refunded::integer);
  return jsonb_build_object('outcome', 'settled', 'log_id', v_log_id, 'message_id', v_message_id, 'cost_usd', v_cost);
end
$$;
comment on function public.chat_finish(jsonb) is
  'Settles a turn, however often it is called. entry: turn_id, worker_id, status, identifier?, content, response (redacted), parts?, '
  'usage {input_tokens, output_tokens, cached_tokens, reasoning_tokens, source}, finish_reason, error_code, attempts, tools_used, '
  'agent_type, duration_ms, ttft_ms, user_id_hash?, metadata?. Returns outcome: settled | duplicate | stale | unknown, log_id, message_id, cost_usd.';

revoke execute on function private.book_stale(private.turns, uuid, numeric, bigint, bigint),
  private.note_health(jsonb), private.remember_answer(private.turns, jsonb, numeric),
  private.write_log(private.turns, uuid, jsonb, jsonb, numeric), public.chat_finish(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.chat_finish(jsonb) to service_role;
