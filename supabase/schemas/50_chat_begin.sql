-- Purpose: the first round trip of a turn: access, routing, history and the reservation.
-- Affects: public.chat_begin()
-- Access: signed-in users with their own token; definer because counters and write-ahead rows are not granted.

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
  v_is_stored boolean := p_turn.store or p_turn.log_words;
  v_agent text := private.internal_name(p_turn.agent, 40);
  v_row private.turns;
  v_held jsonb;
begin
  -- The unique index makes requests with the same key wait for each other.
  insert into private.turns
    (id, user_id, request_id, endpoint, idempotency_key, body_hash, worker_id, lease_until, question,
     is_stored, requested_model, agent_type, metadata)
  values
    (p_turn.turn_id, p_user_id, p_turn.request_id, p_turn.endpoint, p_turn.idempotency_key, p_turn.body_hash,
     p_turn.worker_id, v_lease_until, p_turn.question, v_is_stored, p_turn.requested_model, v_agent, p_turn.metadata)
  on conflict do nothing;
  if found then
    return jsonb_build_object('outcome', 'new', 'turn_id', p_turn.turn_id);
  end if;

  select * into v_row from private.turns as r
    where r.user_id = p_user_id and (r.idempotency_key = p_turn.idempotency_key or r.id = p_turn.turn_id) for update;
  if not found or v_row.body_hash is distinct from p_turn.body_hash then
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
    select jsonb_build_object('turn_id', v_row.id, 'day', v_row.day,
        'reserved_usd', case when v_row.state = 'started' then v_row.reserved_usd else 0 end,
        'requests', (v_row.state = 'started')::integer, 'spent_usd', coalesce(sum(s.cost_usd), 0),
        'input_tokens', coalesce(sum(s.input_tokens), 0), 'output_tokens', coalesce(sum(s.output_tokens), 0))
      into v_held from private.lost_attempt_costs as s where s.turn_id = v_row.id;
  end if;
  update private.turns as r
    set state = 'started', worker_id = p_turn.worker_id, lease_until = v_lease_until, tries = r.tries + 1,
        started_at = now(), finished_at = null, request_id = p_turn.request_id, endpoint = p_turn.endpoint,
        question = p_turn.question, is_stored = v_is_stored, requested_model = p_turn.requested_model,
        agent_type = v_agent, metadata = p_turn.metadata
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held',
    v_held);
end
$$;
comment on function private.claim_turn(uuid, private.turn_request) is
  '{outcome: new | replay | in_progress | mismatch, turn_id, conversation_id?, held?}. held is {turn_id, day, '
  'reserved_usd, requests, spent_usd, input_tokens, output_tokens}: what an attempt whose lease has ended still '
  'reserves, and what earlier attempts used on another day.';
revoke execute on function private.claim_turn from public, anon, authenticated, service_role;

create function private.plan_turn(p_routes jsonb, p_conversation_id uuid, p_user_id uuid, p_turn private.turn_request)
  returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_context bigint := coalesce((p_routes #>> '{0,capabilities,context_window}')::bigint,
    private.default_context_window());
  -- Upper bounds that chat sends. Tools count only when a model of the routes can use them.
  v_prompt bigint := p_turn.prompt_tokens
    + case when jsonb_path_exists(p_routes, '$[*].capabilities.supports_tools ? (@ == true)')
      then coalesce(p_turn.tool_tokens, 0) else 0 end;
  v_speakers jsonb := private.speaker_names(p_conversation_id);
  v_message text := concat_ws(': ', v_speakers ->> p_user_id::text, p_turn.message);
  v_new_tokens bigint := private.estimate_tokens(v_message) + v_prompt / 3;
  v_routes jsonb;
  v_history jsonb;
  v_input bigint;
  v_max_input bigint;
begin
  select jsonb_agg(e.route || jsonb_build_object('max_output_tokens',
      greatest(1, least(coalesce(p_turn.max_tokens, private.default_max_tokens()),
        (e.route #>> '{capabilities,max_output_tokens}')::bigint,
        (e.route #>> '{capabilities,context_window}')::bigint / 2))) order by e.place)
    into v_routes from jsonb_array_elements(p_routes) with ordinality as e (route, place);
  -- The estimate is high: a message is refused only at twice the window, because a shorter one may still fit.
  if v_new_tokens / 2 > v_context then
    perform private.refuse('PT422', 'context_exceeded', 'The message is longer than this model can read.',
      jsonb_build_object('context_window', v_context));
  end if;
  -- Half of the window is left for results of tools.
  v_history := private.recent_history(p_conversation_id, p_user_id, v_speakers,
    least(v_context - (v_routes #>> '{0,max_output_tokens}')::bigint - v_new_tokens,
      case when jsonb_path_exists(p_routes, '$[0].capabilities.supports_tools ? (@ == true)')
        and p_turn.tool_tokens is not null
        then v_context / 2 end),
    p_turn.turn_id);
  select v_new_tokens + coalesce(sum(private.estimate_tokens(h.content)), 0),
      private.token_upper_bound(v_message) + v_prompt + coalesce(sum(private.token_upper_bound(h.content)), 0)
    into v_input, v_max_input
    from (select concat_ws(': ', m ->> 'name', m ->> 'content') as content
      from jsonb_array_elements(v_history -> 'messages') as m) as h;
  -- A fallback with too small a window would reject the prompt, so it is left out.
  select jsonb_agg(e.route order by e.place) into v_routes
    from jsonb_array_elements(v_routes) with ordinality as e (route, place)
    where e.place = 1 or coalesce(v_input <= (e.route #>> '{capabilities,context_window}')::bigint, true);
  -- The reservation covers the most expensive route at full output and the upper bound of input. An unknown price
  -- reserves nothing.
  return (select jsonb_build_object('routes', v_routes, 'history', v_history -> 'messages',
      'history_left_out', v_history -> 'left_out', 'speaker', v_speakers ->> p_user_id::text,
      'participants', greatest(1, (select count(*) from public.conversation_members as m
        where m.conversation_id = p_conversation_id)),
      'input_tokens_estimate', v_input,
      'reserve_usd',
        coalesce(max(private.turn_cost(r -> 'pricing', v_max_input, (r ->> 'max_output_tokens')::bigint)), 0),
      'least_usd', min(private.turn_cost(r -> 'pricing', v_input, 1)))
    from jsonb_array_elements(v_routes) as r);
end
$$;
comment on function private.plan_turn(jsonb, uuid, uuid, private.turn_request) is
  '{routes with max_output_tokens, history, history_left_out, speaker, participants, input_tokens_estimate, '
  'reserve_usd, least_usd}.';
revoke execute on function private.plan_turn from public, anon, authenticated, service_role;

create function private.reserve_turn(p_user_id uuid, p_usd numeric, p_held jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
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
  v_caps public.usage_limits := private.user_caps(p_user_id,
    coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false));
  v_max_open integer := private.setting('open_turns_per_person', 64);
  v_open record;
  v_global public.usage_limits;
  v_user_day public.usage_counters;
  v_user_month public.usage_counters;
begin
  select * into v_global from public.usage_limits where scope = 'global';
  if v_is_moved then  -- the day of the log row is always the day that is charged
    update public.chat_logs as l set created_at = now() where l.turn_id = (p_held ->> 'turn_id')::uuid;
  end if;
  -- One lock order everywhere: the user's counters, then the global ones, for which all turns wait.
  if v_is_moved then
    perform private.lock_counters(p_user_id::text, array[v_held_day, v_day]);
  end if;
  if v_held_day is not null then
    perform private.settle_in_scope(p_user_id::text, v_held_day, v_held_usd, -v_spent, -v_input, -v_output,
      -v_held_requests);
  end if;
  v_user_day := private.reserve_in_scope(p_user_id::text, 'day', v_day, p_usd + v_spent, v_caps.daily_requests,
    v_caps.daily_cost_usd);
  v_user_month := private.reserve_in_scope(p_user_id::text, 'month', v_month, p_usd + v_spent, null,
    v_caps.monthly_cost_usd);
  if v_is_moved then
    perform private.settle_in_scope(p_user_id::text, v_day, v_spent, v_spent, v_input, v_output, 0);
  end if;
  -- Counted under the lock of the user's counter, so that two turns cannot both take the last place.
  select count(*) as n, extract(epoch from min(r.lease_until) - now()) as seconds into v_open from private.turns as r
    where r.user_id = p_user_id and r.state = 'started' and r.lease_until > now();
  if v_open.n > v_max_open then
    perform private.refuse('PT429', 'too_many_turns', 'Too many turns are being answered at once.',
      jsonb_build_object('most', v_max_open, 'retry_after', least(ceil(v_open.seconds), 5)));
  end if;
  if v_is_moved then
    perform private.lock_counters('global', array[v_held_day, v_day]);
  end if;
  if v_held_day is not null then
    perform private.settle_in_scope('global', v_held_day, v_held_usd, -v_spent, -v_input, -v_output, -v_held_requests);
  end if;
  perform private.reserve_in_scope('global', 'day', v_day, p_usd + v_spent, v_global.daily_requests,
    v_global.daily_cost_usd);
  perform private.reserve_in_scope('global', 'month', v_month, p_usd + v_spent, null, v_global.monthly_cost_usd);
  if v_is_moved then
    perform private.settle_in_scope('global', v_day, v_spent, v_spent, v_input, v_output, 0);
  end if;
  return private.limits_left(v_caps, v_user_day, v_user_month);
end
$$;
comment on function private.reserve_turn(uuid, numeric, jsonb) is
  'Reserves p_usd and counts one turn for the user and globally. Releases the reservation of an attempt whose lease '
  'has ended, and moves the usage of earlier attempts to today. Returns what is left. Refuses with too_many_turns '
  '(429) at open_turns_per_person running turns.';
revoke execute on function private.reserve_turn from public, anon, authenticated, service_role;

create function private.model_label(p_routes jsonb, p_identifier text) returns text
  language sql stable security invoker set search_path = '' as $$
  select left(e.route ->> 'label', 500) from jsonb_array_elements(p_routes) as e (route)
  where e.route ->> 'identifier' = p_identifier
    and (e.route ->> 'node_id' is null or exists (select 1 from public.client_nodes as n
      where n.id = (e.route ->> 'node_id')::bigint))
  limit 1
$$;
comment on function private.model_label(jsonb, text) is 'The label of a turn''s route; null when its node is deleted.';
revoke execute on function private.model_label from public, anon, authenticated, service_role;

create function private.signed_in_user() returns uuid
  language sql stable security invoker set search_path = '' as $$
  select (c.claims ->> 'sub')::uuid from (select auth.jwt() as claims) as c
  where c.claims ->> 'role' = 'authenticated'
    and coalesce((c.claims ->> 'exp')::numeric > extract(epoch from now()) - 30, true)
$$;
comment on function private.signed_in_user() is
  'The user of the claims; null when they are no signed-in user''s, or have expired for 30 seconds, as for PostgREST.';
revoke execute on function private.signed_in_user from public, anon, authenticated, service_role;

create function public.chat_begin(turn jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := private.signed_in_user();
  v_turn private.turn_request;
  v_claim jsonb := '{}';
  v_conversation public.llm_conversations;
  v_profile public.user_llm_profiles;
  v_resolved jsonb;
  v_plan jsonb;
  v_message_id uuid;
  v_limits jsonb;
  v_agent text;
  v_replaces uuid;
begin
  -- The insert into messages will take the same lock for its foreign key. Taken first, it makes a deletion of this user
  -- wait before either transaction locks the conversation.
  perform 1 from auth.users as u where u.id = v_user_id for key share;
  if not found then
    perform private.refuse('PT401', 'invalid_token', 'This person does not exist.');
  end if;
  if jsonb_typeof(turn) is distinct from 'object' or jsonb_typeof(turn -> 'message') is distinct from 'string' then
    perform private.refuse('PT422', 'validation_failed', 'A turn is an object with a message.');
  end if;
  v_turn := private.read_turn_request(turn);
  if not v_turn.dry_run then
    -- A deletion of the user's text takes the same lock, so that it sees the rows of all admitted turns.
    perform pg_advisory_xact_lock_shared(hashtextextended('private.forget:' || v_user_id, 0));
    v_claim := private.claim_turn(v_user_id, v_turn);
    if v_claim ->> 'outcome' <> 'new' then
      return v_claim;
    end if;
    -- A retry with the same key continues the earlier turn in its conversation.
    v_turn.turn_id := v_claim ->> 'turn_id';
    v_turn.conversation_id := coalesce(v_claim ->> 'conversation_id', v_turn.conversation_id);
  end if;

  v_conversation := private.open_conversation(v_user_id, v_turn);
  if v_turn.store then
    v_conversation := private.lock_conversation(v_user_id, v_conversation.id, v_turn.turn_id, v_turn.message);
  end if;
  if not v_turn.dry_run then
    -- Set before the history is read, because the history leaves out the replaced turns, also for a turn that is not
    -- stored.
    v_replaces := private.turn_to_replace(v_user_id, v_conversation.id, v_turn);
    update private.turns as r set replaces = v_replaces
      where r.id = v_turn.turn_id and r.replaces is distinct from v_replaces;
    -- A retry replaces turns that came after the earlier attempt, too, so its question gets a later time.
    update public.messages as m set created_at = clock_timestamp()
      where v_replaces is not null and m.turn_id = v_turn.turn_id and m.role = 'user';
  end if;
  select * into v_profile from public.user_llm_profiles as p where p.user_id = v_user_id;
  v_agent := coalesce(nullif(v_turn.asked_agent, 'auto'),
    case when v_turn.asked_agent is null then nullif(v_profile.preferred_agent, 'auto') end, v_turn.agent);
  v_resolved := private.resolve_routes(v_user_id, v_turn.model, v_conversation.default_model,
    v_profile.preferred_model, v_turn.agent_models -> v_agent, v_turn.strict_model,
    private.routing_criteria(v_turn, v_conversation.id));
  v_plan := private.plan_turn(v_resolved -> 'routes', v_conversation.id, v_user_id, v_turn);

  if v_turn.dry_run then
    v_limits := private.current_limits(v_user_id);
  else
    if v_turn.store then
      insert into public.messages (conversation_id, user_id, role, content, client_id, is_tentative, turn_id)
        values (v_conversation.id, v_user_id, 'user', v_turn.message, v_turn.question_id,
                v_replaces is not null, v_turn.turn_id)
        on conflict (turn_id, role) where turn_id is not null do update
          set content = excluded.content, client_id = excluded.client_id, is_tentative = excluded.is_tentative
        returning id into v_message_id;
    end if;
    v_limits := private.reserve_turn(v_user_id, (v_plan ->> 'reserve_usd')::numeric, v_claim -> 'held');
    update private.turns as r
      set conversation_id = v_conversation.id, routes = v_plan -> 'routes', route_reason = v_resolved ->> 'reason',
          reserved_usd = (v_plan ->> 'reserve_usd')::numeric, day = (now() at time zone 'utc')::date,
          history_left_out = (v_plan ->> 'history_left_out')::integer
      where r.id = v_turn.turn_id;
  end if;

  return v_plan || jsonb_build_object(
    'outcome', case when v_turn.dry_run then 'dry_run' else 'new' end, 'turn_id', v_claim ->> 'turn_id', 'agent',
      v_agent,
    'conversation_id', v_conversation.id, 'message_id', v_message_id, 'reason', v_resolved ->> 'reason',
    'unresolved_model', private.unresolved_name(v_resolved ->> 'reason', v_turn.requested_model,
      v_conversation.default_model, v_profile.preferred_model),
    'profile', case when v_profile.user_id is not null then jsonb_build_object('skill_level', v_profile.skill_level,
      'communication_style', v_profile.communication_style, 'preferred_agent', v_profile.preferred_agent) end,
    'limits', v_limits);
end
$$;
comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, '
  'channel_id?, thread_ts?, model?, requested_model? (redacted), agent? (likely agent), asked_agent? (requested '
  'agent), agent_models? (object of agent to models, first choice first), needs? (capabilities), providers? (with a '
  'key here), defaults? ([{provider, model, is_chosen}]), max_tokens?, prompt_tokens?, tool_tokens? (upper bounds), '
  'idempotency_key?, body_hash?, request_id?, question_id? (the client''s id of the question), regenerate? (answer a '
  'question again), message_id? (the answer or question to regenerate, or the question to edit), metadata?, store?, '
  'log_words?, strict_model?, dry_run?, lease_seconds?. Returns outcome, turn_id, conversation_id, agent (whose '
  'models were tried), routes, reason, unresolved_model, history ([{role, content, name?}]), history_left_out, '
  'speaker, participants, profile, reserve_usd, limits. Refuses with SQLSTATE PT4xx and a JSON detail.';
revoke execute on function public.chat_begin from public, anon, authenticated, service_role;
grant execute on function public.chat_begin(jsonb) to authenticated;
