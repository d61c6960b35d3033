-- Purpose: the first round trip of a turn: access, routing, history and the reservation.
-- Affects: public.chat_begin(), public.chat_begin_with_key(), public.follow_turn_with_key(),
-- public.stop_turn_with_key()
-- Access: signed-in users with their own token, the service with an API key; definer because counters and write-ahead
-- rows are not granted.

create function private.replayed_turn(p_row private.turns) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object('outcome', 'replay', 'turn_id', p_row.id, 'conversation_id', p_row.conversation_id,
    'routes', p_row.routes, 'reason', p_row.route_reason,
    'message', (select jsonb_build_object('id', m.id, 'content', m.content, 'status', m.status)
                from public.messages as m where m.turn_id = p_row.id and m.role = 'assistant'),
    'log', (select to_jsonb(l) from public.chat_logs as l where l.turn_id = p_row.id))
$$;
comment on function private.replayed_turn(private.turns) is
  'The stored answer of a settled turn, for the same key and body.';
revoke execute on function private.replayed_turn from public, anon, authenticated, service_role;

create function private.claim_turn(p_user_id uuid, p_turn private.turn_request) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_lease_until timestamptz := now() + make_interval(secs => p_turn.lease_seconds);
  v_row private.turns;
  v_held jsonb;
begin
  -- The unique index makes requests with the same key wait for each other. write_turn() completes the row.
  insert into private.turns (id, user_id, endpoint, idempotency_key, body_hash, worker_id, lease_until, api_key_id)
    values (p_turn.turn_id, p_user_id, p_turn.endpoint, p_turn.idempotency_key, p_turn.body_hash, p_turn.worker_id,
      v_lease_until, p_turn.api_key_id)
    on conflict do nothing;
  if found then
    return jsonb_build_object('outcome', 'new', 'turn_id', p_turn.turn_id);
  end if;

  select * into v_row from private.turns as r
    where r.user_id = p_user_id and (r.idempotency_key = p_turn.idempotency_key or r.id = p_turn.turn_id) for update;
  -- A retry with another credential would be charged to two keys.
  if not found or v_row.body_hash is distinct from p_turn.body_hash
      or v_row.api_key_id is distinct from p_turn.api_key_id then
    return jsonb_build_object('outcome', 'mismatch');
  end if;
  if v_row.state = 'settled' then
    return private.replayed_turn(v_row) || jsonb_build_object('limits', private.current_limits(p_user_id));
  end if;
  -- A worker that lost the answer begins its turn again.
  if v_row.state = 'started' and v_row.lease_until > now() and v_row.worker_id is distinct from p_turn.worker_id then
    return jsonb_build_object('outcome', 'in_progress',
      'retry_after', least(ceil(extract(epoch from v_row.lease_until - now())), 5));
  end if;

  -- The earlier attempt failed without content, or its lease has ended. Its reservation is released, and the usage of
  -- earlier attempts moves to the day on which the turn is charged now.
  if v_row.state = 'started' or v_row.day <> (now() at time zone 'utc')::date then
    select jsonb_build_object('day', v_row.day,
        'reserved_usd', case when v_row.state = 'started' then v_row.reserved_usd else 0 end,
        'requests', (v_row.state = 'started')::integer, 'spent_usd', coalesce(sum(s.cost_usd), 0),
        'input_tokens', coalesce(sum(s.input_tokens), 0), 'output_tokens', coalesce(sum(s.output_tokens), 0))
      into v_held from private.lost_attempt_costs as s where s.turn_id = v_row.id;
  end if;
  update private.turns as r
    set state = 'started', worker_id = p_turn.worker_id, lease_until = v_lease_until, tries = r.tries + 1,
        started_at = now(), finished_at = null, stopped_at = null
    where r.id = v_row.id;
  delete from private.turn_pieces as p where p.turn_id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held',
    v_held);
end
$$;
comment on function private.claim_turn(uuid, private.turn_request) is
  '{outcome: new | replay | in_progress | mismatch, turn_id, conversation_id?, held?}. held is {day, reserved_usd, '
  'requests, spent_usd, input_tokens, output_tokens}: what an attempt whose lease has ended still reserves, and what '
  'earlier attempts used on another day.';
revoke execute on function private.claim_turn from public, anon, authenticated, service_role;

create function private.write_turn(p_user_id uuid, p_turn private.turn_request, p_conversation_id uuid, p_agent text,
  p_route_reason text, p_plan jsonb, p_replaces uuid, p_is_claimed boolean) returns boolean
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into private.turns as r
    (id, user_id, request_id, endpoint, worker_id, lease_until, question, is_stored, requested_model, agent_type,
     metadata, conversation_id, routes, route_reason, reserved_usd, history_left_out, replaces, api_key_id,
     is_resumable, is_agent_asked, history_shown, preset_version)
  values
    (p_turn.turn_id, p_user_id, p_turn.request_id, p_turn.endpoint, p_turn.worker_id,
     now() + make_interval(secs => p_turn.lease_seconds), p_turn.question, p_turn.store or p_turn.log_words,
     p_turn.requested_model, private.internal_name(p_agent, 40), p_turn.metadata, p_conversation_id, p_plan -> 'routes',
     p_route_reason, (p_plan ->> 'reserve_usd')::numeric, (p_plan ->> 'history_left_out')::integer, p_replaces,
     p_turn.api_key_id, p_turn.resumable, coalesce(p_turn.asked_agent = p_agent, false),
     (p_plan ->> 'history_shown')::integer, p_turn.preset_version)
  on conflict on constraint turns_pkey do update
    set request_id = excluded.request_id, endpoint = excluded.endpoint, question = excluded.question,
        is_stored = excluded.is_stored, requested_model = excluded.requested_model, agent_type = excluded.agent_type,
        metadata = excluded.metadata, conversation_id = excluded.conversation_id, routes = excluded.routes,
        route_reason = excluded.route_reason, reserved_usd = excluded.reserved_usd, day = excluded.day,
        history_left_out = excluded.history_left_out, is_resumable = excluded.is_resumable,
        is_agent_asked = excluded.is_agent_asked, history_shown = excluded.history_shown,
        preset_version = excluded.preset_version
    where p_is_claimed and r.id = excluded.id;
  return found;
end
$$;
comment on function private.write_turn(uuid, private.turn_request, uuid, text, text, jsonb, uuid, boolean) is
  'Inserts the write-ahead row, or completes the row of claim_turn(). Returns false when a turn without a claim '
  'exists already.';
revoke execute on function private.write_turn from public, anon, authenticated, service_role;

create function private.plan_turn(p_routes jsonb, p_conversation_id uuid, p_user_id uuid, p_turn private.turn_request,
  out plan jsonb, out history json)
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_first jsonb := p_routes #> '{0,capabilities}';
  v_context bigint := coalesce((v_first ->> 'context_window')::bigint, private.default_context_window());
  -- Upper bounds that chat sends. Tools count only when a model of the routes can use them.
  v_prompt bigint := p_turn.prompt_tokens
    + case when jsonb_path_exists(p_routes, '$[*].capabilities.supports_tools ? (@ == true)')
      then coalesce(p_turn.tool_tokens, 0) else 0 end;
  v_speakers jsonb;
  v_message text := p_turn.message;
  v_new_tokens bigint;
  v_history record;
  v_input bigint;
  v_max_input bigint;
  v_route jsonb;
  v_output bigint;
  v_routes jsonb := '[]';
  v_reserve numeric := 0;
  v_least numeric;
begin
  if p_conversation_id is not null then
    v_speakers := private.speaker_names(p_conversation_id);
    v_message := concat_ws(': ', v_speakers ->> p_user_id::text, v_message);
  end if;
  v_new_tokens := private.estimate_tokens(v_message) + v_prompt / 3 + p_turn.file_tokens;
  -- The estimate is high: a message is refused only at twice the window, because a shorter one may still fit.
  if v_new_tokens / 2 > v_context then
    perform private.refuse('PT422', 'context_exceeded', 'The message is longer than this model can read.',
      jsonb_build_object('context_window', v_context));
  end if;
  v_input := v_new_tokens;
  v_max_input := private.token_upper_bound(v_message) + v_prompt + p_turn.max_file_tokens;
  if p_conversation_id is not null then
    -- Half of the window is left for results of tools.
    select * into v_history from private.recent_history(p_conversation_id, p_user_id, v_speakers,
      least(v_context - private.max_output(v_first, p_turn.max_tokens) - v_new_tokens,
        case when v_first @> '{"supports_tools": true}' and p_turn.tool_tokens is not null then v_context / 2 end),
      p_turn.turn_id);
    v_input := v_input + v_history.tokens;
    v_max_input := v_max_input + v_history.max_tokens;
    history := v_history.messages;
    plan := jsonb_build_object('history_left_out', v_history.left_out, 'history_shown', v_history.shown,
      'files', case when v_history.has_files then private.history_files(history::jsonb, v_first) end);
  end if;
  -- The reservation covers the most expensive route at full output and the upper bound of input. An unknown price
  -- reserves nothing.
  for v_place in 0 .. jsonb_array_length(p_routes) - 1 loop
    v_route := p_routes -> v_place;
    -- A fallback with too small a window would reject the prompt, so it is left out.
    continue when v_place > 0 and v_input > (v_route #>> '{capabilities,context_window}')::bigint;
    v_output := private.max_output(v_route -> 'capabilities', p_turn.max_tokens);
    v_routes := v_routes || jsonb_build_array(v_route || jsonb_build_object('max_output_tokens', v_output));
    v_reserve := greatest(v_reserve, private.highest_cost(v_route -> 'pricing', v_max_input, v_output));
    v_least := least(v_least, private.turn_cost(v_route -> 'pricing', v_input, 1));
  end loop;
  plan := jsonb_build_object('routes', v_routes, 'history_left_out', 0, 'history_shown', null, 'files', null,
      'speaker', v_speakers ->> p_user_id::text, 'input_tokens_estimate', v_input, 'reserve_usd', v_reserve,
      'least_usd', v_least)
    || coalesce(plan, '{}');
end
$$;
comment on function private.plan_turn(jsonb, uuid, uuid, private.turn_request) is
  'plan: {routes with max_output_tokens, history_left_out, history_shown, speaker, files (of the history), '
  'input_tokens_estimate, reserve_usd, least_usd}. history: null without a conversation.';
revoke execute on function private.plan_turn from public, anon, authenticated, service_role;

create function private.move_held(p_scope text, p_slot smallint, p_day date, p_held jsonb) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_held_day date := (p_held ->> 'day')::date;
  v_is_moved boolean := v_held_day <> p_day;
  v_spent numeric := case when v_is_moved then (p_held ->> 'spent_usd')::numeric else 0 end;
  v_input bigint := case when v_is_moved then (p_held ->> 'input_tokens')::bigint else 0 end;
  v_output bigint := case when v_is_moved then (p_held ->> 'output_tokens')::bigint else 0 end;
begin
  perform private.lock_counters(p_scope, array[v_held_day, p_day]);
  perform private.settle_in_scope(p_scope, p_slot, v_held_day, (p_held ->> 'reserved_usd')::numeric, -v_spent, -v_input,
    -v_output, -(p_held ->> 'requests')::integer);
  if v_is_moved then
    perform private.settle_in_scope(p_scope, p_slot, p_day, 0, v_spent, v_input, v_output, 0);
    if p_scope = 'global' then
      perform private.take_shares_back(p_day);
    end if;
  end if;
end
$$;
comment on function private.move_held(text, smallint, date, jsonb) is
  'Releases in one scope the reservation of an attempt whose lease has ended, and moves what earlier attempts used on '
  'another day to p_day. All counters of both days stay locked. p_held is held of claim_turn().';
revoke execute on function private.move_held from public, anon, authenticated, service_role;

create function private.reserve_turn(p_user_id uuid, p_turn_id uuid, p_usd numeric, p_held jsonb,
  p_caps public.usage_limits, p_global public.usage_limits, p_key_id uuid) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_user text := p_user_id::text;
  v_slot smallint := private.global_slot(p_turn_id);
  v_day date := (now() at time zone 'utc')::date;
  v_month date := date_trunc('month', v_day)::date;
  v_max_open integer := private.setting('open_turns_per_person', 64);
  v_open record;
  v_user_day public.usage_counter_slots;
  v_user_month public.usage_counter_slots;
  v_limits jsonb;
begin
  -- One lock order everywhere: the user's counters, the key's, then the global ones, which are held until the commit.
  if p_held is not null then
    if (p_held ->> 'day')::date <> v_day then  -- the day of the log row is always the day that is charged
      update public.chat_logs as l set created_at = now() where l.turn_id = p_turn_id;
    end if;
    perform private.move_held(v_user, 0::smallint, v_day, p_held);
    if p_key_id is not null then
      perform private.move_held(private.key_scope(p_key_id), 0::smallint, v_day, p_held);
    end if;
    perform private.move_held('global', v_slot, v_day, p_held);
  end if;
  v_user_day := private.reserve_in_scope(v_user, 0::smallint, 'day', v_day, 1, p_usd, p_caps.daily_requests,
    p_caps.daily_cost_usd);
  if p_caps.requests_per_minute is not null then
    perform private.admit_in_minute(p_user_id, p_caps.requests_per_minute);
  end if;
  v_user_month := private.reserve_in_scope(v_user, 0::smallint, 'month', v_month, 1, p_usd, null,
    p_caps.monthly_cost_usd);
  -- Counted under the lock of the user's counter, so that two turns cannot both take the last place.
  select count(*) as n, extract(epoch from min(r.lease_until) - now()) as seconds into v_open from private.turns as r
    where r.user_id = p_user_id and r.state = 'started' and r.lease_until > now();
  if v_open.n > v_max_open then
    perform private.refuse('PT429', 'too_many_turns', 'Too many turns are being answered at once.',
      jsonb_build_object('most', v_max_open, 'retry_after', least(ceil(v_open.seconds), 5)));
  end if;
  v_limits := private.limits_left(p_caps, v_user_day, v_user_month);
  if p_key_id is not null then
    v_limits := private.with_key_budget(v_limits, private.reserve_for_key(p_key_id, v_day, 1, p_usd));
  end if;
  perform private.reserve_in_scope('global', v_slot, 'day', v_day, 1, p_usd, p_global.daily_requests,
    p_global.daily_cost_usd);
  perform private.reserve_in_scope('global', v_slot, 'month', v_month, 1, p_usd, null, p_global.monthly_cost_usd);
  return v_limits;
end
$$;
comment on function private.reserve_turn(
  uuid, uuid, numeric, jsonb, public.usage_limits, public.usage_limits, uuid) is
  'Reserves p_usd and counts one turn for the user, the API key if there is one, and globally. Releases the '
  'reservation of an attempt whose lease '
  'has ended, and moves the usage of earlier attempts to today. Returns what is left. Refuses with too_many_turns '
  '(429) at open_turns_per_person running turns.';
revoke execute on function private.reserve_turn from public, anon, authenticated, service_role;

create function private.model_label(p_routes jsonb, p_identifier text) returns text
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    select left(e.route ->> 'label', 500) from jsonb_array_elements(p_routes) as e (route)
    where e.route ->> 'identifier' = p_identifier
      and (e.route ->> 'node_id' is null or exists (select 1 from public.client_nodes as n
        where n.id = (e.route ->> 'node_id')::bigint))
    limit 1);
end
$$;
comment on function private.model_label(jsonb, text) is 'The label of a turn''s route; null when its node is deleted.';
revoke execute on function private.model_label from public, anon, authenticated, service_role;

create function private.signed_in_user() returns uuid
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_claims jsonb := auth.jwt();
begin
  return case when v_claims ->> 'role' = 'authenticated'
    and case jsonb_typeof(v_claims -> 'exp') when 'number'
      then (v_claims ->> 'exp')::numeric > extract(epoch from now()) - 30 else v_claims -> 'exp' is null end
    and v_claims ->> 'sub' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    then (v_claims ->> 'sub')::uuid end;
end
$$;
comment on function private.signed_in_user() is
  'The user of the claims; null when they are no signed-in user''s, have a claim of the wrong type, or have expired '
  'for 30 seconds, as for PostgREST.';
revoke execute on function private.signed_in_user from public, anon, authenticated, service_role;

create function private.first_agent(p_turn private.turn_request, p_preferred text, out agent text, out reason text)
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  case
    when p_turn.asked_agent <> 'auto' then agent := p_turn.asked_agent; reason := 'requested';
    when p_turn.asked_agent is null and p_preferred <> 'auto' then agent := p_preferred; reason := 'profile';
    else agent := p_turn.agent; reason := 'question';
  end case;
end
$$;
comment on function private.first_agent(private.turn_request, text) is
  'The agent that answers first, and why: the request names it, the user''s profile prefers it, or the question is '
  'for it.';
revoke execute on function private.first_agent from public, anon, authenticated, service_role;

create function public.chat_begin(turn jsonb) returns json
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_user_id uuid := private.signed_in_user();
  v_claims jsonb := auth.jwt();
  v_known record;
  v_caps public.usage_limits;
  v_profile public.user_llm_profiles;
  v_turn private.turn_request;
  v_claim jsonb;
  v_conversation public.llm_conversations;
  v_agent record;
  v_criteria jsonb;
  v_resolved jsonb;
  v_plan jsonb;
  v_history json;
  v_message_id uuid;
  v_limits jsonb;
  v_replaces uuid;
  v_file_parts jsonb;
  v_named_files jsonb;
  v_file_needs text[];
begin
  -- The insert into messages will take the same lock for its foreign key. Taken first, it makes a deletion of this user
  -- wait before either transaction locks the conversation.
  select p as profile, g as global_caps, case when own.scope is null then shared else own end as caps into v_known
    from auth.users as u
    left join public.user_llm_profiles as p on p.user_id = u.id
    left join public.usage_limits as own on own.scope = u.id::text
    left join public.usage_limits as shared
      on shared.scope = case when v_claims @> '{"is_anonymous": true}' then 'anonymous' else 'default' end
    left join public.usage_limits as g on g.scope = 'global'
    where u.id = v_user_id for key share of u;
  if not found then
    perform private.refuse('PT401', 'invalid_token', 'This user does not exist.');
  end if;
  v_caps := v_known.caps;
  v_profile := v_known.profile;
  if jsonb_typeof(turn) is distinct from 'object' or jsonb_typeof(turn -> 'message') is distinct from 'string' then
    perform private.refuse('PT422', 'validation_failed', 'A turn is an object with a message.');
  end if;
  v_turn := private.read_turn_request(turn);
  v_turn.api_key_id := (v_claims ->> 'parley_api_key_id')::uuid;  -- set by chat_begin_with_key()
  if not v_turn.dry_run then
    -- A deletion of the user's text takes the same lock, so that it sees the rows of all admitted turns.
    perform pg_advisory_xact_lock_shared(hashtextextended('private.forget:' || v_user_id, 0));
  end if;
  if coalesce(v_claims ->> 'client_id', '') <> '' then
    v_turn.api_key_id := private.app_key(v_user_id, v_claims ->> 'client_id', v_turn);
  end if;
  if not v_turn.dry_run
      and (v_turn.idempotency_key is not null or v_turn.regenerate or v_turn.message_id is not null) then
    v_claim := private.claim_turn(v_user_id, v_turn);
    if v_claim ->> 'outcome' <> 'new' then
      return v_claim;
    end if;
    -- A retry with the same key continues the earlier turn in its conversation.
    v_turn.turn_id := v_claim ->> 'turn_id';
    v_turn.conversation_id := coalesce(v_claim ->> 'conversation_id', v_turn.conversation_id);
  end if;

  if v_turn.store or v_turn.conversation_id is not null or v_turn.client_id is not null then
    v_conversation := private.open_conversation(v_user_id, v_turn);
  end if;
  if v_turn.store then
    v_conversation := private.lock_conversation(v_user_id, v_conversation.id, v_turn.turn_id, v_turn.message);
  end if;
  if v_claim is not null then
    -- Set before the history is read, because the history leaves out the replaced turns, also for a turn that is not
    -- stored.
    v_replaces := private.turn_to_replace(v_user_id, v_conversation.id, v_turn);
    update private.turns as r set replaces = v_replaces
      where r.id = v_turn.turn_id and r.replaces is distinct from v_replaces;
    -- A retry replaces turns that came after the earlier attempt, too, so its question gets a later time.
    update public.messages as m set created_at = clock_timestamp()
      where v_replaces is not null and m.turn_id = v_turn.turn_id and m.role = 'user';
  end if;
  if v_turn.files is not null then
    select f.files, f.parts, f.tokens, f.max_tokens, f.needs
      into v_named_files, v_file_parts, v_turn.file_tokens, v_turn.max_file_tokens, v_file_needs
      from private.read_turn_files(v_user_id, v_conversation.id, v_turn) as f;
    v_turn.files := null;
    v_turn.needs := v_turn.needs || to_jsonb(v_file_needs);
  end if;
  v_agent := private.first_agent(v_turn, v_profile.preferred_agent);
  if v_agent.reason = 'question' and v_conversation.primary_agent is not null then
    v_agent.agent := coalesce((select k.agent from private.next_agents as k
      where k.previous_agent = v_conversation.primary_agent and k.domain = v_agent.agent), v_agent.agent);
  end if;
  v_criteria := private.routing_criteria(v_turn, v_conversation.id);
  v_resolved := private.resolve_routes(v_user_id, v_turn.model, v_conversation.default_model,
    v_profile.preferred_model, v_turn.agent_models -> v_agent.agent, v_turn.strict_model, v_criteria);
  if v_caps.degrade_at is not null or (v_known.global_caps).degrade_at is not null then
    v_resolved := private.degrade(v_user_id, v_resolved, v_caps, v_known.global_caps, v_criteria);
  end if;
  if v_file_needs is not null then
    v_resolved := jsonb_set(v_resolved, '{routes}', private.able_routes(v_resolved -> 'routes', v_file_needs));
  end if;
  select p.plan, p.history into v_plan, v_history
    from private.plan_turn(v_resolved -> 'routes', v_conversation.id, v_user_id, v_turn) as p;

  if v_turn.dry_run then
    v_limits := private.current_limits(v_user_id);
    if v_turn.api_key_id is not null then
      v_limits := private.with_key_budget(v_limits, private.key_left(v_turn.api_key_id,
        private.current_counter(private.key_scope(v_turn.api_key_id), 'day')));
    end if;
  else
    -- A crash of the server may lose this commit, and with it a reservation, but never a booked turn: chat_finish waits
    -- for the disk.
    perform set_config('synchronous_commit', 'off', true);
    if not private.write_turn(v_user_id, v_turn, v_conversation.id, v_agent.agent, v_resolved ->> 'reason', v_plan,
        v_replaces, v_claim is not null) then
      -- A worker that lost the answer begins its turn again: what the first call reserved is released.
      v_claim := private.claim_turn(v_user_id, v_turn);
      if v_claim ->> 'outcome' <> 'new' then
        return v_claim;
      end if;
      perform private.write_turn(v_user_id, v_turn, v_conversation.id, v_agent.agent, v_resolved ->> 'reason', v_plan,
        v_replaces, true);
    end if;
    if v_turn.store then
      insert into public.messages (conversation_id, user_id, role, content, client_id, is_tentative, turn_id, parts)
        values (v_conversation.id, v_user_id, 'user', v_turn.message, v_turn.question_id,
                v_replaces is not null, v_turn.turn_id, v_file_parts)
        on conflict (turn_id, role) where turn_id is not null do update
          set content = excluded.content, client_id = excluded.client_id, is_tentative = excluded.is_tentative,
              parts = excluded.parts
        returning id into v_message_id;
    end if;
    v_limits := private.reserve_turn(v_user_id, v_turn.turn_id, (v_plan ->> 'reserve_usd')::numeric,
      nullif(v_claim -> 'held', 'null'), v_caps, v_known.global_caps, v_turn.api_key_id);
  end if;

  return json_build_object('routes', v_plan -> 'routes', 'history', coalesce(v_history, '[]'),
    'history_left_out', v_plan -> 'history_left_out', 'history_shown', v_plan -> 'history_shown',
    'speaker', v_plan -> 'speaker', 'input_tokens_estimate', v_plan -> 'input_tokens_estimate',
    'reserve_usd', v_plan -> 'reserve_usd', 'least_usd', v_plan -> 'least_usd',
    'outcome', case when v_turn.dry_run then 'dry_run' else 'new' end,
    'turn_id', case when not v_turn.dry_run then v_turn.turn_id end, 'agent', v_agent.agent,
    'agent_reason', v_agent.reason, 'conversation_id', v_conversation.id, 'message_id', v_message_id,
    'reason', v_resolved ->> 'reason', 'files', coalesce(nullif(v_plan -> 'files', 'null') || v_named_files,
      v_named_files, v_plan -> 'files'),
    'unresolved_model', private.unresolved_name(v_resolved ->> 'reason', v_turn.requested_model,
      v_conversation.default_model, v_profile.preferred_model),
    'profile', case when v_profile.user_id is not null then jsonb_build_object('skill_level', v_profile.skill_level,
      'communication_style', v_profile.communication_style) end,
    'limits', v_limits);
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, '
  'channel_id?, thread_ts?, model?, requested_model? (redacted), agent? (likely agent), asked_agent? (requested '
  'agent), agent_models? (object of agent to models, first choice first), needs? (capabilities), providers? (with a '
  'key here), defaults? ([{provider, model, is_chosen}]), max_tokens?, prompt_tokens?, tool_tokens? (upper bounds), '
  'idempotency_key?, body_hash?, request_id?, question_id? (the client''s id of the question), regenerate? (answer a '
  'question again), message_id? (the answer or question to regenerate, or the question to edit), metadata?, store?, '
  'log_words?, strict_model?, dry_run?, lease_seconds?, resumable?, seed? (keeps equal seeds on one arm of an alias), '
  'preset_version?, files? ([{media_type, name, pages, data (base64)}, or {id} of a stored one]). Returns outcome, '
  'turn_id, conversation_id, agent (whose models were tried), agent_reason (requested, profile or question), routes, '
  'reason, unresolved_model, history ([{role, content, name?, files? [{id, media_type, name}]}]), files (of the '
  'history, and those that the request named, by their id: media_type, name, pages, data), history_left_out, speaker, '
  'profile, reserve_usd, limits. Refuses with SQLSTATE PT4xx and a JSON detail.';
revoke execute on function public.chat_begin from public, anon, authenticated, service_role;
grant execute on function public.chat_begin(jsonb) to authenticated;

create function private.act_as_key(p_key_hash text) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_key public.api_keys := private.active_api_key(p_key_hash);
begin
  if not 'chat' = any (v_key.scopes) then
    perform private.refuse('PT403', 'insufficient_scope', 'This API key lacks the scope chat.', '{"scope": "chat"}');
  end if;
  perform set_config('request.jwt.claims', jsonb_build_object('role', 'authenticated', 'sub', v_key.user_id,
    'is_anonymous', false, 'parley_api_key_id', v_key.id)::text, true);
end
$$;
comment on function private.act_as_key(text) is
  'Gives the transaction the claims of the owner of the API key with this SHA-256 (hex). Refuses with invalid_api_key '
  '(401) or insufficient_scope (403).';
revoke execute on function private.act_as_key from public, anon, authenticated, service_role;

create function public.chat_begin_with_key(key_hash text, turn jsonb) returns json
  language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.act_as_key(key_hash);
  return public.chat_begin(turn);
end
$$;
comment on function public.chat_begin_with_key(text, jsonb) is
  'chat_begin for the owner of the API key with this SHA-256 (hex). The key''s own cap holds, too. Refuses with '
  'invalid_api_key (401) or insufficient_scope (403).';
revoke execute on function public.chat_begin_with_key from public, anon, authenticated, service_role;
grant execute on function public.chat_begin_with_key(text, jsonb) to service_role;

create function public.follow_turn_with_key(key_hash text, follow jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.act_as_key(key_hash);
  return public.follow_turn(follow);
end
$$;
comment on function public.follow_turn_with_key(text, jsonb) is
  'follow_turn for the owner of the API key with this SHA-256 (hex), as long as the key is valid.';
revoke execute on function public.follow_turn_with_key from public, anon, authenticated, service_role;
grant execute on function public.follow_turn_with_key(text, jsonb) to service_role;

create function public.stop_turn_with_key(key_hash text, chat_id text) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.act_as_key(key_hash);
  return public.stop_turn(chat_id);
end
$$;
comment on function public.stop_turn_with_key(text, text) is
  'stop_turn for the owner of the API key with this SHA-256 (hex).';
revoke execute on function public.stop_turn_with_key from public, anon, authenticated, service_role;
grant execute on function public.stop_turn_with_key(text, text) to service_role;
