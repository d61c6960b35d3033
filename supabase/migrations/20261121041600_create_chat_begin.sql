-- Purpose: the first of a turn's two round trips: who may ask what of which model, and the money held for it.
-- Affects: functions private.claim_turn(), open_conversation(), recent_history(), replayed_turn(); public.chat_begin()
-- Access: signed-in people, with their own token; definer because counters and write-ahead rows are granted to nobody.

create function private.claim_turn(p_user_id uuid, p_turn jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_lease interval := make_interval(secs => least(greatest(coalesce((p_turn ->> 'lease_seconds')::integer, 360), 60), 900));
  v_row private.turns;
begin
  -- The unique index makes callers with the same key wait for each other.
  insert into private.turns
    (id, user_id, request_id, endpoint, idempotency_key, body_hash, worker_id, lease_until, question,
     is_stored, requested_model, agent_type, metadata)
  values
    ((p_turn ->> 'turn_id')::uuid, p_user_id, left(p_turn ->> 'request_id', 64), left(p_turn ->> 'endpoint', 64),
     p_turn ->> 'idempotency_key', p_turn ->> 'body_hash', (p_turn ->> 'worker_id')::uuid, now() + v_lease,
     left(p_turn ->> 'question', 200000), coalesce((p_turn ->> 'store')::boolean, true), left(p_turn ->> 'requested_model', 300),
     left(p_turn ->> 'agent', 40), coalesce(p_turn -> 'metadata', '{}'))
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
    return private.replayed_turn(v_row);
  end if;
  if v_row.state = 'started' and v_row.lease_until > now() then
    return jsonb_build_object('outcome', 'in_progress',
      'retry_after', least(ceil(extract(epoch from v_row.lease_until - now())), 5));
  end if;

  -- The earlier attempt failed before anything was said, or its worker is dead: the money it still holds goes back first.
  update private.turns as r
    set state = 'started', worker_id = (p_turn ->> 'worker_id')::uuid, lease_until = now() + v_lease,
        tries = r.tries + 1, started_at = now(), finished_at = null,
        request_id = left(p_turn ->> 'request_id', 64), endpoint = left(p_turn ->> 'endpoint', 64),
        question = left(p_turn ->> 'question', 200000), is_stored = coalesce((p_turn ->> 'store')::boolean, true),
        requested_model = left(p_turn ->> 'requested_model', 300), agent_type = left(p_turn ->> 'agent', 40),
        metadata = coalesce(p_turn -> 'metadata', '{}')
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held', case when v_row.state = 'started'
    then jsonb_build_object('day', v_row.day, 'reserved_usd', v_row.reserved_usd) end);
end
$$;
comment on function private.claim_turn(uuid, jsonb) is
  '{outcome: new | replay | in_progress | mismatch, turn_id, conversation_id?, held?}; held is what a dead worker''s attempt still reserves.';

create function private.replayed_turn(p_row private.turns) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object('outcome', 'replay', 'turn_id', p_row.id, 'conversation_id', p_row.conversation_id,
    'routes', p_row.routes, 'reason', p_row.route_reason,
    'message', (select jsonb_build_object('id', m.id, 'content', m.content, 'status', m.status)
                from public.messages as m where m.turn_id = p_row.id and m.role = 'assistant'),
    'log', (select to_jsonb(l) from public.chat_logs as l where l.turn_id = p_row.id))
$$;
comment on function private.replayed_turn(private.turns) is 'The stored answer of a settled turn, for the same key and body.';

create function private.open_conversation(p_user_id uuid, p_turn jsonb) returns public.llm_conversations
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_client_id text := left(p_turn ->> 'client_id', 200);
  v_named text := coalesce(p_turn ->> 'conversation_id', v_client_id);
  v_row public.llm_conversations;
begin
  select c.* into v_row from public.llm_conversations as c
    join public.conversation_members as m on m.conversation_id = c.id and m.user_id = p_user_id
    where c.id = case when v_named ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then v_named::uuid end;
  if found then
    return v_row;
  end if;
  if p_turn ->> 'conversation_id' is not null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  end if;
  if v_client_id is not null then
    select c.* into v_row from public.llm_conversations as c
      where c.user_id = p_user_id and c.client_id = v_client_id;
    if found then
      return v_row;
    end if;
  end if;
  if not coalesce((p_turn ->> 'store')::boolean, true) then
    return null;
  end if;
  insert into public.llm_conversations (user_id, client_id) values (p_user_id, v_client_id)
    on conflict on constraint llm_conversations_user_id_client_id_key do nothing returning * into v_row;
  if not found then  -- a twin opened it a moment ago
    select c.* into v_row from public.llm_conversations as c where c.user_id = p_user_id and c.client_id = v_client_id;
    return v_row;
  end if;
  insert into public.conversation_members (conversation_id, user_id, role) values (v_row.id, p_user_id, 'owner');
  return v_row;
end
$$;
comment on function private.open_conversation(uuid, jsonb) is
  'The conversation the turn belongs to, by its id or the frontend''s own id, else a new one; null when nothing is to be stored.';

create function private.recent_history(p_conversation_id uuid, p_max_tokens bigint, p_turn_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('role', h.role, 'content', h.content) order by h.created_at, h.id), '[]')
  from (
    select m.id, m.role, m.content, m.created_at,
      sum(private.estimate_tokens(m.content)) over (order by m.created_at desc, m.id desc) as tokens_so_far
    from (select * from public.messages
          where conversation_id = p_conversation_id and turn_id is distinct from p_turn_id
          order by created_at desc, id desc limit 200) as m
  ) as h
  where h.tokens_so_far <= p_max_tokens
$$;
comment on function private.recent_history(uuid, bigint, uuid) is
  'The newest messages that fit into the token budget, oldest first, without those of the turn itself.';

create function public.chat_begin(turn jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := (select auth.uid());
  v_is_dry boolean := coalesce((turn ->> 'dry_run')::boolean, false);
  v_claim jsonb := '{}';
  v_conversation public.llm_conversations;
  v_resolved jsonb;
  v_plan jsonb;
  v_message_id uuid;
  v_limits jsonb;
begin
  if not exists (select 1 from auth.users as u where u.id = v_user_id) then
    perform private.refuse('PT401', 'invalid_token', 'This person does not exist.');
  end if;
  if jsonb_typeof(turn) is distinct from 'object' or jsonb_typeof(turn -> 'message') is distinct from 'string' then
    perform private.refuse('PT422', 'validation_failed', 'A turn is an object with a message.');
  end if;
  if not v_is_dry then
    v_claim := private.claim_turn(v_user_id, turn);
    if v_claim ->> 'outcome' <> 'new' then
      return v_claim;
    end if;
    turn := turn || jsonb_strip_nulls(v_claim - 'held');  -- a retried key goes on in the turn and conversation it began
  end if;

  v_conversation := private.open_conversation(v_user_id,
    case when v_is_dry then turn || '{"store": false}' else turn end);
  v_resolved := private.resolve_routes(v_user_id, left(turn ->> 'model', 300), v_conversation.default_model,
    coalesce((turn ->> 'strict_model')::boolean, false));
  v_plan := private.plan_turn(v_resolved -> 'routes', v_conversation.id, turn);

  if v_is_dry then
    v_limits := private.peek_limits(v_user_id);
  else
    if v_conversation.id is not null and coalesce((turn ->> 'store')::boolean, true) then
      insert into public.messages (conversation_id, user_id, role, content, parts, turn_id)
        values (v_conversation.id, v_user_id, 'user', turn ->> 'message', nullif(turn -> 'parts', 'null'),
                (v_claim ->> 'turn_id')::uuid)
        on conflict (turn_id, role) where turn_id is not null do update
          set content = excluded.content, parts = excluded.parts
        returning id into v_message_id;
    end if;
    v_limits := private.reserve_turn(v_user_id, (v_plan ->> 'reserve_usd')::numeric, v_claim -> 'held');
    update private.turns as r
      set conversation_id = v_conversation.id, routes = v_plan -> 'routes', route_reason = v_resolved ->> 'reason',
          reserved_usd = (v_plan ->> 'reserve_usd')::numeric, day = (now() at time zone 'utc')::date
      where r.id = (v_claim ->> 'turn_id')::uuid;
  end if;

  return v_plan || jsonb_build_object(
    'outcome', case when v_is_dry then 'dry_run' else 'new' end, 'turn_id', v_claim ->> 'turn_id',
    'conversation_id', v_conversation.id, 'message_id', v_message_id, 'reason', v_resolved ->> 'reason',
    'limits', v_limits);
end
$$;
comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, model?, agent?, '
  'requested_model? (redacted), max_tokens?, prompt_tokens?, idempotency_key?, body_hash?, request_id?, parts?, metadata?, store?, strict_model?, dry_run?, lease_seconds?. '
  'Returns outcome, turn_id, conversation_id, routes, reason, history, reserve_usd, limits; refuses with SQLSTATE PT4xx and a JSON detail.';

create function private.plan_turn(p_routes jsonb, p_conversation_id uuid, p_turn jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_context bigint := coalesce((p_routes #>> '{0,capabilities,context_window}')::bigint, 8192);
  v_prompt_tokens bigint := least(greatest(coalesce((p_turn ->> 'prompt_tokens')::integer, 0), 0), 1000000);
  v_new_tokens bigint := private.estimate_tokens(p_turn ->> 'message') + v_prompt_tokens;
  v_routes jsonb;
  v_history jsonb;
  v_input bigint;
  v_most bigint;
begin
  select jsonb_agg(e.route || jsonb_build_object('max_output_tokens',
      greatest(1, least(coalesce((p_turn ->> 'max_tokens')::bigint, 4096),
        (e.route #>> '{capabilities,max_output_tokens}')::bigint,
        (e.route #>> '{capabilities,context_window}')::bigint / 2))) order by e.place)
    into v_routes from jsonb_array_elements(p_routes) with ordinality as e (route, place);
  -- Half of the cautious estimate is still more than a tokenizer makes of the plainest prose.
  if v_new_tokens / 2 > v_context then
    perform private.refuse('PT422', 'context_exceeded', 'The message is longer than this model can read.',
      jsonb_build_object('context_window', v_context));
  end if;
  v_history := private.recent_history(p_conversation_id,
    v_context - (v_routes #>> '{0,max_output_tokens}')::bigint - v_new_tokens, (p_turn ->> 'turn_id')::uuid);
  select v_new_tokens + coalesce(sum(private.estimate_tokens(m ->> 'content')), 0),
      private.most_tokens(p_turn ->> 'message') + v_prompt_tokens + coalesce(sum(private.most_tokens(m ->> 'content')), 0)
    into v_input, v_most from jsonb_array_elements(v_history) as m;
  -- The reservation covers the dearest model of the chain at full output and as many input tokens as the text has bytes;
  -- an unknown price cannot be reserved.
  return (select jsonb_build_object('routes', v_routes, 'history', v_history, 'input_tokens_estimate', v_input,
      'reserve_usd', coalesce(max(private.turn_cost(r -> 'pricing', v_most, (r ->> 'max_output_tokens')::bigint)), 0),
      'least_usd', min(private.turn_cost(r -> 'pricing', v_input, 1)))
    from jsonb_array_elements(v_routes) as r);
end
$$;
comment on function private.plan_turn(jsonb, uuid, jsonb) is
  '{routes with max_output_tokens, history, input_tokens_estimate, reserve_usd, least_usd}.';

create function private.reserve_turn(p_user_id uuid, p_usd numeric, p_held jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_day date := (now() at time zone 'utc')::date;
  v_month date := date_trunc('month', now() at time zone 'utc')::date;
  v_held_day date := (p_held ->> 'day')::date;
  v_held_usd numeric := (p_held ->> 'reserved_usd')::numeric;
  v_caps public.usage_limits := private.caps_of(p_user_id, coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false));
  v_global public.usage_limits;
  v_user_day public.usage_counters;
  v_user_month public.usage_counters;
begin
  select * into v_global from public.usage_limits where scope = 'global';
  -- One lock order everywhere: the person's rows, then the global ones, which everybody waits for, last.
  if v_held_day is not null then
    perform private.settle_in(p_user_id::text, v_held_day, v_held_usd, 0, 0, 0, -1);
  end if;
  v_user_day := private.reserve_in(p_user_id::text, 'day', v_day, p_usd, v_caps.daily_requests, v_caps.daily_cost_usd);
  v_user_month := private.reserve_in(p_user_id::text, 'month', v_month, p_usd, null, v_caps.monthly_cost_usd);
  if v_held_day is not null then
    perform private.settle_in('global', v_held_day, v_held_usd, 0, 0, 0, -1);
  end if;
  perform private.reserve_in('global', 'day', v_day, p_usd, v_global.daily_requests, v_global.daily_cost_usd);
  perform private.reserve_in('global', 'month', v_month, p_usd, null, v_global.monthly_cost_usd);
  return private.limits_left(v_caps, v_user_day, v_user_month);
end
$$;
comment on function private.reserve_turn(uuid, numeric, jsonb) is
  'Holds p_usd and counts one turn for the person and for all; gives back what a dead attempt held; returns what is left.';

create function private.peek_limits(p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select private.limits_left(
    private.caps_of(p_user_id, coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false)),
    private.counter_now(p_user_id::text, 'day'), private.counter_now(p_user_id::text, 'month'))
$$;
comment on function private.peek_limits(uuid) is 'What a person has left, without reserving anything.';

revoke execute on function private.claim_turn(uuid, jsonb), private.replayed_turn(private.turns),
  private.open_conversation(uuid, jsonb), private.recent_history(uuid, bigint, uuid), private.plan_turn(jsonb, uuid, jsonb),
  private.reserve_turn(uuid, numeric, jsonb), private.peek_limits(uuid), public.chat_begin(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.chat_begin(jsonb) to authenticated;
