-- Purpose: what people are shown of a question is what the model heard, and an id may be written in either case.
-- Affects: grant on public.messages.parts; functions public.ui_messages(), private.open_conversation()
-- Access: people insert conversation_id, user_id, role and content of messages; ui_messages as before.

-- Parts end on the screens of others, as links and files, and no model reads them: only answers have some.
revoke insert (parts) on public.messages from authenticated;
comment on column public.messages.parts is 'An answer''s AI SDK message parts; null when content is all there is, as of every question.';

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
        'user_id', n.user_id, 'model', n.model_used, 'agent', n.agent_type, 'status', n.status, 'created_at', n.created_at,
        'cost_usd', case when n.role = 'assistant'
          then (select l.cost_usd from public.chat_logs as l where l.turn_id = n.turn_id) end)))
    order by n.created_at, n.id), '[]')
  from newest as n
$$;

create or replace function private.open_conversation(p_user_id uuid, p_turn jsonb) returns public.llm_conversations
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_client_id text := left(p_turn ->> 'client_id', 200);
  v_named text := coalesce(p_turn ->> 'conversation_id', v_client_id);
  v_row public.llm_conversations;
begin
  select c.* into v_row from public.llm_conversations as c
    join public.conversation_members as m on m.conversation_id = c.id and m.user_id = p_user_id
    where c.id = case when v_named ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then v_named::uuid end;
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
