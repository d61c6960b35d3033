-- Purpose: conversations and who is in them.
-- Affects: tables public.llm_conversations, public.conversation_members; private.my_conversations()
-- Access: members read; the owner edits a few columns, adds and removes members; counters are the ledger's.

create table public.llm_conversations (
  id uuid default gen_random_uuid() constraint llm_conversations_pkey primary key,
  user_id uuid not null constraint llm_conversations_user_id_fkey references auth.users (id) on delete cascade,
  client_id text constraint llm_conversations_client_id_check check (char_length(client_id) between 1 and 200),
  title text constraint llm_conversations_title_check check (char_length(title) <= 200),
  channel_id text constraint llm_conversations_channel_id_check check (char_length(channel_id) <= 200),
  thread_ts text constraint llm_conversations_thread_ts_check check (char_length(thread_ts) <= 200),
  started_at timestamptz not null default now(),
  last_activity timestamptz not null default now(),
  conversation_status text not null default 'active' constraint llm_conversations_conversation_status_check
    check (conversation_status in ('active', 'archived', 'closed')),
  primary_agent text constraint llm_conversations_primary_agent_check check (char_length(primary_agent) <= 40),
  default_model text constraint llm_conversations_default_model_check check (char_length(default_model) <= 300),
  agent_handoffs integer not null default 0,
  total_tokens_used bigint not null default 0,
  total_cost numeric(18, 9) not null default 0,
  user_satisfaction_avg numeric(3, 2),
  context_quality_score numeric(3, 2),
  conversation_metadata jsonb not null default '{}',
  constraint llm_conversations_user_id_client_id_key unique (user_id, client_id)
);
comment on table public.llm_conversations is 'A conversation between one or more people and the models they chose.';
comment on column public.llm_conversations.user_id is 'The owner.';
comment on column public.llm_conversations.client_id is 'The frontend''s own chat id, unique per person; null when it has none.';
comment on column public.llm_conversations.default_model is 'Any model identifier, key or alias; null = the catalogue''s default.';
comment on column public.llm_conversations.total_tokens_used is 'Input and output tokens of all turns; written by chat_finish only.';
comment on column public.llm_conversations.total_cost is 'USD of all priced turns; written by chat_finish only.';
comment on column public.llm_conversations.user_satisfaction_avg is 'Mean rating 1 to 5; null without ratings.';
comment on column public.llm_conversations.context_quality_score is 'Null until it is measured.';

create table public.conversation_members (
  conversation_id uuid not null constraint conversation_members_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  user_id uuid not null constraint conversation_members_user_id_fkey references auth.users (id) on delete cascade,
  role text not null default 'member' constraint conversation_members_role_check check (role in ('owner', 'member')),
  joined_at timestamptz not null default now(),
  constraint conversation_members_pkey primary key (conversation_id, user_id)
);
comment on table public.conversation_members is 'A person in a conversation; the owner''s own row is written by chat_begin.';
create index conversation_members_user_id_idx on public.conversation_members (user_id);

create function private.my_conversations() returns setof uuid
  language sql stable security definer set search_path = ''
as $$
  select conversation_id from public.conversation_members where user_id = (select auth.uid())
$$;
comment on function private.my_conversations() is
  'Conversations the caller is in. Definer, because a policy on conversation_members that reads conversation_members would recurse.';
revoke execute on function private.my_conversations() from public, anon, authenticated, service_role;
grant execute on function private.my_conversations() to authenticated;

alter table public.llm_conversations enable row level security;
alter table public.conversation_members enable row level security;
revoke all on public.llm_conversations, public.conversation_members from public, anon, authenticated, service_role;
grant select on public.llm_conversations, public.conversation_members to authenticated, service_role;
grant update (title, default_model, conversation_status, conversation_metadata) on public.llm_conversations to authenticated;
grant insert (conversation_id, user_id), delete on public.conversation_members to authenticated;

create policy llm_conversations_select_member on public.llm_conversations for select to authenticated
  using (id in (select private.my_conversations()) or (select private.is_admin()));
create policy llm_conversations_update_owner on public.llm_conversations for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy conversation_members_select_member on public.conversation_members for select to authenticated
  using (conversation_id in (select private.my_conversations()) or (select private.is_admin()));
create policy conversation_members_insert_owner on public.conversation_members for insert to authenticated
  with check (exists (
    select 1 from public.llm_conversations as c where c.id = conversation_id and c.user_id = (select auth.uid())));
create policy conversation_members_delete_owner on public.conversation_members for delete to authenticated
  using (role = 'member' and exists (
    select 1 from public.llm_conversations as c where c.id = conversation_id and c.user_id = (select auth.uid())));
comment on policy conversation_members_insert_owner on public.conversation_members is 'Nobody adds themselves: only the owner adds, and only members.';
comment on policy conversation_members_delete_owner on public.conversation_members is 'The owner removes others, never their own row.';
