-- Purpose: chat_begin names the model that a turn asked for and did not get, for the function's log line.
-- Affects: function public.chat_begin() (replaced)
-- Access: as before: a signed-in person's; definer because counters and write-ahead rows are granted to no one.

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
    'unresolved_model', private.unresolved_name(v_resolved ->> 'reason', turn ->> 'requested_model',
      v_conversation.default_model, v_profile.preferred_model),
    'profile', case when v_profile.user_id is not null then jsonb_build_object('skill_level', v_profile.skill_level,
      'communication_style', v_profile.communication_style, 'preferred_agent', v_profile.preferred_agent) end,
    'limits', v_limits);
end
$$;
comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, model?, agent? (the likely one), asked_agent?, '
  'agent_models? (object of agent to array, first choice first), needs? (abilities), providers? (those with a key here), defaults? ([{provider, model, is_chosen}] in the deployment''s order), requested_model? (redacted), max_tokens?, prompt_tokens?, tool_tokens? (both in bytes), idempotency_key?, body_hash?, '
  'request_id?, question_id? (the frontend''s own id of the question), regenerate? (answers a question anew), message_id? (of the answer '
  'or question meant; without regenerate the question that this one edits), metadata?, store?, log_words?, strict_model?, dry_run?, lease_seconds?. '
  'Returns outcome, turn_id, conversation_id, routes, reason, unresolved_model, history ({role, content, name?}), history_left_out, speaker, participants, '
  'profile, reserve_usd, limits; refuses with SQLSTATE PT4xx and a JSON detail.';
