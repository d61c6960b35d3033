-- Purpose: Realtime: what changes in a conversation is broadcast to its members, where the project has Realtime.
-- Affects: triggers on messages, llm_conversations, conversation_members and turns; private.enable_realtime();
-- public.member_names()
-- Access: members join the topic conversation:<id>; broadcasts have ids only, and words are read through row-level
-- security.

create function private.broadcast(p_conversation_id uuid, p_event text, p_payload jsonb) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  perform realtime.send(p_payload, p_event, 'conversation:' || p_conversation_id, true);
end
$$;
comment on function private.broadcast(uuid, text, jsonb) is
  'Sends a private broadcast to the members of a conversation. realtime.send raises no error.';
revoke execute on function private.broadcast from public, anon, authenticated, service_role;

create function private.broadcast_message() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_row public.messages := case when tg_op = 'DELETE' then old else new end;
begin
  -- One user alone follows the turn, whose changes are broadcast, too.
  if exists (select 1 from public.conversation_members as m where m.conversation_id = v_row.conversation_id
      and m.role = 'member') then
    perform private.broadcast(v_row.conversation_id, 'message', jsonb_build_object('id', v_row.id,
      'turn_id', v_row.turn_id, 'role', v_row.role, 'user_id', v_row.user_id, 'operation', tg_op));
  end if;
  return null;
end
$$;
comment on function private.broadcast_message() is
  'Trigger: broadcasts the ids of a message of a group. Definer, because users do not send to the topic.';
revoke execute on function private.broadcast_message from public, anon, authenticated, service_role;

create function private.broadcast_member() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_row public.conversation_members := case when tg_op = 'DELETE' then old else new end;
begin
  perform private.broadcast(v_row.conversation_id, 'member',
    jsonb_build_object('user_id', v_row.user_id, 'operation', tg_op));
  return null;
end
$$;
comment on function private.broadcast_member() is
  'Trigger: broadcasts that a user joined or left. Definer, because users do not send to the topic.';
revoke execute on function private.broadcast_member from public, anon, authenticated, service_role;

create function private.broadcast_deletion() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.conversation_members as m where m.conversation_id = old.id and m.role = 'member') then
    perform private.broadcast(old.id, 'conversation', jsonb_build_object('operation', tg_op));
  end if;
  return old;
end
$$;
comment on function private.broadcast_deletion() is
  'Trigger: broadcasts that a group is deleted, before its members are. Definer, because users do not send to the '
  'topic.';
revoke execute on function private.broadcast_deletion from public, anon, authenticated, service_role;

create function private.broadcast_turn() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.broadcast(new.conversation_id, 'turn',
    jsonb_build_object('turn_id', new.id, 'user_id', new.user_id, 'state', new.state));
  return null;
end
$$;
comment on function private.broadcast_turn() is
  'Trigger: broadcasts the state of a resumable turn: started, settled, failed or expired.';
revoke execute on function private.broadcast_turn from public, anon, authenticated, service_role;

create function private.my_topics() returns setof text
  language sql stable security definer set search_path = '' as $$
  select 'conversation:' || m.conversation_id from public.conversation_members as m
  where m.user_id = (select auth.uid()) and not (select private.is_app())
$$;
comment on function private.my_topics() is
  'The topics that the caller may join; none for an OAuth app. Definer as my_conversations(), which the policies of '
  'messages use.';
revoke execute on function private.my_topics from public, anon, authenticated, service_role;
grant execute on function private.my_topics() to authenticated;

create function private.enable_realtime() returns boolean
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  if exists (select from pg_publication as p where p.pubname = 'supabase_realtime') and not exists (
      select from pg_publication_tables as t
      where t.pubname = 'supabase_realtime' and t.schemaname = 'public' and t.tablename = 'messages') then
    alter publication supabase_realtime add table public.messages;
  end if;
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    return false;
  end if;
  execute $sql$
    drop policy if exists parley_members_receive on realtime.messages;
    create policy parley_members_receive on realtime.messages for select to authenticated
      using (extension = 'broadcast' and (select realtime.topic()) in (select private.my_topics()));
    drop trigger if exists messages_broadcast_insert on public.messages;
    create trigger messages_broadcast_insert after insert on public.messages
      for each row when (not new.is_tentative) execute function private.broadcast_message();
    drop trigger if exists messages_broadcast_delete on public.messages;
    create trigger messages_broadcast_delete after delete on public.messages
      for each row when (not old.is_tentative) execute function private.broadcast_message();
    drop trigger if exists conversation_members_broadcast on public.conversation_members;
    create trigger conversation_members_broadcast after insert or delete on public.conversation_members
      for each row when (pg_trigger_depth() = 0) execute function private.broadcast_member();
    drop trigger if exists llm_conversations_broadcast on public.llm_conversations;
    create trigger llm_conversations_broadcast before delete on public.llm_conversations
      for each row execute function private.broadcast_deletion();
    drop trigger if exists turns_broadcast_insert on private.turns;
    create trigger turns_broadcast_insert after insert on private.turns
      for each row when (new.is_resumable) execute function private.broadcast_turn();
    drop trigger if exists turns_broadcast_update on private.turns;
    create trigger turns_broadcast_update after update of state on private.turns
      for each row when (new.is_resumable and new.conversation_id is not null and not new.is_forgotten
        and (old.state <> new.state or not old.is_resumable)) execute function private.broadcast_turn()
  $sql$;
  return true;
exception when insufficient_privilege then  -- a project where only Supabase may change its Realtime still migrates
  raise warning 'Realtime is not enabled: %', sqlerrm;
  return false;
end
$$;
comment on function private.enable_realtime() is
  'Adds the policy, the triggers and the publication where the project has Realtime; safe to repeat. False without it '
  'or without the right to change it: an operator calls it again later.';
revoke execute on function private.enable_realtime from public, anon, authenticated, service_role;

do $$ begin perform private.enable_realtime(); end $$;

create function public.member_names(chat_id text) returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.refuse_apps();
  return coalesce(private.speaker_names(private.members_conversation((select auth.uid()), member_names.chat_id)), '{}');
end
$$;
comment on function public.member_names(text) is
  '{user id: name} of the members of a group of the caller, as models see them; empty for a conversation of one user. '
  'The name is user_metadata.name, or generated.';
revoke execute on function public.member_names from public, anon, authenticated, service_role;
grant execute on function public.member_names(text) to authenticated;
