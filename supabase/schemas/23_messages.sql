-- Purpose: the messages of conversations, verbatim.
-- Affects: public.messages
-- Access: members read and insert their own user messages; only the ledger writes answers.

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
  client_id text constraint messages_client_id_check check (char_length(client_id) <= 200),
  is_tentative boolean not null default false,
  model_label text constraint messages_model_label_check check (char_length(model_label) <= 500),
  created_at timestamptz not null default clock_timestamp(),
  version_of uuid,
  constraint messages_user_id_check check (role = 'user' or user_id is null),
  constraint messages_parts_size_check
    check (octet_length(parts::text) <= case role when 'user' then 1048576 else 16777216 end)
);
comment on table public.messages is 'One message of a conversation, verbatim.';
comment on column public.messages.user_id is 'The author; null for the assistant.';
comment on column public.messages.parts is
  'Message parts in the AI SDK''s format; null when content is all there is. A file of a question has the url '
  'urn:uuid:<id in conversation_files>.';
comment on column public.messages.model_used is 'Identifier of the model that answered; null for users'' messages.';
comment on column public.messages.turn_id is 'The turn, as in chat_logs; null for messages without a turn.';
comment on column public.messages.status is 'cancelled and partial mark an answer that ended early.';
comment on column public.messages.client_id is
  'The client''s own id of a question, used to edit it or to answer it again; null when it has none.';
comment on column public.messages.is_tentative is
  'A question that replaces an earlier turn and has no answer yet. Clients and models do not see it.';
comment on column public.messages.model_label is
  'Display name of the model that answered: its catalogue name, or "<node> (<model>)" for a client node. Null for '
  'users'' messages and when the node is deleted.';
comment on column public.messages.version_of is
  'The first turn of this question, when there are other versions of it in message_versions; else null.';

-- In the order in which a history is read; with the columns by which its messages are counted without their rows.
create index messages_conversation_id_created_at_idx
  on public.messages (conversation_id, created_at desc, id desc) include (turn_id, is_tentative);
create index messages_user_id_idx on public.messages (user_id);
create unique index messages_turn_id_role_idx on public.messages (turn_id, role) where turn_id is not null;
create index messages_model_used_idx on public.messages (split_part(model_used, ':', 2))
  where model_used like 'client:%' and model_label is not null;
-- Messages without a turn, which a user inserts: few, and counted at each insert.
create index messages_user_id_created_at_idx on public.messages (user_id, created_at)
  where turn_id is null and role = 'user';

create function private.limit_messages() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_max integer := private.setting('messages_per_person', 10000);
  v_max_mb integer := private.setting('messages_mb_per_person', 64);
  v record;
begin
  perform pg_advisory_xact_lock(hashtextextended('private.limit_messages:' || new.user_id, 0));
  select count(*) as n, coalesce(sum(octet_length(m.content)), 0) as bytes into v from public.messages as m
    where m.user_id = new.user_id and m.turn_id is null and m.role = 'user';
  if v.n >= v_max or v.bytes + octet_length(new.content) > v_max_mb::bigint * 1048576 then
    perform private.refuse('PT422', 'validation_failed',
      format('A person keeps at most %s messages without a turn, and %s MB of them.', v_max, v_max_mb));
  end if;
  return new;
end
$$;
comment on function private.limit_messages() is
  'Trigger: bounds the messages that a user inserts without a turn. Definer, because settings are not granted.';
revoke execute on function private.limit_messages from public, anon, authenticated, service_role;
create trigger messages_limit before insert on public.messages
  for each row when (new.role = 'user' and new.turn_id is null and new.user_id is not null)
  execute function private.limit_messages();
create trigger messages_touch_conversation after insert on public.messages
  for each row when (new.role = 'user' and new.turn_id is null) execute function private.touch_conversation();

alter table public.messages enable row level security;
revoke all on public.messages from public, anon, authenticated, service_role;
grant select on public.messages to authenticated;
grant insert (conversation_id, user_id, role, content) on public.messages to authenticated;
grant select on public.messages to service_role;

create policy messages_select_member on public.messages for select to authenticated
  using (not is_tentative and conversation_id in (select private.my_conversations()));
comment on policy messages_select_member on public.messages is
  'Members see messages; a question that replaces another is visible once it has an answer.';
create policy messages_select_admin on public.messages for select to parley_admin using (not is_tentative);
comment on policy messages_select_admin on public.messages is 'Admins see all messages that members see.';
create policy messages_insert_member on public.messages for insert to authenticated
  with check (role = 'user' and user_id = (select auth.uid())
    and conversation_id in (select private.my_conversations()));
comment on policy messages_insert_member on public.messages is 'Members insert messages in their own name only.';

create function private.turn_to_replace(p_user_id uuid, p_conversation_id uuid, p_turn private.turn_request)
  returns uuid
  language sql stable security invoker set search_path = '' as $$
  with meant as (
    -- Any member may name a message by its id, but only its author by the client's id.
    select m.turn_id, m.created_at, m.user_id = p_user_id as is_own, m.content = p_turn.message as is_same,
      case
        when p_turn.message_id in (m.id::text, case when m.user_id = p_user_id then m.client_id end) then 1
        when p_turn.regenerate and p_turn.message_id = m.turn_id::text then 1  -- an answer's id is its turn's
        when p_turn.regenerate and p_turn.question_id in (m.id::text, case when m.user_id = p_user_id
          then m.client_id end) then 2
        when p_turn.regenerate and m.user_id = p_user_id and m.content = p_turn.message then 3
      end as place
    from public.messages as m
    where m.conversation_id = p_conversation_id and (p_turn.regenerate or p_turn.message_id is not null)
      and m.role = 'user' and m.turn_id is not null and m.turn_id <> p_turn.turn_id and not m.is_tentative
  )
  select case when f.is_own then f.turn_id end
  from (select * from meant where place is not null order by place, is_same desc, created_at desc limit 1) as f
$$;
comment on function private.turn_to_replace(uuid, uuid, private.turn_request) is
  'The turn that this turn replaces. With regenerate: the turn of message_id, else of question_id, else the user''s '
  'latest with the same text. Without it: the turn of the question message_id, which is edited. Null when there is '
  'none or it belongs to another user.';
revoke execute on function private.turn_to_replace from public, anon, authenticated, service_role;

create function private.replaced_turns(p_conversation_id uuid, p_turn_id uuid) returns setof uuid
  language sql stable security invoker set search_path = '' as $$
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
  'The turns that this turn replaces: the one in replaces, and later turns of the same user. None for an ordinary '
  'turn. Turns of other users stay.';
revoke execute on function private.replaced_turns from public, anon, authenticated, service_role;

create function private.recent_history(
  p_conversation_id uuid, p_user_id uuid, p_speakers jsonb, p_max_tokens bigint, p_turn_id uuid, out messages json,
  out shown integer, out left_out integer, out tokens bigint, out max_tokens bigint, out has_files boolean)
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_skipped uuid[] := array_remove(array[p_turn_id], null);
  v_limit integer := least(greatest(p_max_tokens / 64, 64), 1000);
  v record;
begin
  if exists (select from private.turns as r where r.id = p_turn_id and r.replaces is not null) then
    v_skipped := v_skipped || array(select private.replaced_turns(p_conversation_id, p_turn_id));
  end if;
  -- Messages of 64 tokens and more show in one read where the budget ends. Only when they do not, more are read.
  loop
    with newest as (
      select m.id, m.role, m.content, m.created_at, coalesce(m.turn_id, m.id) as turn_id, m.turn_id is null as is_alone,
        case when m.role = 'user' and (p_speakers is not null or m.user_id is distinct from p_user_id)
          then coalesce(p_speakers ->> m.user_id::text, 'Former member') end as name,
        case when m.role = 'user' and m.parts is not null then private.message_files(m.parts, m.turn_id) end as files
      from public.messages as m
      where m.conversation_id = p_conversation_id and not m.is_tentative
        and (m.turn_id is null or m.turn_id <> all (v_skipped))
        -- Models get no empty messages. The first character usually shows it and costs less than the pattern.
        and (ascii(m.content) between 33 and 126 or m.content ~ '\S' or (m.role = 'user' and m.parts is not null))
      order by m.created_at desc, m.id desc limit v_limit
    ), turns as (
      select n.*, max(n.created_at) over in_turn as ended_at,
        -- An answer without its question, beyond the limit or deleted, is left out.
        bool_or(n.role = 'user' or n.is_alone) over in_turn as is_whole,
        octet_length(n.content) + coalesce(octet_length(n.name) + 2, 0)
          + case when n.files is null then 0 else (n.files ->> 'octets')::bigint end as octets
      from newest as n window in_turn as (partition by n.turn_id)
    ), fitting as (
      -- as estimate_tokens()
      select t.*, coalesce(sum((t.octets + 2) / 3 + 4) filter (where t.is_whole)
        over (order by t.ended_at desc, t.turn_id desc), 0) <= coalesce(p_max_tokens, 0) as is_fitting
      from turns as t
    )
    select count(*) as n, count(*) filter (where f.is_fitting and f.is_whole) as shown,
      coalesce(sum((f.octets + 2) / 3 + 4) filter (where f.is_fitting and f.is_whole), 0) as tokens,
      -- as token_upper_bound()
      coalesce(sum(f.octets + 16 + case when f.files is null then 0 else (f.files ->> 'more')::bigint end)
        filter (where f.is_fitting and f.is_whole), 0) as max_tokens,
      bool_or(f.files is not null and f.is_fitting and f.is_whole) as has_files,
      -- The budget ends here, and no turn before its end may have a question that was not read.
      bool_or(not f.is_fitting) and bool_and(f.is_whole or not f.is_fitting) as is_settled,
      -- Text of JSON: jsonb would take three times as long to build, and again for each result that contains it.
      json_agg(case when f.files is not null then json_strip_nulls(json_build_object('role', f.role,
            'content', f.content, 'name', f.name, 'files', f.files -> 'files'))
          when f.name is null then json_build_object('role', f.role, 'content', f.content)
          else json_build_object('role', f.role, 'content', f.content, 'name', f.name) end order by f.created_at, f.id)
        filter (where f.is_fitting and f.is_whole) as messages
      into v from fitting as f;
    exit when v.n < v_limit or v.is_settled or v_limit = 1000;
    v_limit := least(v_limit * 4, 1000);
  end loop;
  messages := coalesce(v.messages, '[]');
  shown := v.shown;
  tokens := v.tokens;
  max_tokens := v.max_tokens;
  has_files := v.has_files;
  left_out := case when v.n < v_limit then v.n else (
      select count(*) from public.messages as m where m.conversation_id = p_conversation_id and not m.is_tentative
        and (m.turn_id is null or m.turn_id <> all (v_skipped))) end - v.shown;
end
$$;
comment on function private.recent_history(uuid, uuid, jsonb, bigint, uuid) is
  'messages, shown (their number), left_out, tokens (by estimate_tokens), max_tokens (by token_upper_bound), '
  'has_files: the newest turns of the last 1000 messages that fit into the token budget, oldest first, '
  'without the turn itself. A question and its answer stay or go together. left_out counts the other messages. Reads '
  'no more texts than the budget needs.';
revoke execute on function private.recent_history from public, anon, authenticated, service_role;

create function private.unlabel_answers() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- A finish that has locked an answer is about to delete it. Waiting for that finish could deadlock.
  update public.messages as m set model_label = null
    where m.id in (select n.id from public.messages as n
      where n.model_used like 'client:%' and n.model_label is not null
        and split_part(n.model_used, ':', 2) = old.id::text
      for update skip locked);
  return old;
end
$$;
comment on function private.unlabel_answers() is
  'Trigger: removes a deleted node''s name from the labels of answers. Definer, because no role may update messages.';
revoke execute on function private.unlabel_answers from public, anon, authenticated, service_role;

create trigger client_nodes_unlabel_answers after delete on public.client_nodes
  for each row execute function private.unlabel_answers();
