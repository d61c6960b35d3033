-- Purpose: chat_begin decides which turn a question takes the place of, by the ids of its frontend before its words.
-- Affects: functions private.claim_turn(), forget_turns(), public.chat_begin(); column private.turns.regenerates (dropped)
-- Access: as before; chat_begin is a signed-in person's, definer because counters and write-ahead rows are granted to nobody.

create or replace function private.claim_turn(p_user_id uuid, p_turn jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_longest integer := least(greatest(private.setting('lease_seconds', 360), 60), 900);
  v_lease interval := make_interval(secs => least(greatest(coalesce((p_turn ->> 'lease_seconds')::integer, v_longest), 60), v_longest));
  v_keeps_words boolean := coalesce((p_turn ->> 'store')::boolean, true) or coalesce((p_turn ->> 'log_words')::boolean, false);
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
     is_stored, requested_model, agent_type, metadata)
  values
    ((p_turn ->> 'turn_id')::uuid, p_user_id, left(p_turn ->> 'request_id', 64), v_endpoint,
     p_turn ->> 'idempotency_key', p_turn ->> 'body_hash', (p_turn ->> 'worker_id')::uuid, now() + v_lease,
     left(p_turn ->> 'question', 200000), v_keeps_words, left(p_turn ->> 'requested_model', 300),
     v_agent, v_metadata)
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
        metadata = v_metadata
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held', v_held);
end
$$;

create or replace function private.forget_turns(p_ids uuid[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update private.turns as r
    set question = null, metadata = '{}', requested_model = null, request_id = null, idempotency_key = null,
        body_hash = null, is_forgotten = true,
        -- While a turn runs its calls are priced by their routes' names.
        routes = (select coalesce(jsonb_agg((e.route - 'base_url') || case
              when r.state = 'started' or u.identifier is not distinct from e.route ->> 'identifier' then '{}'
              else jsonb_build_object('identifier', u.identifier, 'upstream_id', null) end order by e.place), '[]')
          from jsonb_array_elements(r.routes) with ordinality as e (route, place)
          cross join lateral (select private.unnamed_model(e.route ->> 'identifier', r.user_id) as identifier) as u)
    where r.id = any (p_ids)
$$;

alter table private.turns drop column regenerates;

create or replace function public.chat_begin(turn jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
as $$
declare
  v_user_id uuid := (select auth.uid());
  v_is_dry boolean := coalesce((turn ->> 'dry_run')::boolean, false);
  v_is_stored boolean := coalesce((turn ->> 'store')::boolean, true) and not v_is_dry;
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
  -- Locked as the messages' foreign key would lock it later: a deletion of this person then waits here, before either side
  -- holds the conversation.
  perform 1 from auth.users as u where u.id = v_user_id for key share;
  if not found then
    perform private.refuse('PT401', 'invalid_token', 'This person does not exist.');
  end if;
  if jsonb_typeof(turn) is distinct from 'object' or jsonb_typeof(turn -> 'message') is distinct from 'string' then
    perform private.refuse('PT422', 'validation_failed', 'A turn is an object with a message.');
  end if;
  if not v_is_dry then
    -- Whoever deletes their words waits for this turn, or it for them: its row is not overlooked.
    perform pg_advisory_xact_lock_shared(hashtextextended('private.forget:' || v_user_id, 0));
    v_claim := private.claim_turn(v_user_id, turn);
    if v_claim ->> 'outcome' <> 'new' then
      return v_claim;
    end if;
    turn := turn || jsonb_strip_nulls(v_claim - 'held');  -- a retried key goes on in the turn and conversation it began
  end if;

  v_conversation := private.open_conversation(v_user_id,
    case when v_is_dry then turn || '{"store": false}' else turn end);
  if v_is_stored then
    v_conversation := private.take_conversation(v_user_id, v_conversation.id, (v_claim ->> 'turn_id')::uuid, turn ->> 'message');
  end if;
  if not v_is_dry then
    -- Known before the history is read, which leaves out what this turn stands in for; of a turn that is not stored, too.
    v_replaces := private.first_replaced(v_user_id, v_conversation.id, turn);
    update private.turns as r set replaces = v_replaces
      where r.id = (v_claim ->> 'turn_id')::uuid and r.replaces is distinct from v_replaces;
    -- Another try comes after all that was asked since the last, and stands in for that, too.
    update public.messages as m set created_at = clock_timestamp()
      where v_replaces is not null and m.turn_id = (v_claim ->> 'turn_id')::uuid and m.role = 'user';
  end if;
  select * into v_profile from public.user_llm_profiles as p where p.user_id = v_user_id;
  v_agent := coalesce(nullif(turn ->> 'asked_agent', 'auto'),
    case when turn ->> 'asked_agent' is null then nullif(v_profile.preferred_agent, 'auto') end, turn ->> 'agent');
  v_resolved := private.resolve_routes(v_user_id, left(turn ->> 'model', 300), v_conversation.default_model,
    v_profile.preferred_model, turn -> 'agent_models' -> v_agent, coalesce((turn ->> 'strict_model')::boolean, false),
    private.how_of(turn, v_conversation.id));
  v_plan := private.plan_turn(v_resolved -> 'routes', v_conversation.id, v_user_id, turn);

  if v_is_dry then
    v_limits := private.peek_limits(v_user_id);
  else
    if v_is_stored then
      insert into public.messages (conversation_id, user_id, role, content, client_id, is_tentative, turn_id)
        values (v_conversation.id, v_user_id, 'user', turn ->> 'message', left(turn ->> 'question_id', 200),
                v_replaces is not null, (v_claim ->> 'turn_id')::uuid)
        on conflict (turn_id, role) where turn_id is not null do update
          set content = excluded.content, client_id = excluded.client_id, is_tentative = excluded.is_tentative
        returning id into v_message_id;
    end if;
    v_limits := private.reserve_turn(v_user_id, (v_plan ->> 'reserve_usd')::numeric, v_claim -> 'held');
    update private.turns as r
      set conversation_id = v_conversation.id, routes = v_plan -> 'routes', route_reason = v_resolved ->> 'reason',
          reserved_usd = (v_plan ->> 'reserve_usd')::numeric, day = (now() at time zone 'utc')::date,
          history_left_out = (v_plan ->> 'history_left_out')::integer
      where r.id = (v_claim ->> 'turn_id')::uuid;
  end if;

  return v_plan || jsonb_build_object(
    'outcome', case when v_is_dry then 'dry_run' else 'new' end, 'turn_id', v_claim ->> 'turn_id',
    'conversation_id', v_conversation.id, 'message_id', v_message_id, 'reason', v_resolved ->> 'reason',
    'profile', case when v_profile.user_id is not null then jsonb_build_object('skill_level', v_profile.skill_level,
      'communication_style', v_profile.communication_style, 'preferred_agent', v_profile.preferred_agent) end,
    'limits', v_limits);
end
$$;
comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, model?, agent? (the likely one), asked_agent?, '
  'agent_models? (object of agent to array, first choice first), needs? (abilities), providers? (those that can be reached), requested_model? (redacted), max_tokens?, prompt_tokens?, tool_tokens? (both in bytes), idempotency_key?, body_hash?, '
  'request_id?, question_id? (the frontend''s own id of the question), regenerate? (answers a question anew), message_id? (of the answer '
  'or question meant; without regenerate the question that this one edits), metadata?, store?, log_words?, strict_model?, dry_run?, lease_seconds?. '
  'Returns outcome, turn_id, conversation_id, routes, reason, history ({role, content, name?}), history_left_out, speaker, participants, '
  'profile, reserve_usd, limits; refuses with SQLSTATE PT4xx and a JSON detail.';
