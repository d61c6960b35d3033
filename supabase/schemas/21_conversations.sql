-- Purpose: conversations and their members.
-- Affects: public.llm_conversations, public.conversation_members
-- Access: members read; the owner edits some columns and adds or removes members; the ledger writes counters.

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
  conversation_metadata jsonb not null default '{}' constraint llm_conversations_conversation_metadata_check
    check (jsonb_typeof(conversation_metadata) = 'object' and octet_length(conversation_metadata::text) <= 16384),
  forked_from uuid,
  context_quality_sum numeric not null default 0,
  context_quality_turns integer not null default 0,
  allows_training boolean not null default true,
  constraint llm_conversations_user_id_client_id_key unique (user_id, client_id)
);
comment on table public.llm_conversations is 'A conversation of one or more users.';
comment on column public.llm_conversations.user_id is 'The owner.';
comment on column public.llm_conversations.client_id is
  'The client''s own id of the conversation, unique per user; null when it has none.';
comment on column public.llm_conversations.channel_id is
  'Channel of another interface in which the conversation began, as sent with the first turn; null when none was '
  'sent.';
comment on column public.llm_conversations.thread_ts is
  'Thread of that channel, as sent with the first turn; null when none was sent.';
comment on column public.llm_conversations.primary_agent is 'The agent of the last answer; written by chat_finish.';
comment on column public.llm_conversations.default_model is
  'Identifier, key or alias of the model for turns that name none; null = no default of the conversation.';
comment on column public.llm_conversations.agent_handoffs is
  'Number of hand-offs from one agent to another; written by chat_finish.';
comment on column public.llm_conversations.total_tokens_used is
  'Input and output tokens of all turns; written by chat_finish.';
comment on column public.llm_conversations.total_cost is
  'USD of all turns with a known price; written by chat_finish and reprice().';
comment on column public.llm_conversations.user_satisfaction_avg is
  'Mean of chat_logs.rating (1 to 5) over its turns in the log; null without ratings. Written with each rating.';
comment on column public.llm_conversations.context_quality_score is
  'Mean over its answers of: messages that fitted into the prompt / earlier messages there were; 0 to 1, null until a '
  'turn with earlier messages. Written by chat_finish; context_quality_sum and context_quality_turns are its parts.';
comment on column public.llm_conversations.allows_training is
  'False when the owner keeps this conversation out of training data. True does not replace the consent in '
  'user_llm_profiles.allows_training.';
comment on column public.llm_conversations.conversation_metadata is
  'Values of the client, which Parley does not read: an object of at most 16 KB.';
comment on column public.llm_conversations.forked_from is
  'The conversation that this one was copied from, which may be deleted; null when it was not copied.';

create index llm_conversations_forked_from_idx on public.llm_conversations (forked_from) where forked_from is not null;

alter table public.llm_conversations enable row level security;
revoke all on public.llm_conversations from public, anon, authenticated, service_role;
grant select on public.llm_conversations to authenticated;
grant update (title, conversation_status, default_model, conversation_metadata,
  allows_training) on public.llm_conversations to authenticated;
grant select on public.llm_conversations to service_role;

create policy llm_conversations_update_owner on public.llm_conversations for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy llm_conversations_update_owner on public.llm_conversations is
  'Only the owner changes a conversation.';

create table public.conversation_members (
  conversation_id uuid not null constraint conversation_members_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  user_id uuid not null constraint conversation_members_user_id_fkey references auth.users (id) on delete cascade,
  role text not null default 'member' constraint conversation_members_role_check check (role in ('owner', 'member')),
  joined_at timestamptz not null default now(),
  pinned_at timestamptz,
  archived_at timestamptz,
  constraint conversation_members_pkey primary key (conversation_id, user_id)
);
comment on table public.conversation_members is 'A user in a conversation. chat_begin writes the owner''s row.';
comment on column public.conversation_members.pinned_at is
  'When this member pinned the conversation in their list; null when it is not pinned.';
comment on column public.conversation_members.archived_at is
  'When this member archived the conversation; null when it is in their list. conversation_status is for all members.';

create index conversation_members_user_id_idx on public.conversation_members (user_id);

alter table public.conversation_members enable row level security;
revoke all on public.conversation_members from public, anon, authenticated, service_role;
grant select, delete on public.conversation_members to authenticated;
grant insert (conversation_id, user_id) on public.conversation_members to authenticated;
grant update (pinned_at, archived_at) on public.conversation_members to authenticated;
grant select on public.conversation_members to service_role;

create policy conversation_members_insert_owner on public.conversation_members for insert to authenticated
  with check (exists (
    select 1 from public.llm_conversations as c where c.id = conversation_id and c.user_id = (select auth.uid())));
comment on policy conversation_members_insert_owner on public.conversation_members is
  'Only the owner adds users, and only as members.';
create policy conversation_members_update_self on public.conversation_members for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy conversation_members_update_self on public.conversation_members is
  'Members pin and archive for themselves.';
create policy conversation_members_delete_owner_or_self on public.conversation_members for delete to authenticated
  using (role = 'member' and (user_id = (select auth.uid()) or exists (
    select 1 from public.llm_conversations as c where c.id = conversation_id and c.user_id = (select auth.uid()))));
comment on policy conversation_members_delete_owner_or_self on public.conversation_members is
  'The owner removes other members; a member can leave. Their messages stay in the conversation.';

create function private.my_conversations() returns setof uuid
  language sql stable security definer set search_path = '' as $$
  select conversation_id from public.conversation_members where user_id = (select auth.uid())
$$;
comment on function private.my_conversations() is
  'Conversations of which the caller is a member. Definer, because a policy that reads its own table would recurse.';
revoke execute on function private.my_conversations from public, anon, authenticated, service_role;
grant execute on function private.my_conversations() to authenticated;

create function private.make_title(p_message text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select nullif(case when char_length(t.line) <= 80 then t.line
    else left(regexp_replace(left(t.line, 81), '\s+\S*$', ''), 80) end, '')
  from (select btrim(regexp_replace(substring(left(p_message, 4000)
    from '[^\s\u0001-\u001f][^\r\n\u0085\u2028\u2029]*'),
    '[\s\u0001-\u001f\u007f-\u009f]+', ' ', 'g')) as line) as t
$$;
comment on function private.make_title(text) is
  'The first line with text, cut to 80 characters between words where possible; null when there is none.';
revoke execute on function private.make_title from public, anon, authenticated, service_role;

create function private.lock_conversation(p_user_id uuid, p_conversation_id uuid, p_turn_id uuid, p_message text)
  returns public.llm_conversations
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_row public.llm_conversations;
  v_other private.turns;
begin
  -- Concurrent turns wait for the row, and the next statement sees the earlier turn. An update of no key column takes a
  -- lock that inserts of messages do not wait for. Only the owner's text becomes the
  -- title, because only the owner can delete it.
  update public.llm_conversations as c
    set last_activity = now(),
        title = coalesce(c.title, case when c.user_id = p_user_id then private.make_title(p_message) end)
    where c.id = p_conversation_id returning c.* into v_row;
  if not found then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  end if;
  select r.* into v_other from private.turns as r
    where r.conversation_id = p_conversation_id and r.state = 'started' and r.is_stored and r.lease_until > now()
      and r.id <> p_turn_id and not r.is_forgotten
      -- Turns of users who left the conversation do not block it.
      and exists (select 1 from public.conversation_members as m
                  where m.conversation_id = p_conversation_id and m.user_id = r.user_id)
    order by r.lease_until desc limit 1;
  if found then
    perform private.refuse('PT409', 'turn_in_progress', 'Another turn of this conversation is still being answered.',
      jsonb_build_object('conversation_id', p_conversation_id, 'started_at', v_other.started_at,
        'yours', v_other.user_id = p_user_id, 'turn_id', v_other.id, 'resumable', v_other.is_resumable,
        'stopping', v_other.stopped_at is not null,
        'retry_after', least(ceil(extract(epoch from v_other.lease_until - now())), 5)));
  end if;
  return v_row;
end
$$;
comment on function private.lock_conversation(uuid, uuid, uuid, text) is
  'Locks the conversation for a stored turn and returns it; refuses with turn_in_progress (409) while another stored '
  'turn holds its lease. Turns that are not stored do not call it.';
revoke execute on function private.lock_conversation from public, anon, authenticated, service_role;

create function private.open_conversation(p_user_id uuid, p_turn private.turn_request) returns public.llm_conversations
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_client_id text := p_turn.client_id;
  v_named text := coalesce(p_turn.conversation_id, v_client_id);
  v_id uuid := md5('conversation of turn ' || p_turn.turn_id)::uuid;
  v_row public.llm_conversations;
begin
  select c.* into v_row from public.llm_conversations as c
    join public.conversation_members as m on m.conversation_id = c.id and m.user_id = p_user_id
    where c.id = case when v_named ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then v_named::uuid end;
  if found then
    return v_row;
  end if;
  if p_turn.conversation_id is not null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  end if;
  if v_client_id is not null then
    select c.* into v_row from public.llm_conversations as c
      where c.user_id = p_user_id and c.client_id = v_client_id;
    if found then
      return v_row;
    end if;
  end if;
  if not p_turn.store then
    return null;
  end if;
  -- The turn's id makes the conversation's: a worker that lost the answer and begins again finds its conversation.
  insert into public.llm_conversations (id, user_id, client_id, channel_id, thread_ts)
    values (v_id, p_user_id, v_client_id, p_turn.channel_id, p_turn.thread_ts)
    on conflict do nothing returning * into v_row;
  if not found then  -- a concurrent turn, or an earlier call of this one, created it
    select c.* into v_row from public.llm_conversations as c
      where c.user_id = p_user_id and (c.client_id = v_client_id or c.id = v_id);
    return v_row;
  end if;
  insert into public.conversation_members (conversation_id, user_id, role) values (v_row.id, p_user_id, 'owner');
  return v_row;
end
$$;
comment on function private.open_conversation(uuid, private.turn_request) is
  'The turn''s conversation, by its id or the client''s id, else a new one with the turn''s channel_id and '
  'thread_ts. Null when nothing is stored.';
revoke execute on function private.open_conversation from public, anon, authenticated, service_role;

create function private.touch_conversation() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- Whichever transaction holds the lock begins or ends a turn, which also sets last_activity.
  update public.llm_conversations as c set last_activity = now()
    where c.id = (select t.id from public.llm_conversations as t
      where t.id = new.conversation_id for no key update skip locked);
  return null;
end
$$;
comment on function private.touch_conversation() is
  'Trigger: a message of a user updates last_activity, without waiting for locks. Definer, because last_activity is '
  'not granted.';
revoke execute on function private.touch_conversation from public, anon, authenticated, service_role;

create function private.display_name(p_metadata jsonb) returns text
  language sql immutable security invoker set search_path = '' as $$
  select n.name from (
    -- Control, direction and zero-width characters, line ends and colons could imitate other text.
    select k.place, rtrim(left(btrim(regexp_replace(left(p_metadata ->> k.key, 600),
      '[\s:\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+', ' ', 'g')),
        60)) as name
    from (values (1, 'name'), (2, 'full_name')) as k (place, key)
    where jsonb_typeof(p_metadata -> k.key) = 'string') as n
  -- A user must not take a name that speaker_names() generates.
  where n.name <> '' and n.name !~ '@' and n.name !~ '\(\d+\)$' and n.name !~* '^(person \d+|former member)$'
  order by n.place limit 1
$$;
comment on function private.display_name(jsonb) is
  'The user''s own name as one line of at most 60 characters; null when there is none, or it is an e-mail address or '
  'looks like a generated name.';
revoke execute on function private.display_name from public, anon, authenticated, service_role;

create function private.speaker_names(p_conversation_id uuid) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    with members as (
      select m.user_id, row_number() over (order by m.joined_at, m.user_id) as place
      from public.conversation_members as m where m.conversation_id = p_conversation_id
    ), named as (
      select m.user_id, m.place, coalesce(private.display_name(u.raw_user_meta_data), 'Person ' || m.place) as name
      from members as m join auth.users as u on u.id = m.user_id
      where (select count(*) from members) > 1
    ), numbered as (
      select n.user_id, n.name, row_number() over (partition by lower(n.name) order by n.place) as nth from named as n
    )
    select jsonb_object_agg(t.user_id, t.name || case when t.nth > 1 then ' (' || t.nth || ')' else '' end)
      from numbered as t);
end
$$;
comment on function private.speaker_names(uuid) is
  'Object of user id to a unique name for the model; null in a conversation of one user.';
revoke execute on function private.speaker_names from public, anon, authenticated, service_role;

create policy llm_conversations_select_member on public.llm_conversations for select to authenticated
  using (id = any (array(select private.my_conversations())));
comment on policy llm_conversations_select_member on public.llm_conversations is
  'Members see their conversations. The array is read once and looked up by the index.';
create policy llm_conversations_select_admin on public.llm_conversations for select to parley_admin using (true);
comment on policy llm_conversations_select_admin on public.llm_conversations is 'Admins see all.';
create policy conversation_members_select_member on public.conversation_members for select to authenticated
  using (conversation_id = any (array(select private.my_conversations())));
comment on policy conversation_members_select_member on public.conversation_members is
  'Members see all members of their conversations.';
create policy conversation_members_select_admin on public.conversation_members for select to parley_admin using (true);
comment on policy conversation_members_select_admin on public.conversation_members is 'Admins see all.';
