-- Purpose: answers that were replaced, as versions that can be read and chosen again; copies of conversations.
-- Affects: public.message_versions, public.choose_version(), public.fork_conversation()
-- Access: members read versions; the author of a question chooses one; definer because no role may write messages.

create table public.message_versions (
  id uuid constraint message_versions_pkey primary key,
  conversation_id uuid not null constraint message_versions_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  user_id uuid constraint message_versions_user_id_fkey references auth.users (id) on delete cascade,
  role text not null,
  content text not null,
  parts jsonb,
  model_used text,
  agent_type text,
  turn_id uuid not null,
  status text not null,
  client_id text,
  model_label text,
  created_at timestamptz not null,
  version_of uuid,
  branch_id uuid not null
);
comment on table public.message_versions is
  'Messages that are not shown, because another version of their turn, or of an earlier turn of the user, is. Columns '
  'as in messages.';
comment on column public.message_versions.version_of is
  'The first turn of this question: all versions of it have the same value. Null for a turn with one version.';
comment on column public.message_versions.branch_id is
  'The turn that was replaced. It and the later turns of the user left together, and return together.';

create index message_versions_conversation_id_branch_id_idx on public.message_versions (conversation_id, branch_id);
create index message_versions_version_of_idx on public.message_versions (version_of);
create index message_versions_turn_id_idx on public.message_versions (turn_id);
create index message_versions_user_id_idx on public.message_versions (user_id);

alter table public.message_versions enable row level security;
revoke all on public.message_versions from public, anon, authenticated, service_role;
grant select on public.message_versions to authenticated;
grant select on public.message_versions to service_role;

create policy message_versions_select_member on public.message_versions for select to authenticated
  using (conversation_id in (select private.my_conversations()));
comment on policy message_versions_select_member on public.message_versions is 'Members see versions.';
create policy message_versions_select_admin on public.message_versions for select to parley_admin using (true);
comment on policy message_versions_select_admin on public.message_versions is 'Admins see all.';

create function private.move_to_versions(p_conversation_id uuid, p_turns uuid[], p_branch_id uuid) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- Without any answer there is nothing to choose.
  if exists (select 1 from public.messages as m where m.turn_id = any (p_turns) and m.role = 'assistant') then
    insert into public.message_versions
      (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status, client_id,
       model_label, created_at, version_of, branch_id)
      select m.id, m.conversation_id, m.user_id, m.role, m.content, m.parts, m.model_used, m.agent_type, m.turn_id,
        m.status, m.client_id, m.model_label, m.created_at,
        case when m.turn_id = p_branch_id then coalesce(m.version_of, p_branch_id) else m.version_of end, p_branch_id
      from public.messages as m where m.conversation_id = p_conversation_id and m.turn_id = any (p_turns);
  end if;
  delete from public.messages as m where m.conversation_id = p_conversation_id and m.turn_id = any (p_turns);
  perform private.delete_unnamed_files(p_conversation_id);
end
$$;
comment on function private.move_to_versions(uuid, uuid[], uuid) is
  'Takes the messages of these turns out of the conversation, and keeps them as versions if they have an answer.';
revoke execute on function private.move_to_versions from public, anon, authenticated, service_role;

create function private.replace_turns(p_row private.turns) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_version_of uuid := (select m.version_of from public.messages as m
    where m.turn_id = p_row.replaces and m.role = 'user');
begin
  perform private.move_to_versions(p_row.conversation_id,
    array(select private.replaced_turns(p_row.conversation_id, p_row.id)), p_row.replaces);
  update public.messages as m
    set is_tentative = false, version_of = coalesce(v_version_of, (
      select v.version_of from public.message_versions as v where v.turn_id = p_row.replaces limit 1))
    where m.turn_id = p_row.id;
end
$$;
comment on function private.replace_turns(private.turns) is
  'Makes a turn that has an answer the shown version, and the turns that it replaces hidden ones.';
revoke execute on function private.replace_turns from public, anon, authenticated, service_role;

create function public.choose_version(turn_id uuid) returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_chosen public.message_versions;
  v_shown public.messages;
begin
  perform private.refuse_apps();
  select v.* into v_chosen from public.message_versions as v
    where v.turn_id = choose_version.turn_id and v.branch_id = v.turn_id and v.role = 'user' and v.user_id = v_user_id
      and v.conversation_id in (select private.my_conversations());
  if not found then
    perform private.refuse('PT404', 'version_not_found', 'There is no such version of a question of yours.');
  end if;
  perform 1 from public.llm_conversations as c where c.id = v_chosen.conversation_id for no key update;
  if exists (select 1 from private.turns as r where r.conversation_id = v_chosen.conversation_id
      and r.state = 'started' and r.is_stored and r.lease_until > now() and not r.is_forgotten) then
    perform private.refuse('PT409', 'turn_in_progress', 'A turn of this conversation is still being answered.',
      '{"retry_after": 2}');
  end if;
  select m.* into v_shown from public.messages as m
    where m.conversation_id = v_chosen.conversation_id and m.version_of = v_chosen.version_of and m.role = 'user'
      and m.user_id = v_user_id and not m.is_tentative;
  if not found then
    perform private.refuse('PT404', 'version_not_found', 'A version of an earlier question hides it: choose there.');
  end if;
  perform private.move_to_versions(v_shown.conversation_id, array(
    select m.turn_id from public.messages as m
    where m.conversation_id = v_shown.conversation_id and m.role = 'user' and m.user_id = v_user_id
      and m.turn_id is not null and m.created_at >= v_shown.created_at), v_shown.turn_id);
  insert into public.messages
    (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status, client_id,
     model_label, created_at, version_of)
    select v.id, v.conversation_id, v.user_id, v.role, v.content, v.parts, v.model_used, v.agent_type, v.turn_id,
      v.status, v.client_id, v.model_label, v.created_at, v.version_of
    from public.message_versions as v
    where v.conversation_id = v_chosen.conversation_id and v.branch_id = v_chosen.turn_id;
  delete from public.message_versions as v
    where v.conversation_id = v_chosen.conversation_id and v.branch_id = v_chosen.turn_id;
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.choose_version(uuid) is
  'Shows another version of a question of the caller, with the turns that followed it; the shown one becomes a '
  'version. turn_id is one of metadata.versions of ui_messages. 404 for the shown version and for others'' questions, '
  '409 while a turn runs.';
revoke execute on function public.choose_version from public, anon, authenticated, service_role;
grant execute on function public.choose_version(uuid) to authenticated;

create function public.fork_conversation(conversation_id uuid, turn_id uuid default null) returns uuid
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_source public.llm_conversations;
  v_now timestamptz := clock_timestamp();
  v_until timestamptz := v_now;
  v_id uuid := gen_random_uuid();
  v_max integer := private.setting('forks_per_day', 100);
begin
  perform private.refuse_apps();
  select c.* into v_source from public.llm_conversations as c
    where c.id = fork_conversation.conversation_id and c.id in (select private.my_conversations());
  if fork_conversation.turn_id is not null then
    select max(m.created_at) into v_until from public.messages as m
      where m.conversation_id = v_source.id and m.turn_id = fork_conversation.turn_id;
  end if;
  if v_source.id is null or v_until is null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation or turn.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('private.fork_conversation:' || v_user_id, 0));
  if (select count(*) from public.llm_conversations as c where c.user_id = v_user_id and c.forked_from is not null
      and c.started_at > now() - interval '1 day') >= v_max then
    perform private.refuse('PT429', 'too_many_forks', format('At most %s copies a day.', v_max));
  end if;
  -- The title has words of the owner, which only the owner can delete.
  insert into public.llm_conversations (id, user_id, title, default_model, forked_from, started_at)
    values (v_id, v_user_id, case when v_source.user_id = v_user_id then v_source.title end, v_source.default_model,
      v_source.id, v_now);
  insert into public.conversation_members (conversation_id, user_id, role) values (v_id, v_user_id, 'owner');
  -- The copies of a question and its answer have a turn of their own, so that a deletion finds the answer.
  insert into public.messages
    (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status, model_label,
     created_at)
    with newest as (
      select m.*, md5(v_id::text || coalesce(m.turn_id, m.id))::uuid as new_turn from public.messages as m
      where m.conversation_id = v_source.id and not m.is_tentative and m.created_at <= v_until
      order by m.created_at desc, m.id desc limit 1000)
    select case n.role when 'assistant' then n.new_turn else gen_random_uuid() end, v_id, n.user_id, n.role, n.content,
      case when n.role = 'user' then private.copied_parts(n.parts, v_id) else n.parts end, n.model_used, n.agent_type,
      n.new_turn, n.status, n.model_label, n.created_at
    from newest as n
    -- A deletion finds an answer by its question, so none is copied without it.
    where n.role = 'user' or exists (select 1 from newest as q where q.turn_id = n.turn_id and q.role = 'user');
  perform private.copy_files(v_source.id, v_id, v_user_id);
  return v_id;
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.fork_conversation(uuid, uuid) is
  'A new conversation of the caller with copies of the newest 1000 messages up to the end of turn_id, by default all. '
  'Messages of others keep their author and go when the author''s data is deleted. Refuses with too_many_forks (429) '
  'at forks_per_day.';
revoke execute on function public.fork_conversation from public, anon, authenticated, service_role;
grant execute on function public.fork_conversation(uuid, uuid) to authenticated;

create function private.forget_copies(p_conversation_id uuid, p_owner_id uuid) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_copies uuid[];
begin
  with recursive copies as (
    select c.id from public.llm_conversations as c
      where c.forked_from = p_conversation_id and c.user_id <> p_owner_id
    union
    select c.id from public.llm_conversations as c join copies as o on c.forked_from = o.id
      where c.user_id <> p_owner_id
  )
  select array_agg(o.id) into v_copies from copies as o;
  -- What was copied is older than the copy.
  delete from public.messages as m using public.llm_conversations as c
    where c.id = any (v_copies) and m.conversation_id = c.id and m.created_at <= c.started_at;
  delete from public.message_versions as v using public.llm_conversations as c
    where c.id = any (v_copies) and v.conversation_id = c.id and v.created_at <= c.started_at;
  delete from public.conversation_files as f using public.llm_conversations as c
    where c.id = any (v_copies) and f.conversation_id = c.id and f.created_at <= c.started_at;
  delete from public.conversation_shares as s where s.conversation_id = any (v_copies);
end
$$;
comment on function private.forget_copies(uuid, uuid) is
  'Deletes what others copied from a conversation that its owner deletes, and shares of these copies. What they wrote '
  'in their copies stays.';
revoke execute on function private.forget_copies from public, anon, authenticated, service_role;

create function private.keep_origin() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  update public.llm_conversations as c set forked_from = old.forked_from where c.forked_from = old.id;
  return old;
end
$$;
comment on function private.keep_origin() is
  'Trigger: copies of a deleted copy come from its source, so that forget_copies() finds them. Definer, because '
  'forked_from is not granted.';
revoke execute on function private.keep_origin from public, anon, authenticated, service_role;

create trigger llm_conversations_keep_origin before delete on public.llm_conversations
  for each row when (old.forked_from is not null) execute function private.keep_origin();

create function private.unlabel_versions() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  update public.message_versions as v set model_label = null
    where v.id in (select n.id from public.message_versions as n
      where n.model_used like 'client:%' and n.model_label is not null
        and split_part(n.model_used, ':', 2) = old.id::text
      for update skip locked);
  return old;
end
$$;
comment on function private.unlabel_versions() is
  'Trigger: as unlabel_answers(), for versions. Definer, because no role may update them.';
revoke execute on function private.unlabel_versions from public, anon, authenticated, service_role;

create trigger client_nodes_unlabel_versions after delete on public.client_nodes
  for each row execute function private.unlabel_versions();
create index message_versions_model_used_idx on public.message_versions (split_part(model_used, ':', 2))
  where model_used like 'client:%' and model_label is not null;
