-- Purpose: a new conversation knows the channel and thread that it began in.
-- Affects: comments on public.llm_conversations; function private.open_conversation()
-- Access: unchanged; the ledger functions only.

comment on column public.llm_conversations.channel_id is
  'The channel of another interface that the conversation began in, as its first turn named it; null when it named none.';
comment on column public.llm_conversations.thread_ts is
  'The thread of that channel, as the first turn named it; null when it named none.';

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
  insert into public.llm_conversations (user_id, client_id, channel_id, thread_ts)
    values (p_user_id, v_client_id, left(p_turn ->> 'channel_id', 200), left(p_turn ->> 'thread_ts', 200))
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
  'The conversation the turn belongs to, by its id or the frontend''s own id, else a new one with the turn''s channel_id and thread_ts; an '
  'existing one keeps its own. Null when nothing is to be stored.';
