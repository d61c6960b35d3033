-- Purpose: a conversation has one turn of a model at a time and a title from its first; people's own messages never wait.
-- Affects: index on private.turns; functions private.title_of(), take_conversation(), touch_conversation(), public.chat_begin(); trigger on messages
-- Access: chat_begin is a signed-in person's, definer as before; the trigger is definer because last_activity is granted to nobody.

create index turns_conversation_id_idx on private.turns (conversation_id) where state = 'started';

create function private.title_of(p_message text) returns text
  language sql immutable security invoker set search_path = ''
as $$
  select nullif(case when char_length(t.line) <= 80 then t.line
    else left(regexp_replace(left(t.line, 81), '\s+\S*$', ''), 80) end, '')
  from (select btrim(regexp_replace(substring(left(p_message, 4000) from '[^\s\u0001-\u001f][^\r\n\u0085\u2028\u2029]*'),
    '[\s\u0001-\u001f\u007f-\u009f]+', ' ', 'g')) as line) as t
$$;
comment on function private.title_of(text) is
  'The first line that says anything, of at most 80 characters, cut between words where there are any; null without one.';

create function private.take_conversation(p_user_id uuid, p_conversation_id uuid, p_turn_id uuid, p_message text)
  returns public.llm_conversations
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_row public.llm_conversations;
  v_other private.turns;
begin
  -- Of several at once the row lets one through at a time, and the next statement sees who came before. The lock is the
  -- weak one of an update that touches no key: messages that people insert do not wait for it.
  -- A title is taken from its owner's words only, so that no word of a member stays where only the owner can delete.
  update public.llm_conversations as c
    set last_activity = now(),
        title = coalesce(c.title, case when c.user_id = p_user_id then private.title_of(p_message) end)
    where c.id = p_conversation_id returning c.* into v_row;
  if not found then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  end if;
  select r.* into v_other from private.turns as r
    where r.conversation_id = p_conversation_id and r.state = 'started' and r.is_stored and r.lease_until > now()
      and r.id <> p_turn_id and not r.is_forgotten
      -- Whoever is not in the conversation any more holds nobody up.
      and exists (select 1 from public.conversation_members as m
                  where m.conversation_id = p_conversation_id and m.user_id = r.user_id)
    order by r.lease_until desc limit 1;
  if found then
    perform private.refuse('PT409', 'turn_in_progress', 'Another turn of this conversation is still being answered.',
      jsonb_build_object('conversation_id', p_conversation_id, 'started_at', v_other.started_at,
        'retry_after', least(ceil(extract(epoch from v_other.lease_until - now())), 5)));
  end if;
  return v_row;
end
$$;
comment on function private.take_conversation(uuid, uuid, uuid, text) is
  'The conversation for a turn that will be stored in it, or turn_in_progress (409) while another one''s lease runs. A turn that is '
  'not stored neither takes it nor waits: it leaves nothing there that could come between a question and its answer.';

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
  'request_id?, parts?, metadata?, store?, strict_model?, dry_run?, lease_seconds?. '
  'Returns outcome, turn_id, conversation_id, routes, reason, history ({role, content, name?}), history_left_out, speaker, participants, '
  'profile, reserve_usd, limits; refuses with SQLSTATE PT4xx and a JSON detail.';

create function private.touch_conversation() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  -- Whoever holds the row right now begins or ends a turn, and writes the same.
  update public.llm_conversations as c set last_activity = now()
    where c.id = (select t.id from public.llm_conversations as t where t.id = new.conversation_id for no key update skip locked);
  return null;
end
$$;
comment on function private.touch_conversation() is
  'Trigger: what people say to each other is activity, too. It waits for nobody; definer, because last_activity is granted to nobody.';

create trigger messages_touch_conversation after insert on public.messages
  for each row when (new.role = 'user' and new.turn_id is null) execute function private.touch_conversation();

revoke execute on function private.title_of(text), private.take_conversation(uuid, uuid, uuid, text), private.touch_conversation()
  from public, anon, authenticated, service_role;
