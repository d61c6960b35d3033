-- Purpose: an answer says in words which model gave it, also for people who cannot see the node that it lives on.
-- Affects: column public.messages.model_label; functions private.model_label(), unlabel_answers(), remember_answer(), forget_turns(),
--   public.ui_messages(); trigger on public.client_nodes
-- Access: members read the label with the message; only chat_finish writes it. unlabel_answers is definer, because
--   messages cannot be changed.

alter table public.messages add column model_label text
  constraint messages_model_label_check check (char_length(model_label) <= 500);
comment on column public.messages.model_label is
  'The model that answered, as people know it: the catalogue''s name of it, for a client node "<node> (<model>)". Null for people''s '
  'messages, for answers before this column, and when the node is gone.';
-- By node, and only the rows that unlabel_answers() has to find.
create index messages_model_used_idx on public.messages (split_part(model_used, ':', 2))
  where model_used like 'client:%' and model_label is not null;

create function private.model_label(p_routes jsonb, p_identifier text) returns text
  language sql stable security invoker set search_path = ''
as $$
  select left(e.route ->> 'label', 500) from jsonb_array_elements(p_routes) as e (route)
  where e.route ->> 'identifier' = p_identifier
    and (e.route ->> 'node_id' is null or exists (select 1 from public.client_nodes as n where n.id = (e.route ->> 'node_id')::bigint))
  limit 1
$$;
comment on function private.model_label(jsonb, text) is 'The label of a turn''s route; null when its node is gone.';

create function private.unlabel_answers() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  -- An answer that a finish holds is one that it replaces: waiting for it could be a deadlock.
  update public.messages as m set model_label = null
    where m.id in (select n.id from public.messages as n
      where n.model_used like 'client:%' and n.model_label is not null
        and split_part(n.model_used, ':', 2) = old.id::text
      for update skip locked);
  return old;
end
$$;
comment on function private.unlabel_answers() is
  'Trigger: a node''s name is its owner''s word and goes with the node, also where it labels answers to others. Definer, because '
  'messages cannot be changed by anyone.';
create trigger client_nodes_unlabel_answers after delete on public.client_nodes
  for each row execute function private.unlabel_answers();

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
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, model_label, agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', coalesce(p_entry ->> 'content', ''), nullif(p_entry -> 'parts', 'null'),
              p_entry ->> 'identifier', private.model_label(p_row.routes, p_entry ->> 'identifier'), p_entry ->> 'agent_type', p_row.id,
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

create or replace function private.forget_turns(p_ids uuid[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update private.turns as r
    set question = null, metadata = '{}', requested_model = null, request_id = null, idempotency_key = null,
        body_hash = null, is_forgotten = true,
        -- While a turn runs its calls are priced by their routes' names.
        routes = (select coalesce(jsonb_agg((e.route - '{base_url,label}'::text[]) || case
              when r.state = 'started' or u.identifier is not distinct from e.route ->> 'identifier' then '{}'
              else jsonb_build_object('identifier', u.identifier, 'upstream_id', null) end order by e.place), '[]')
          from jsonb_array_elements(r.routes) with ordinality as e (route, place)
          cross join lateral (select private.unnamed_model(e.route ->> 'identifier', r.user_id) as identifier) as u)
    where r.id = any (p_ids)
$$;

create or replace function public.ui_messages(chat_id text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with found as (
    select c.id from public.llm_conversations as c
    where c.id = case when chat_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then chat_id::uuid end
      or (c.client_id = chat_id and c.user_id = (select auth.uid()))
    order by c.client_id is not distinct from chat_id limit 1  -- the id of a conversation goes before anybody's own name for one
  ), newest as (
    select m.* from public.messages as m where m.conversation_id = (select f.id from found as f)
    order by m.created_at desc, m.id desc limit 1000
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', n.id, 'role', n.role,
      'parts', coalesce(case when n.role = 'assistant' then n.parts end,
        jsonb_build_array(jsonb_build_object('type', 'text', 'text', n.content))),
      'metadata', jsonb_strip_nulls(jsonb_build_object('turn_id', n.turn_id, 'conversation_id', n.conversation_id,
        'user_id', n.user_id, 'model', n.model_used, 'model_label', n.model_label,
        'agent', n.agent_type, 'status', n.status, 'created_at', n.created_at,
        'cost_usd', case when n.role = 'assistant'
          then (select l.cost_usd from public.chat_logs as l where l.turn_id = n.turn_id) end)))
    order by n.created_at, n.id), '[]')
  from newest as n
$$;

revoke execute on function private.model_label(jsonb, text), private.unlabel_answers() from public, anon, authenticated, service_role;
