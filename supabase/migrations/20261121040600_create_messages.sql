-- Purpose: what was said, verbatim; it belongs to the people in the conversation.
-- Affects: table public.messages
-- Access: members read and post their own human messages; the assistant's rows are written by chat_finish only.

create table public.messages (
  id uuid default gen_random_uuid() constraint messages_pkey primary key,
  conversation_id uuid not null constraint messages_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  user_id uuid default auth.uid() constraint messages_user_id_fkey references auth.users (id) on delete cascade,
  role text not null default 'user' constraint messages_role_check check (role in ('user', 'assistant')),
  content text not null constraint messages_content_check
    check (octet_length(content) <= case role when 'user' then 1048576 else 16777216 end),
  parts jsonb constraint messages_parts_check check (jsonb_typeof(parts) = 'array'),
  model_used text,
  agent_type text,
  turn_id uuid,
  status text not null default 'completed'
    constraint messages_status_check check (status in ('completed', 'cancelled', 'partial')),
  created_at timestamptz not null default clock_timestamp(),
  constraint messages_user_id_check check (role = 'user' or user_id is null)
);
comment on table public.messages is 'One message of a conversation, word for word.';
comment on column public.messages.user_id is 'Who wrote it; null for the assistant.';
comment on column public.messages.parts is 'AI SDK message parts beyond plain text; null when content is all there is.';
comment on column public.messages.model_used is 'Identifier of the model that answered; null for people.';
comment on column public.messages.turn_id is 'The turn it belongs to, as in chat_logs; null for messages that asked no model.';
comment on column public.messages.status is 'cancelled and partial mark an answer that ended early.';

create index messages_conversation_id_created_at_idx on public.messages (conversation_id, created_at desc, id);
create index messages_user_id_idx on public.messages (user_id);
create unique index messages_turn_id_role_idx on public.messages (turn_id, role) where turn_id is not null;

alter table public.messages enable row level security;
revoke all on public.messages from public, anon, authenticated, service_role;
grant select on public.messages to authenticated, service_role;
grant insert (conversation_id, user_id, role, content, parts) on public.messages to authenticated;

create policy messages_select_member on public.messages for select to authenticated
  using (conversation_id in (select private.my_conversations()) or (select private.is_admin()));
create policy messages_insert_member on public.messages for insert to authenticated
  with check (role = 'user' and user_id = (select auth.uid()) and conversation_id in (select private.my_conversations()));
comment on policy messages_insert_member on public.messages is 'A person posts in their own name only, and only where they are a member.';
