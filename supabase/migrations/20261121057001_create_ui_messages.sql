-- Purpose: a conversation as the AI SDK keeps it, for a frontend that comes back to it.
-- Affects: function public.ui_messages()
-- Access: signed-in people; security invoker, so that row-level security says what they see.

create function public.ui_messages(chat_id text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with found as (
    select c.id from public.llm_conversations as c
    where c.id = case when chat_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then chat_id::uuid end
      or (c.client_id = chat_id and c.user_id = (select auth.uid()))
    order by c.client_id is not distinct from chat_id limit 1  -- the id of a conversation goes before anybody's own name for one
  ), newest as (
    select m.* from public.messages as m where m.conversation_id = (select f.id from found as f)
    order by m.created_at desc, m.id desc limit 1000
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', n.id, 'role', n.role,
      'parts', coalesce(n.parts, jsonb_build_array(jsonb_build_object('type', 'text', 'text', n.content))),
      'metadata', jsonb_strip_nulls(jsonb_build_object('turn_id', n.turn_id, 'conversation_id', n.conversation_id,
        'user_id', n.user_id, 'model', n.model_used, 'agent', n.agent_type, 'status', n.status, 'created_at', n.created_at,
        'cost_usd', case when n.role = 'assistant'
          then (select l.cost_usd from public.chat_logs as l where l.turn_id = n.turn_id) end)))
    order by n.created_at, n.id), '[]')
  from newest as n
$$;
comment on function public.ui_messages(text) is
  'The newest 1000 messages of a conversation as the AI SDK''s UIMessages {id, role, parts, metadata}, oldest first; an empty array when '
  'there is none for the caller. chat_id is the conversation''s id or the frontend''s own (`id` of useChat). Costs are shown to whoever paid.';

revoke execute on function public.ui_messages(text) from public, anon, authenticated, service_role;
grant execute on function public.ui_messages(text) to authenticated;
