-- Purpose: the second round trip of a turn: stores the answer, writes the log row and settles the cost, exactly once.
-- Affects: public.chat_finish()
-- Access: the service only; definer because logs and counters are not granted.

create function private.unresolved_model(p_row private.turns) returns text
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_row.route_reason not in ('model_not_found', 'model_replaced') then
    return null;
  end if;
  return private.unresolved_name(
    p_row.route_reason, p_row.requested_model,
    (select c.default_model from public.llm_conversations as c where c.id = p_row.conversation_id),
    (select p.preferred_model from public.user_llm_profiles as p where p.user_id = p_row.user_id));
end
$$;
comment on function private.unresolved_model(private.turns) is
  'The model name that could not be found in this turn; null when every lookup succeeded.';
revoke execute on function private.unresolved_model from public, anon, authenticated, service_role;

create function private.settle_turn(p_row private.turns, p_release_usd numeric, p_cost numeric, p_input bigint,
  p_output bigint, p_requests integer) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- One lock order everywhere: the turn's row, the user's counters, the key's, the global counters last.
  perform private.settle_in_scope(p_row.user_id::text, 0::smallint, p_row.day, p_release_usd, coalesce(p_cost, 0),
    p_input, p_output, p_requests);
  if p_row.api_key_id is not null then
    perform private.settle_in_scope(private.key_scope(p_row.api_key_id), 0::smallint, p_row.day, p_release_usd,
      coalesce(p_cost, 0), p_input, p_output, p_requests);
  end if;
  if p_cost > p_release_usd then  -- other slots must not use what this turn took beyond its reservation
    perform private.lock_counters('global', array[p_row.day]);
    perform private.take_shares_back(p_row.day);
  end if;
  perform private.settle_in_scope('global', private.global_slot(p_row.id), p_row.day, p_release_usd,
    coalesce(p_cost, 0), p_input, p_output, p_requests);
end
$$;
comment on function private.settle_turn(private.turns, numeric, numeric, bigint, bigint, integer) is
  'Releases a reservation and books the usage of a turn for its user, its API key and globally.';
revoke execute on function private.settle_turn from public, anon, authenticated, service_role;

create function private.book_lost_attempt(p_row private.turns, p_worker_id uuid, p_price private.turn_price,
  p_input bigint, p_output bigint, p_attempts jsonb)
  returns text
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into private.lost_attempt_costs (turn_id, worker_id, cost_usd, input_tokens, output_tokens, cached_cost_usd,
    output_cost_usd, reasoning_cost_usd, attempts)
    values (p_row.id, p_worker_id, p_price.cost_usd, p_input, p_output, p_price.cached_cost_usd,
      p_price.output_cost_usd, p_price.reasoning_cost_usd, p_attempts)
    on conflict on constraint lost_attempt_costs_pkey do nothing;
  if not found then
    return 'duplicate';
  end if;
  update public.chat_logs as l
    set cost_usd = coalesce(l.cost_usd + p_price.cost_usd, l.cost_usd, p_price.cost_usd),
        cached_cost_usd = coalesce(l.cached_cost_usd + p_price.cached_cost_usd, l.cached_cost_usd,
          p_price.cached_cost_usd),
        output_cost_usd = coalesce(l.output_cost_usd + p_price.output_cost_usd, l.output_cost_usd,
          p_price.output_cost_usd),
        reasoning_cost_usd = coalesce(l.reasoning_cost_usd + p_price.reasoning_cost_usd, l.reasoning_cost_usd,
          p_price.reasoning_cost_usd),
        input_tokens = least(coalesce(l.input_tokens, 0) + p_input, 2147483647),
        output_tokens = least(coalesce(l.output_tokens, 0) + p_output, 2147483647)
    where l.turn_id = p_row.id;
  perform private.settle_turn(p_row, 0, p_price.cost_usd, p_input, p_output, 0);
  return 'stale';
end
$$;
comment on function private.book_lost_attempt(private.turns, uuid, private.turn_price, bigint, bigint, jsonb) is
  'Books the cost of an attempt that lost its lease. Its result is dropped and the reservation stays.';
revoke execute on function private.book_lost_attempt from public, anon, authenticated, service_role;

create function private.store_answer(p_row private.turns, p_result private.turn_result, p_cost numeric) returns uuid
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_message_id uuid;
  v_quality numeric;
begin
  if p_row.conversation_id is null then
    return null;
  end if;
  -- An answer has text, or has parts and is completed; without an answer the key can be tried again. If the question
  -- was replaced meanwhile, its answer is not stored.
  if p_row.is_stored and (p_result.content <> '' or (p_result.status = 'completed' and p_result.parts is not null))
    and exists (select 1 from public.messages as q where q.turn_id = p_row.id and q.role = 'user') then
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, model_label,
      agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', p_result.content, p_result.parts, p_result.identifier,
        private.model_label(p_row.routes, p_result.identifier), p_result.agent_type, p_row.id,
        case when p_result.status = 'failed' then 'partial' else p_result.status end)
      -- The row is from a sweep, which kept the words of an instance that seemed killed.
      on conflict (turn_id, role) where turn_id is not null do update
        set content = excluded.content, parts = excluded.parts, status = excluded.status,
            model_used = excluded.model_used, model_label = excluded.model_label, agent_type = excluded.agent_type
      returning id into v_message_id;
  end if;
  if v_message_id is not null and p_row.replaces is not null then
    -- The old answer is kept until the new one is stored.
    perform private.replace_turns(p_row);
  end if;
  if v_message_id is not null then  -- null without earlier messages
    v_quality := p_row.history_shown::numeric / nullif(p_row.history_shown + p_row.history_left_out, 0);
  end if;
  update public.llm_conversations as c
    set last_activity = now(), total_cost = c.total_cost + coalesce(p_cost, 0),
        total_tokens_used = c.total_tokens_used
          + coalesce((p_result.usage).input_tokens, 0)::bigint + coalesce((p_result.usage).output_tokens, 0),
        primary_agent = coalesce(left(p_result.agent_type, 40), c.primary_agent),
        agent_handoffs = c.agent_handoffs + p_result.agent_handoffs,
        context_quality_sum = c.context_quality_sum + coalesce(v_quality, 0),
        context_quality_turns = c.context_quality_turns + (v_quality is not null)::integer,
        context_quality_score = case when v_quality is null then c.context_quality_score
          else round((c.context_quality_sum + v_quality) / (c.context_quality_turns + 1), 2) end
    where c.id = p_row.conversation_id;
  return v_message_id;
end
$$;
comment on function private.store_answer(private.turns, private.turn_result, numeric) is
  'Stores the answer, whose id is the turn''s, and the conversation''s totals; null when the answer is empty or the '
  'conversation is deleted.';
revoke execute on function private.store_answer from public, anon, authenticated, service_role;

create function private.write_log(
  p_row private.turns, p_person uuid, p_is_profiling_enabled boolean, p_result private.turn_result, p_route jsonb,
  p_price private.turn_price) returns bigint
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_log_id bigint;
begin
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response, tools_used,
     input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_source, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, domain_classification, domain_confidence, user_skill_assessment,
     escalation_suggested, escalation_metadata, context_size_tokens, history_left_out, duration_ms, ttft_ms, attempts,
     finish_reason, error_code, user_id_hash, metadata, created_at, route_alias, route_arm,
     route_reason, unresolved_model, api_key_id, rating, cached_cost_usd, output_cost_usd, reasoning_cost_usd,
     asked_agent, history_shown, cache_write_tokens, preset_version)
  values
    (p_row.id, p_row.request_id, p_person, p_row.conversation_id, p_row.endpoint, p_result.status,
     case when p_person is not null then p_row.question end,
     case when p_person is not null and p_row.is_stored then p_result.response end,
     case when p_person is not null then p_result.tools_used else '[]' end,
     (p_result.usage).input_tokens, (p_result.usage).output_tokens, (p_result.usage).cached_tokens,
     (p_result.usage).reasoning_tokens, (p_result.usage).source, p_price.cost_usd, p_route ->> 'upstream_id',
     p_route ->> 'provider',
     p_route ->> 'identifier', p_row.requested_model, coalesce(p_result.agent_type, p_row.agent_type),
     p_result.domain_classification, p_result.domain_confidence,
     case when p_is_profiling_enabled then p_result.user_skill_assessment end,
     p_result.escalation_suggested,
     case when p_person is not null and p_row.is_stored then p_result.escalation_metadata end,
     coalesce(p_result.context_size_tokens,
       case when (p_result.usage).source <> 'estimate' then (p_result.usage).input_tokens end),
     coalesce(p_result.history_left_out, p_row.history_left_out), p_result.duration_ms, p_result.ttft_ms,
     p_result.attempts,
     p_result.finish_reason, p_result.error_code, p_result.user_id_hash,
     p_row.metadata, p_row.started_at,
     p_row.routes #>> '{0,alias}', case when p_row.routes #> '{0,alias}' is not null
       then p_row.routes #>> '{0,identifier}' end,
     p_row.route_reason, case when p_person is not null then private.unresolved_model(p_row) end,
     case when p_person is not null then p_row.api_key_id end,
     -- Without a conversation the turn cannot have been rated before its end.
     case when p_row.conversation_id is not null then private.rating_of_turn(p_row.id, p_person) end,
     p_price.cached_cost_usd, p_price.output_cost_usd,
     p_price.reasoning_cost_usd, case when p_row.is_agent_asked then p_row.agent_type end, p_row.history_shown,
     (p_result.usage).cache_write_tokens, p_row.preset_version)
  -- The row may be from a sweep, a failure or an early disconnect; a late or repeated attempt overwrites it.
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, response = excluded.response,
        tools_used = excluded.tools_used, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cached_tokens = excluded.cached_tokens, reasoning_tokens = excluded.reasoning_tokens,
        cache_write_tokens = excluded.cache_write_tokens, usage_source = excluded.usage_source,
        cost_usd = excluded.cost_usd, model = excluded.model,
        provider = excluded.provider, model_identifier = excluded.model_identifier,
        agent_type = excluded.agent_type, domain_classification = excluded.domain_classification,
        domain_confidence = excluded.domain_confidence,
        user_skill_assessment = excluded.user_skill_assessment, escalation_suggested = excluded.escalation_suggested,
        escalation_metadata = excluded.escalation_metadata, context_size_tokens = excluded.context_size_tokens,
        history_left_out = excluded.history_left_out, route_alias = excluded.route_alias,
        route_arm = excluded.route_arm, route_reason = excluded.route_reason,
        unresolved_model = excluded.unresolved_model,
        duration_ms = excluded.duration_ms, ttft_ms = excluded.ttft_ms, attempts = excluded.attempts,
        finish_reason = excluded.finish_reason, error_code = excluded.error_code, metadata = excluded.metadata,
        user_id_hash = excluded.user_id_hash, request_id = excluded.request_id,
        created_at = excluded.created_at, cached_cost_usd = excluded.cached_cost_usd,
        output_cost_usd = excluded.output_cost_usd, reasoning_cost_usd = excluded.reasoning_cost_usd,
        asked_agent = excluded.asked_agent, history_shown = excluded.history_shown
  returning l.id into v_log_id;
  return v_log_id;
end
$$;
comment on function private.write_log(private.turns, uuid, boolean, private.turn_result, jsonb, private.turn_price) is
  'Writes exactly one log row for each turn. created_at is the beginning of the turn, so that its day is the day that '
  'is charged. The row has no text when the user is deleted.';
revoke execute on function private.write_log from public, anon, authenticated, service_role;

create function public.chat_finish(entry jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_result private.turn_result := private.read_turn_result(entry);
  v_input bigint := coalesce((v_result.usage).input_tokens, 0);
  v_output bigint := coalesce((v_result.usage).output_tokens, 0);
  v_logged private.turn_result;
  v_row private.turns;
  v_route jsonb;
  v_person record;
  v_price private.turn_price;
  v_logged_price private.turn_price;
  v_cost numeric;
  v_earlier record;
  v_release numeric;
  v_is_refunded boolean;
  v_is_open boolean;
  v_message_id uuid;
  v_log_id bigint;
begin
  select * into v_row from private.turns as r where r.id = v_result.turn_id for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.is_forgotten and v_row.state <> 'started' then
    v_result := private.anonymised_result(v_result, v_row.user_id);
  end if;
  v_route := private.route_of(v_row.routes, coalesce(v_result.identifier, v_row.routes #>> '{0,identifier}'));
  v_price := private.price_turn(v_row.routes, v_result.attempts, v_route -> 'pricing', v_result.usage);
  v_result.attempts := v_price.attempts;
  v_cost := v_price.cost_usd;
  if v_result.worker_id is distinct from v_row.worker_id then
    return jsonb_build_object('cost_usd', v_cost,
      'outcome', private.book_lost_attempt(v_row, v_result.worker_id, v_price, v_input, v_output,
        private.priced_attempts(v_price, v_route ->> 'identifier', v_result.usage)));
  end if;
  if v_row.state in ('settled', 'failed') then
    return (select jsonb_build_object('outcome', 'duplicate', 'log_id', l.id, 'cost_usd', l.cost_usd, 'message_id',
              (select m.id from public.messages as m where m.turn_id = v_row.id and m.role = 'assistant'))
            from public.chat_logs as l where l.turn_id = v_row.id);
  end if;

  -- A turn that failed before it used anything does not count towards the user's daily requests.
  v_is_refunded := v_result.status = 'failed' and v_output = 0 and coalesce(v_cost, 0) = 0 and v_row.state = 'started';
  v_release := case when v_row.state = 'started' then v_row.reserved_usd else 0 end;

  -- When the user was deleted meanwhile, the cost is booked without text. The lock order is that of a deletion: user,
  -- conversation, log row. A deletion skips the write-ahead row, because a finish locks it before the user.
  select u.id, p.user_id is not null as has_profile, coalesce(p.is_profiling_enabled, true) as is_profiling_enabled
    into v_person from auth.users as u left join public.user_llm_profiles as p on p.user_id = u.id
    where u.id = v_row.user_id and not v_row.is_forgotten for key share of u;
  if v_person.id is null then
    v_result := private.anonymised_result(v_result, v_row.user_id);
    v_result.user_id_hash := null;
    update private.turns as r set state = 'expired' where r.id = v_row.id;
    perform private.forget_turns(array[v_row.id]);
    select * into v_row from private.turns as r where r.id = v_row.id;
    v_route := private.route_of(v_row.routes, private.anonymised_model(v_route ->> 'identifier', v_row.user_id));
    v_row.conversation_id := null;
  elsif v_row.conversation_id is not null then
    select c.id into v_row.conversation_id from public.llm_conversations as c
      where c.id = v_row.conversation_id for no key update;
  end if;
  if v_person.id is not null and not v_person.has_profile then
    perform private.begin_profile(v_person.id);
    v_person.is_profiling_enabled := coalesce((select p.is_profiling_enabled from public.user_llm_profiles as p
      where p.user_id = v_person.id), true);
  end if;
  v_result.identifier := v_route ->> 'identifier';
  v_result.context_size_tokens := coalesce(v_result.context_size_tokens,
    case when (v_result.usage).source <> 'estimate' then (v_result.usage).input_tokens end);
  v_logged := v_result;
  v_logged_price := v_price;
  if v_row.tries > 1 then
    -- The counters include what earlier attempts used and cost, so the log row includes it, too.
    select array[sum(s.cost_usd), sum(s.cached_cost_usd), sum(s.output_cost_usd), sum(s.reasoning_cost_usd)] as parts,
        sum(s.input_tokens) as input_tokens, sum(s.output_tokens) as output_tokens
      into v_earlier from private.lost_attempt_costs as s where s.turn_id = v_row.id;
    if v_earlier.input_tokens is not null then
      v_logged.usage.input_tokens := least(v_input + v_earlier.input_tokens, 2147483647);
      v_logged.usage.output_tokens := least(v_output + v_earlier.output_tokens, 2147483647);
    end if;
    v_logged_price := private.add_cost(v_price, v_earlier.parts);
  end if;
  v_log_id := private.write_log(v_row, v_person.id, v_person.is_profiling_enabled, v_logged, v_route,
    v_logged_price);
  v_message_id := private.store_answer(v_row, v_result, v_cost);
  -- A turn without content may be tried again with its key; its usage and cost stay booked. Content counts even if it
  -- must not be stored.
  v_is_open := not v_result.has_content and v_result.status <> 'completed';
  if v_is_open then
    insert into private.lost_attempt_costs as s (turn_id, worker_id, cost_usd, input_tokens, output_tokens,
      cached_cost_usd, output_cost_usd, reasoning_cost_usd, attempts, is_finish)
      values (v_row.id, v_row.worker_id, v_cost, v_input, v_output, v_price.cached_cost_usd, v_price.output_cost_usd,
        v_price.reasoning_cost_usd, private.priced_attempts(v_price, v_result.identifier, v_result.usage), true)
      on conflict on constraint lost_attempt_costs_pkey do update
        set cost_usd = coalesce(s.cost_usd + excluded.cost_usd, s.cost_usd, excluded.cost_usd),
            cached_cost_usd = coalesce(s.cached_cost_usd + excluded.cached_cost_usd, s.cached_cost_usd,
              excluded.cached_cost_usd),
            output_cost_usd = coalesce(s.output_cost_usd + excluded.output_cost_usd, s.output_cost_usd,
              excluded.output_cost_usd),
            reasoning_cost_usd = coalesce(s.reasoning_cost_usd + excluded.reasoning_cost_usd, s.reasoning_cost_usd,
              excluded.reasoning_cost_usd),
            input_tokens = s.input_tokens + excluded.input_tokens,
            output_tokens = s.output_tokens + excluded.output_tokens, attempts = s.attempts || excluded.attempts;
  end if;
  if v_is_open or v_row.idempotency_key is not null or v_row.tries > 1 then
    update private.turns as r
      set state = case when v_is_open then 'failed' else 'settled' end, finished_at = now(), reserved_usd = 0
      where r.id = v_row.id;
  else  -- thin at once: nothing is left to replay or to price, and the shorter row is written faster
    update private.turns as r
      set state = 'settled', finished_at = now(), reserved_usd = 0, is_thin = true, question = null, metadata = '{}',
          request_id = null, requested_model = null, agent_type = null, replaces = null, history_left_out = null,
          routes = '[]'
      where r.id = v_row.id;
  end if;
  perform private.record_health(v_result.attempts, v_row.started_at, v_person.id);
  perform private.settle_turn(v_row, v_release, v_cost, v_input, v_output, -v_is_refunded::integer);
  return jsonb_build_object('outcome', 'settled', 'log_id', v_log_id, 'message_id', v_message_id, 'cost_usd', v_cost,
    'attempt_costs', (select jsonb_agg(a.attempt -> 'cost_usd' order by a.place)
      from jsonb_array_elements(v_result.attempts) with ordinality as a (attempt, place)));
end
$$;
comment on function public.chat_finish(jsonb) is
  'Settles a turn; safe to repeat. entry: turn_id, worker_id, status, identifier?, content, has_content? (whether '
  'the client received content; by default whether content is not empty), response (redacted), parts?, usage '
  '{input_tokens, output_tokens, cached_tokens, reasoning_tokens, source, cache_write_tokens?}, finish_reason, '
  'error_code, attempts, '
  'tools_used?, agent_type, agent_handoffs?, domain_classification?, domain_confidence?, user_skill_assessment?, '
  'escalation_suggested?, escalation_metadata? (redacted), context_size_tokens?, history_left_out?, duration_ms, '
  'ttft_ms, user_id_hash?. Returns outcome (settled, duplicate, stale or unknown), log_id, message_id, cost_usd, '
  'attempt_costs (in US dollars, one for each attempt; null without usage or price).';
revoke execute on function public.chat_finish from public, anon, authenticated, service_role;
grant execute on function public.chat_finish(jsonb) to service_role;
