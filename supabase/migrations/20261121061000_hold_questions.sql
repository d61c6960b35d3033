-- Purpose: a question that is asked anew or edited is nobody's to see until it has an answer, and then takes the place of exactly one turn.
-- Affects: columns client_id and is_tentative of public.messages, private.turns.replaces; policy on messages; functions private.first_replaced(), replaced_turns(), recent_history(), remember_answer() (replaced), replace_answers() (dropped with its trigger)
-- Access: as before; members read the new columns and write neither.

-- First, as turns take it first: run in one transaction, this waits for no turn that waits for it.
alter table private.turns add column replaces uuid;
comment on column private.turns.replaces is
  'The earliest turn that this one shall take the place of, once it has an answer; null for an ordinary turn.';
alter table public.messages add column client_id text
  constraint messages_client_id_check check (char_length(client_id) <= 200);
alter table public.messages add column is_tentative boolean not null default false;
comment on column public.messages.client_id is 'The frontend''s own id of a question, by which it edits it or has it answered anew; null when it had none.';
comment on column public.messages.is_tentative is
  'A question that shall take the place of an earlier turn, while it has no answer: shown to nobody, not even to a model.';

-- Turns that are running now go on as they began.
update private.turns as r set replaces = (
    select m.turn_id from public.messages as m
    where m.conversation_id = r.conversation_id and m.role = 'user' and m.user_id = r.user_id and m.turn_id <> r.id
      and sha256(convert_to(m.content, 'UTF8')) = r.regenerates
      and m.created_at < coalesce((select o.created_at from public.messages as o where o.turn_id = r.id and o.role = 'user'), 'infinity')
    order by m.created_at desc limit 1)
  where r.state = 'started' and r.regenerates is not null;
update public.messages as m set is_tentative = true
  from private.turns as r where r.id = m.turn_id and r.replaces is not null and m.role = 'user';

drop policy messages_select_member on public.messages;
create policy messages_select_member on public.messages for select to authenticated
  using (not is_tentative and (conversation_id in (select private.my_conversations()) or (select private.is_admin())));
comment on policy messages_select_member on public.messages is 'Members, and admins, see what was said; a question asked anew only once it has an answer.';

create function private.first_replaced(p_user_id uuid, p_conversation_id uuid, p_turn jsonb) returns uuid
  language sql stable security invoker set search_path = ''
as $$
  with told as (
    select coalesce((p_turn ->> 'regenerate')::boolean, false) as is_anew, left(p_turn ->> 'message_id', 200) as message_id,
      left(p_turn ->> 'question_id', 200) as question_id, p_turn ->> 'message' as words
  ), meant as (
    -- Ids of ours are anybody's to name, a frontend's own only its person's.
    select m.turn_id, m.created_at, m.user_id = p_user_id as is_own, m.content = t.words as is_same,
      case
        when t.message_id in (m.id::text, case when m.user_id = p_user_id then m.client_id end) then 1
        when t.is_anew and t.message_id = m.turn_id::text then 1  -- an answer has its turn's id
        when t.is_anew and t.question_id in (m.id::text, case when m.user_id = p_user_id then m.client_id end) then 2
        when t.is_anew and m.user_id = p_user_id and m.content = t.words then 3
      end as place
    from told as t join public.messages as m on m.conversation_id = p_conversation_id
    where (t.is_anew or t.message_id is not null)
      and m.role = 'user' and m.turn_id is not null and m.turn_id <> (p_turn ->> 'turn_id')::uuid and not m.is_tentative
  )
  select case when f.is_own then f.turn_id end
  from (select * from meant where place is not null order by place, is_same desc, created_at desc limit 1) as f
$$;
comment on function private.first_replaced(uuid, uuid, jsonb) is
  'The turn that chat_begin''s turn stands in for: with regenerate the one of the answer or question message_id, else of the question '
  'question_id, else the asker''s latest with the same words; without it that of the question message_id, which is edited. '
  'Null when there is none, or it is somebody else''s.';

create or replace function private.replaced_turns(p_conversation_id uuid, p_turn_id uuid) returns setof uuid
  language sql stable security invoker set search_path = ''
as $$
  select m.turn_id
  from private.turns as r
  join public.messages as f on f.turn_id = r.replaces and f.role = 'user' and f.conversation_id = p_conversation_id
  left join public.messages as own on own.turn_id = r.id and own.role = 'user'
  join public.messages as m
    on m.conversation_id = p_conversation_id and m.role = 'user' and m.user_id = r.user_id
      and m.created_at >= f.created_at and m.created_at < coalesce(own.created_at, 'infinity')
  where r.id = p_turn_id and m.turn_id is not null and m.turn_id <> p_turn_id
$$;
comment on function private.replaced_turns(uuid, uuid) is
  'The turns that a turn stands in for: the one it replaces and what the same person asked after it, failed tries to replace it '
  'included; none for an ordinary turn. Other people''s turns stay.';

create or replace function private.recent_history(
  p_conversation_id uuid, p_user_id uuid, p_speakers jsonb, p_max_tokens bigint, p_turn_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with newest as (
    select m.id, m.role, m.content, m.created_at, coalesce(m.turn_id, m.id) as turn_id, m.turn_id is null as is_alone,
      case when m.role = 'user' and (p_speakers is not null or m.user_id is distinct from p_user_id)
        then coalesce(p_speakers ->> m.user_id::text, 'Former member') end as name
    from public.messages as m
    where m.conversation_id = p_conversation_id and not m.is_tentative
      and coalesce(m.turn_id <> p_turn_id, true)  -- either may be null
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
      else (select count(*) from public.messages as m where m.conversation_id = p_conversation_id and not m.is_tentative
        and coalesce(m.turn_id <> p_turn_id, true)
        and (m.turn_id is null or m.turn_id not in (select private.replaced_turns(p_conversation_id, p_turn_id)))) end
      - (select count(*) from shown))
$$;

create or replace function private.remember_answer(p_row private.turns, p_entry jsonb, p_cost numeric) returns uuid
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_message_id uuid;
begin
  if p_row.conversation_id is null then
    return null;
  end if;
  -- Steps without a word are an answer only when that is all there was to come: else the key is open for another try. An answer
  -- that comes so late that its question was replaced is none any more.
  if p_row.is_stored and (coalesce(p_entry ->> 'content', '') <> ''
      or (p_entry ->> 'status' = 'completed' and p_entry -> 'parts' <> 'null'))
    and exists (select 1 from public.messages as q where q.turn_id = p_row.id and q.role = 'user') then
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', coalesce(p_entry ->> 'content', ''), nullif(p_entry -> 'parts', 'null'),
              p_entry ->> 'identifier', p_entry ->> 'agent_type', p_row.id,
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
          + coalesce((p_entry #>> '{usage,input_tokens}')::bigint, 0) + coalesce((p_entry #>> '{usage,output_tokens}')::bigint, 0),
        primary_agent = coalesce(left(p_entry ->> 'agent_type', 40), c.primary_agent),
        agent_handoffs = c.agent_handoffs + greatest(coalesce((p_entry ->> 'agent_handoffs')::integer, 0), 0)
    where c.id = p_row.conversation_id;
  return v_message_id;
end
$$;

drop trigger messages_replace_answers on public.messages;
drop function private.replace_answers();

revoke execute on function private.first_replaced(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
