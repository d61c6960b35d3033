-- Purpose: a question can be answered anew, and a turn without a conversation can keep its words in the log.
-- Affects: column private.turns.regenerates; functions private.claim_turn(), recent_history() (replaced), replaced_turns(), replace_answers(); trigger on messages
-- Access: called by chat_begin and chat_finish only.

alter table private.turns add column regenerates bytea;
comment on column private.turns.regenerates is 'SHA-256 of the stored question that the turn answers anew; null for an ordinary turn.';
comment on column private.turns.is_stored is
  'Whether words are kept: in the log, redacted, and in the conversation where the turn has one.';

create or replace function private.claim_turn(p_user_id uuid, p_turn jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_lease interval := make_interval(secs => least(greatest(coalesce((p_turn ->> 'lease_seconds')::integer, 360), 60), 900));
  v_keeps_words boolean := coalesce((p_turn ->> 'store')::boolean, true) or coalesce((p_turn ->> 'log_words')::boolean, false);
  v_regenerates bytea := case when (p_turn ->> 'regenerate')::boolean then sha256(convert_to(p_turn ->> 'message', 'UTF8')) end;
  v_row private.turns;
begin
  -- The unique index makes callers with the same key wait for each other.
  insert into private.turns
    (id, user_id, request_id, endpoint, idempotency_key, body_hash, worker_id, lease_until, question,
     is_stored, requested_model, agent_type, metadata, regenerates)
  values
    ((p_turn ->> 'turn_id')::uuid, p_user_id, left(p_turn ->> 'request_id', 64), left(p_turn ->> 'endpoint', 64),
     p_turn ->> 'idempotency_key', p_turn ->> 'body_hash', (p_turn ->> 'worker_id')::uuid, now() + v_lease,
     left(p_turn ->> 'question', 200000), v_keeps_words, left(p_turn ->> 'requested_model', 300),
     left(p_turn ->> 'agent', 40), coalesce(p_turn -> 'metadata', '{}'), v_regenerates)
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
        question = left(p_turn ->> 'question', 200000), is_stored = v_keeps_words,
        requested_model = left(p_turn ->> 'requested_model', 300), agent_type = left(p_turn ->> 'agent', 40),
        metadata = coalesce(p_turn -> 'metadata', '{}'), regenerates = v_regenerates
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'new', 'turn_id', v_row.id, 'conversation_id', v_row.conversation_id, 'held', case when v_row.state = 'started'
    then jsonb_build_object('day', v_row.day, 'reserved_usd', v_row.reserved_usd) end);
end
$$;

create function private.replaced_turns(p_conversation_id uuid, p_turn_id uuid) returns setof uuid
  language sql stable security invoker set search_path = ''
as $$
  with anew as (
    select r.user_id, r.regenerates,
      coalesce((select m.created_at from public.messages as m where m.turn_id = r.id and m.role = 'user'), 'infinity') as asked_at
    from private.turns as r where r.id = p_turn_id and r.regenerates is not null
  ), asked as (
    select m.turn_id, m.created_at, sha256(convert_to(m.content, 'UTF8')) = a.regenerates as is_same
    from anew as a join public.messages as m
      on m.conversation_id = p_conversation_id and m.role = 'user' and m.user_id = a.user_id and m.created_at < a.asked_at
    where m.turn_id is not null and m.turn_id <> p_turn_id
    order by m.created_at desc limit 1000
  ), latest as (
    select max(k.created_at) as at from asked as k where k.is_same
  )
  -- Earlier failed tries of the same question go with it.
  select k.turn_id from asked as k, latest as l
  where k.created_at > coalesce((select max(o.created_at) from asked as o where not o.is_same and o.created_at < l.at), '-infinity')
    and l.at is not null
$$;
comment on function private.replaced_turns(uuid, uuid) is
  'The turns that a regenerating turn stands in for: the asker''s latest with that question, and what the same person asked after it; '
  'none for an ordinary turn. Other people''s turns stay.';

create or replace function private.recent_history(
  p_conversation_id uuid, p_user_id uuid, p_speakers jsonb, p_max_tokens bigint, p_turn_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with newest as (
    select m.id, m.role, m.content, m.created_at, coalesce(m.turn_id, m.id) as turn_id, m.turn_id is null as is_alone,
      case when m.role = 'user' and (p_speakers is not null or m.user_id is distinct from p_user_id)
        then coalesce(p_speakers ->> m.user_id::text, 'Former member') end as name
    from public.messages as m
    where m.conversation_id = p_conversation_id and coalesce(m.turn_id <> p_turn_id, true)  -- either may be null
      and (m.turn_id is null or m.turn_id not in (select private.replaced_turns(p_conversation_id, p_turn_id)))
      and m.content ~ '\S'  -- a message without a word is none to a model
    order by m.created_at desc, m.id desc limit 1000
  ), turns as (
    select n.turn_id, max(n.created_at) as ended_at,
      sum((octet_length(n.content) + coalesce(octet_length(n.name) + 2, 0) + 2) / 3 + 4) as tokens  -- as estimate_tokens()
    from newest as n group by n.turn_id
    -- An answer whose question is beyond the limit, or was forgotten, is half a turn.
    having bool_or(n.role = 'user' or n.is_alone)
  ), fitting as (
    select t.turn_id, sum(t.tokens) over (order by t.ended_at desc, t.turn_id desc) as tokens_so_far from turns as t
  ), shown as (
    select n.* from newest as n join fitting as f on f.turn_id = n.turn_id where f.tokens_so_far <= p_max_tokens
  )
  select jsonb_build_object(
    'messages', (select coalesce(jsonb_agg(jsonb_build_object('role', s.role, 'content', s.content)
        || case when s.name is null then '{}' else jsonb_build_object('name', s.name) end order by s.created_at, s.id), '[]')
      from shown as s),
    'left_out', case when (select count(*) from newest) < 1000 then (select count(*) from newest)
      else (select count(*) from public.messages as m where m.conversation_id = p_conversation_id)
        - (select count(*) from public.messages as m where m.turn_id = p_turn_id) end
      - (select count(*) from shown))
$$;

create function private.replace_answers() returns trigger
  language plpgsql volatile security invoker set search_path = ''
as $$
begin
  -- Only now: while there is no new answer the old one stands.
  delete from public.messages as m
    where m.conversation_id = new.conversation_id
      and m.turn_id in (select private.replaced_turns(new.conversation_id, new.turn_id));
  return null;
end
$$;
comment on function private.replace_answers() is 'Trigger: the answer of a regenerating turn takes the place of the turns it replaces.';

create trigger messages_replace_answers after insert on public.messages
  for each row when (new.role = 'assistant' and new.turn_id is not null) execute function private.replace_answers();

comment on function public.chat_begin(jsonb) is
  'Admits a turn. turn: turn_id, worker_id, endpoint, message, question (redacted), conversation_id?, client_id?, model?, agent? (the likely one), asked_agent?, '
  'agent_models? (object of agent to array, first choice first), requested_model? (redacted), max_tokens?, prompt_tokens?, tool_tokens? (both in bytes), idempotency_key?, body_hash?, '
  'request_id?, parts?, metadata?, store?, log_words?, regenerate?, strict_model?, dry_run?, lease_seconds?. '
  'Returns outcome, turn_id, conversation_id, routes, reason, history ({role, content, name?}), history_left_out, speaker, participants, '
  'profile, reserve_usd, limits; refuses with SQLSTATE PT4xx and a JSON detail.';

revoke execute on function private.replaced_turns(uuid, uuid), private.replace_answers()
  from public, anon, authenticated, service_role;
