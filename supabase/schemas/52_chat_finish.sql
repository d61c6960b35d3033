-- Purpose: the second round trip of a turn: answer, log and settlement, exactly once.
-- Affects: public.chat_finish()
-- Access: the service only; definer because logs and counters are not granted.

create function private.unresolved_model(p_row private.turns) returns text
  language sql stable security invoker set search_path = '' as $$
  select case when p_row.route_reason in ('model_not_found', 'model_replaced') then private.unresolved_name(
    p_row.route_reason, p_row.requested_model,
    (select c.default_model from public.llm_conversations as c where c.id = p_row.conversation_id),
    (select p.preferred_model from public.user_llm_profiles as p where p.user_id = p_row.user_id)) end
$$;
comment on function private.unresolved_model(private.turns) is
  'The model name whose lookup failed in this turn; null when none failed.';
revoke execute on function private.unresolved_model(private.turns) from public, anon, authenticated, service_role;

create function private.book_lost_attempt(p_row private.turns, p_worker_id uuid, p_cost numeric, p_input bigint,
  p_output bigint)
  returns text
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into private.lost_attempt_costs (turn_id, worker_id, cost_usd, input_tokens, output_tokens)
    values (p_row.id, p_worker_id, p_cost, p_input, p_output)
    on conflict on constraint lost_attempt_costs_pkey do nothing;
  if not found then
    return 'duplicate';
  end if;
  update public.chat_logs as l
    set cost_usd = case when p_cost is null then l.cost_usd else coalesce(l.cost_usd, 0) + p_cost end,
        input_tokens = least(coalesce(l.input_tokens, 0) + p_input, 2147483647),
        output_tokens = least(coalesce(l.output_tokens, 0) + p_output, 2147483647)
    where l.turn_id = p_row.id;
  perform private.settle_in_scope(p_row.user_id::text, p_row.day, 0, coalesce(p_cost, 0), p_input, p_output, 0);
  perform private.settle_in_scope('global', p_row.day, 0, coalesce(p_cost, 0), p_input, p_output, 0);
  return 'stale';
end
$$;
comment on function private.book_lost_attempt(private.turns, uuid, numeric, bigint, bigint) is
  'An attempt that lost its lease: its money was really spent, its result and the reservation are not its own.';
revoke execute on function private.book_lost_attempt(private.turns, uuid, numeric, bigint, bigint) from public, anon,
  authenticated, service_role;

create function private.store_answer(p_row private.turns, p_entry jsonb, p_cost numeric) returns uuid
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_message_id uuid;
begin
  if p_row.conversation_id is null then
    return null;
  end if;
  -- Steps without a word are an answer only when that is all there was to come: else the key is open for another try.
  -- An answer
  -- that comes so late that its question was replaced is none any more.
  if p_row.is_stored and (coalesce(p_entry ->> 'content', '') <> ''
      or (p_entry ->> 'status' = 'completed' and p_entry -> 'parts' <> 'null'))
    and exists (select 1 from public.messages as q where q.turn_id = p_row.id and q.role = 'user') then
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, model_label,
      agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', coalesce(p_entry ->> 'content', ''),
        nullif(p_entry -> 'parts', 'null'),
              p_entry ->> 'identifier', private.model_label(p_row.routes, p_entry ->> 'identifier'),
                p_entry ->> 'agent_type', p_row.id,
              case when p_entry ->> 'status' = 'failed' then 'partial' else p_entry ->> 'status' end)
      on conflict (turn_id, role) where turn_id is not null do nothing
      returning id into v_message_id;
  end if;
  if v_message_id is not null and p_row.replaces is not null then
    -- Only now: while there is no new answer the old one stands.
    delete from public.messages as m
      where m.conversation_id = p_row.conversation_id
        and m.turn_id in (select private.replaced_turns(p_row.conversation_id, p_row.id));
    update public.messages as m set is_tentative = false where m.turn_id = p_row.id and m.role = 'user';
  end if;
  update public.llm_conversations as c
    set last_activity = now(), total_cost = c.total_cost + coalesce(p_cost, 0),
        total_tokens_used = c.total_tokens_used
          + coalesce((p_entry #>> '{usage,input_tokens}')::bigint,
            0) + coalesce((p_entry #>> '{usage,output_tokens}')::bigint, 0),
        primary_agent = coalesce(left(p_entry ->> 'agent_type', 40), c.primary_agent),
        agent_handoffs = c.agent_handoffs + greatest(coalesce((p_entry ->> 'agent_handoffs')::integer, 0), 0)
    where c.id = p_row.conversation_id;
  return v_message_id;
end
$$;
comment on function private.store_answer(private.turns, jsonb, numeric) is
  'Stores the assistant''s message, whose id is the turn''s, and the conversation''s totals; null when nothing was '
  'said or the conversation is gone.';
revoke execute on function private.store_answer(private.turns, jsonb, numeric) from public, anon, authenticated,
  service_role;

create function private.write_log(
  p_row private.turns, p_person uuid, p_entry jsonb, p_route jsonb, p_cost numeric) returns bigint
  language sql volatile security invoker set search_path = '' as $$
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response, tools_used,
     input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_source, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, domain_classification, domain_confidence, user_skill_assessment,
       escalation_suggested,
     escalation_metadata, context_size_tokens, history_left_out, duration_ms, ttft_ms, attempts,
     finish_reason, error_code, user_id_hash, metadata, created_at, route_alias, route_arm,
     route_reason, unresolved_model)
  values
    (p_row.id, p_row.request_id, p_person, p_row.conversation_id, p_row.endpoint, p_entry ->> 'status',
     case when p_person is not null then p_row.question end,
     case when p_person is not null and p_row.is_stored then p_entry ->> 'response' end,
     case when p_person is not null and jsonb_typeof(p_entry -> 'tools_used') = 'array' then p_entry -> 'tools_used'
       else '[]' end,
     (p_entry #>> '{usage,input_tokens}')::integer, (p_entry #>> '{usage,output_tokens}')::integer,
     (p_entry #>> '{usage,cached_tokens}')::integer, (p_entry #>> '{usage,reasoning_tokens}')::integer,
     p_entry #>> '{usage,source}', p_cost, p_route ->> 'upstream_id', p_route ->> 'provider',
     p_route ->> 'identifier', p_row.requested_model, coalesce(p_entry ->> 'agent_type', p_row.agent_type),
     p_entry ->> 'domain_classification', (p_entry ->> 'domain_confidence')::numeric,
     case when not exists (select 1 from public.user_llm_profiles as p where p.user_id = p_person
       and not p.is_profiling_enabled)
       then p_entry ->> 'user_skill_assessment' end,
     coalesce((p_entry ->> 'escalation_suggested')::boolean, false),
     case when p_person is not null and p_row.is_stored then nullif(p_entry -> 'escalation_metadata', 'null') end,
     coalesce((p_entry ->> 'context_size_tokens')::integer,
       case when p_entry #>> '{usage,source}' <> 'estimate' then (p_entry #>> '{usage,input_tokens}')::integer end),
     coalesce((p_entry ->> 'history_left_out')::integer, p_row.history_left_out),
     (p_entry ->> 'duration_ms')::integer, (p_entry ->> 'ttft_ms')::integer,
     coalesce(nullif(p_entry -> 'attempts', 'null'), '[]'),
     p_entry ->> 'finish_reason', p_entry ->> 'error_code', p_entry ->> 'user_id_hash',
     p_row.metadata || coalesce(nullif(p_entry -> 'metadata', 'null'), '{}'), p_row.started_at,
     p_row.routes #>> '{0,alias}', case when p_row.routes #> '{0,alias}' is not null
       then p_row.routes #>> '{0,identifier}' end,
     p_row.route_reason, case when p_person is not null then private.unresolved_model(p_row) end)
  -- A late or repeated attempt knows better than the sweeper, a failure or a hang-up before the first word.
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, response = excluded.response,
      tools_used = excluded.tools_used,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cached_tokens = excluded.cached_tokens, reasoning_tokens = excluded.reasoning_tokens,
        usage_source = excluded.usage_source, cost_usd = excluded.cost_usd, model = excluded.model,
        provider = excluded.provider, model_identifier = excluded.model_identifier,
        agent_type = excluded.agent_type, domain_classification = excluded.domain_classification,
        domain_confidence = excluded.domain_confidence,
        user_skill_assessment = excluded.user_skill_assessment, escalation_suggested = excluded.escalation_suggested,
        escalation_metadata = excluded.escalation_metadata, context_size_tokens = excluded.context_size_tokens,
        history_left_out = excluded.history_left_out, route_alias = excluded.route_alias,
          route_arm = excluded.route_arm,
        route_reason = excluded.route_reason, unresolved_model = excluded.unresolved_model,
        duration_ms = excluded.duration_ms, ttft_ms = excluded.ttft_ms, attempts = excluded.attempts,
        finish_reason = excluded.finish_reason, error_code = excluded.error_code, metadata = excluded.metadata,
        user_id_hash = excluded.user_id_hash,
        request_id = excluded.request_id, created_at = excluded.created_at
  returning l.id
$$;
comment on function private.write_log(private.turns, uuid, jsonb, jsonb, numeric) is
  'Exactly one log row per turn, dated when it began so that its day is the day charged; without words when the '
  'person is gone.';
revoke execute on function private.write_log(private.turns, uuid, jsonb, jsonb, numeric) from public, anon,
  authenticated, service_role;

create function public.chat_finish(entry jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_row private.turns;
  v_route jsonb;
  v_usage jsonb := coalesce(private.clamp_usage(entry -> 'usage'), '{}');
  v_input bigint := coalesce((v_usage ->> 'input_tokens')::bigint, 0);
  v_output bigint := coalesce((v_usage ->> 'output_tokens')::bigint, 0);
  v_person uuid;
  v_cost numeric;
  v_earlier record;
  v_release numeric;
  v_is_refunded boolean;
  v_has_content boolean;
  v_is_open boolean;
  v_message_id uuid;
  v_log_id bigint;
begin
  select * into v_row from private.turns as r where r.id = (entry ->> 'turn_id')::uuid for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  entry := entry || jsonb_build_object('usage', v_usage, 'duration_ms',
    private.clamp_count(entry -> 'duration_ms', 86400000),
    'ttft_ms', private.clamp_count(entry -> 'ttft_ms', 86400000), 'context_size_tokens',
      private.clamp_count(entry -> 'context_size_tokens'),
    'history_left_out', private.clamp_count(entry -> 'history_left_out'));
  if v_row.is_forgotten and v_row.state <> 'started' then
    entry := private.anonymised_entry(entry, v_row.user_id);
  end if;
  select r.route into v_route from jsonb_array_elements(v_row.routes) as r (route)
    where r.route ->> 'identifier' = coalesce(entry ->> 'identifier', v_row.routes #>> '{0,identifier}') limit 1;
  entry := entry || jsonb_build_object('attempts', private.price_attempts(v_row.routes, entry -> 'attempts'));
  v_cost := case when private.is_metered(entry -> 'attempts')
    then (select sum((a.attempt ->> 'cost_usd')::numeric) from jsonb_array_elements(entry -> 'attempts') as a (attempt))
    else private.turn_cost(v_route -> 'pricing', v_input, v_output,
      coalesce((v_usage ->> 'cached_tokens')::bigint, 0)) end;
  if (entry ->> 'worker_id')::uuid is distinct from v_row.worker_id then
    return jsonb_build_object('cost_usd', v_cost,
      'outcome', private.book_lost_attempt(v_row, (entry ->> 'worker_id')::uuid, v_cost, v_input, v_output));
  end if;
  if v_row.state in ('settled', 'failed') then
    return (select jsonb_build_object('outcome', 'duplicate', 'log_id', l.id, 'cost_usd', l.cost_usd)
            from public.chat_logs as l where l.turn_id = v_row.id);
  end if;

  -- A turn that failed before it used anything is given back to the person's day.
  v_is_refunded := entry ->> 'status' = 'failed' and v_output = 0 and coalesce(v_cost, 0) = 0
    and v_row.state = 'started';
  v_release := case when v_row.state = 'started' then v_row.reserved_usd else 0 end;
  select sum(s.cost_usd) as cost_usd, sum(s.input_tokens) as input_tokens, sum(s.output_tokens) as output_tokens
    into v_earlier from private.lost_attempt_costs as s where s.turn_id = v_row.id;

  -- Whoever was deleted or forgotten meanwhile: the money is booked, the words are not. The order is a deletion's own:
  -- the
  -- person, the conversation, the log row. The write-ahead row before them is skipped by a deletion of the person.
  select u.id into v_person from auth.users as u where u.id = v_row.user_id and not v_row.is_forgotten for key share;
  if v_person is null then
    entry := private.anonymised_entry(entry - 'user_id_hash' - 'metadata', v_row.user_id);
    update private.turns as r set state = 'expired' where r.id = v_row.id;
    perform private.forget_turns(array[v_row.id]);
    select * into v_row from private.turns as r where r.id = v_row.id;
    v_route := (select r.route from jsonb_array_elements(v_row.routes) as r (route)
      where r.route ->> 'identifier' = private.anonymised_model(v_route ->> 'identifier', v_row.user_id) limit 1);
    v_row.conversation_id := null;
  else
    select c.id into v_row.conversation_id from public.llm_conversations as c
      where c.id = v_row.conversation_id for no key update;
  end if;
  perform private.begin_profile(v_person);
  -- What earlier attempts used and cost is in the counters, so it stands in the row as well.
  v_log_id := private.write_log(v_row, v_person, entry || jsonb_build_object(
      'context_size_tokens', coalesce(nullif(entry -> 'context_size_tokens', 'null'),
        case when v_usage ->> 'source' <> 'estimate' then v_usage -> 'input_tokens' end),
      'usage', v_usage || case when v_earlier.input_tokens is null then '{}' else jsonb_build_object(
        'input_tokens', least(v_input + v_earlier.input_tokens, 2147483647),
        'output_tokens', least(v_output + v_earlier.output_tokens, 2147483647)) end),
    v_route, case when v_cost is null and v_earlier.cost_usd is null then null
      else coalesce(v_cost, 0) + coalesce(v_earlier.cost_usd, 0) end);
  v_message_id := private.store_answer(v_row, entry || jsonb_build_object('identifier', v_route ->> 'identifier'),
    v_cost);
  -- A turn in which nothing was said may be asked again with its key; what it used and cost stays with it. Words that
  -- may not be
  -- kept were said all the same.
  v_has_content := coalesce((entry ->> 'has_content')::boolean, coalesce(entry ->> 'content', '') <> '');
  v_is_open := not v_has_content and entry ->> 'status' <> 'completed';
  if v_is_open then
    insert into private.lost_attempt_costs as s (turn_id, worker_id, cost_usd, input_tokens, output_tokens)
      values (v_row.id, v_row.worker_id, v_cost, v_input, v_output)
      on conflict on constraint lost_attempt_costs_pkey do update
        set cost_usd = coalesce(s.cost_usd + excluded.cost_usd, s.cost_usd, excluded.cost_usd),
            input_tokens = s.input_tokens + excluded.input_tokens,
              output_tokens = s.output_tokens + excluded.output_tokens;
  end if;
  update private.turns as r
    set state = case when v_is_open then 'failed' else 'settled' end, finished_at = now(), reserved_usd = 0
    where r.id = v_row.id;
  perform private.record_health(entry -> 'attempts', v_row.started_at, v_person);
  -- One lock order everywhere: the turn's row, the person's counters, the global counters last.
  perform private.settle_in_scope(v_row.user_id::text, v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output,
    -v_is_refunded::integer);
  perform private.settle_in_scope('global', v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output,
    -v_is_refunded::integer);
  return jsonb_build_object('outcome', 'settled', 'log_id', v_log_id, 'message_id', v_message_id, 'cost_usd', v_cost);
end
$$;
comment on function public.chat_finish(jsonb) is
  'Settles a turn, however often it is called. entry: turn_id, worker_id, status, identifier?, content, said? '
  '(whether the caller heard anything, else whether content is not empty), response (redacted), parts?, usage '
  '{input_tokens, output_tokens, cached_tokens, reasoning_tokens, source}, finish_reason, error_code, attempts, '
  'tools_used?, agent_type, agent_handoffs?, domain_classification?, domain_confidence?, user_skill_assessment?, '
  'escalation_suggested?, escalation_metadata? (redacted), context_size_tokens?, history_left_out?, duration_ms, '
  'ttft_ms, user_id_hash?, metadata?. Returns outcome: settled | duplicate | stale | unknown, log_id, message_id, '
  'cost_usd.';
revoke execute on function public.chat_finish(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.chat_finish(jsonb) to service_role;
