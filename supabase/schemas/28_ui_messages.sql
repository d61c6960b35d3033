-- Purpose: the messages of a conversation as a client shows them.
-- Affects: public.ui_messages()
-- Access: members; the row-level security of messages and message_versions holds.

create function private.tentative_turn(p_conversation_id uuid, out question public.messages, out hidden uuid[])
  returns setof record
  language sql stable security definer set search_path = '' as $$
  select q, array(select private.replaced_turns(p_conversation_id, r.id))
  from private.turns as r
  join public.messages as q on q.turn_id = r.id and q.role = 'user' and q.is_tentative
  where r.conversation_id = p_conversation_id and r.state = 'started' and r.is_resumable and r.replaces is not null
    and r.lease_until > now() and not r.is_forgotten
    and exists (select from public.conversation_members as m
      where m.conversation_id = p_conversation_id and m.user_id = (select auth.uid()))
  limit 1
$$;
comment on function private.tentative_turn(uuid) is
  'The question of the running resumable turn that replaces turns of a conversation of the caller, and these turns; no '
  'row when there is none. Definer, because write-ahead rows are not granted and such a question is hidden.';
revoke execute on function private.tentative_turn from public, anon, authenticated, service_role;
grant execute on function private.tentative_turn(uuid) to authenticated;

create function public.ui_messages(chat_id text, before uuid default null) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  with found as (
    select c.id from public.llm_conversations as c
    where c.id = case when chat_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then chat_id::uuid end
      or (c.client_id = chat_id and c.user_id = (select auth.uid()))
    -- the conversation's id goes before a client's id
    order by c.client_id is not distinct from chat_id limit 1
  ), running as (
    select t.question, t.hidden from found as f cross join lateral private.tentative_turn(f.id) as t
  ), newest as (
    (select m.* from public.messages as m where m.conversation_id = (select f.id from found as f)
        and (m.turn_id is null or m.turn_id <> all (coalesce((select r.hidden from running as r), '{}')))
        and (before is null or (m.created_at, m.id) < (select b.created_at, b.id from public.messages as b
          where b.id = before and b.conversation_id = (select f.id from found as f)))
      order by m.created_at desc, m.id desc limit 1000)
    union all select (r.question).* from running as r where before is null
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', n.id, 'role', n.role,
      'parts', case
        when n.role = 'assistant' and n.parts is not null then n.parts
        when n.parts is null or n.content ~ '\S' then coalesce(jsonb_path_query_array(n.parts, k.files), '[]')
          || jsonb_build_array(jsonb_build_object('type', 'text', 'text', n.content))
        else jsonb_path_query_array(n.parts, k.files) end,
      'metadata', jsonb_strip_nulls(jsonb_build_object('turn_id', n.turn_id, 'conversation_id', n.conversation_id,
        'user_id', n.user_id, 'model', n.model_used, 'model_label', n.model_label,
        'agent', n.agent_type, 'status', n.status, 'created_at', n.created_at,
        'versions', case when n.version_of is not null and n.role = 'assistant' then (
          select jsonb_agg(v.turn_id order by v.created_at)
          from (select n.turn_id, n.created_at union all
                select o.turn_id, o.created_at from public.message_versions as o
                where o.version_of = n.version_of and o.conversation_id = n.conversation_id
                  and o.role = 'assistant') as v) end,
        'paid_by', case when n.role = 'assistant' then (
          select q.user_id from public.messages as q where q.turn_id = n.turn_id and q.role = 'user') end,
        'cost_usd', case when n.role = 'assistant'
          then (select l.cost_usd from public.chat_logs as l where l.turn_id = n.turn_id) end)))
    order by n.created_at, n.id), '[]')
  from newest as n
  cross join (select '$[*] ? (@.type == "file" && @.url starts with "urn:uuid:")'::jsonpath as files) as k
$$;
comment on function public.ui_messages(text, uuid) is
  'The newest 1000 messages of a conversation as UIMessages of the AI SDK, {id, role, parts, metadata}, oldest '
  'first; an empty array when the caller has none. chat_id is the conversation''s id or the client''s own (id of '
  'useChat). before? is the id of the oldest message shown, for the 1000 messages before it. Only the user who paid, '
  'metadata.paid_by, sees the cost. metadata.versions are the turns of an answer with versions, '
  'oldest first. A file has the url urn:uuid:<id>, which read_file takes. '
  'While a resumable turn replaces others, they are left out and its question is shown.';
revoke execute on function public.ui_messages from public, anon, authenticated, service_role;
grant execute on function public.ui_messages(text, uuid) to authenticated;
