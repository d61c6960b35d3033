-- Purpose: nothing a person said stays when they ask for it or are deleted; totals without a name do.
-- Affects: functions private.forget_words(), private.forget_deleted_person(), public.delete_my_data(); trigger on auth.users
-- Access: signed-in people for themselves; definer because logs and write-ahead rows are granted to nobody.

create function private.forget_words(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update public.chat_logs as l
    set user_id = null, question = null, response = null, request_id = null, requested_model = null,
        conversation_id = null, user_id_hash = null, escalation_metadata = null, tools_used = '[]', metadata = '{}'
    where l.user_id = p_user_id;
  update public.usage_daily as d set user_id = null where d.user_id = p_user_id;  -- what purged rows had counted
  delete from private.spool_quarantine as q where q.user_id = p_user_id
$$;
comment on function private.forget_words(uuid) is
  'Log rows keep what was used and spent, without the person and their words; quarantined records of theirs go.';

create function private.forget_deleted_person() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  -- A finish that runs right now holds its row and waits for this deletion: skipped here, it finds the person gone and
  -- writes no words. Waiting for it would be a circle.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = old.id for update skip locked));
  perform private.forget_words(old.id);
  return old;
end
$$;
comment on function private.forget_deleted_person() is
  'Trigger: deleting a person takes their words along wherever no foreign key does.';

create trigger users_forget_deleted_person before delete on auth.users
  for each row execute function private.forget_deleted_person();

create function public.delete_my_data() returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '10s'
as $$
declare
  v_user_id uuid := (select auth.uid());
begin
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Nobody is signed in.');
  end if;
  -- The same order as a finish: write-ahead rows first. One that runs ends before or finds its turn forgotten.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = v_user_id order by r.id for update));
  delete from public.llm_conversations as c where c.user_id = v_user_id;
  delete from public.messages as m where m.user_id = v_user_id;
  delete from public.conversation_members as m where m.user_id = v_user_id;
  delete from public.client_nodes as n where n.owner_id = v_user_id;
  perform private.forget_words(v_user_id);
end
$$;
comment on function public.delete_my_data() is
  'Removes the caller''s conversations, messages, memberships and nodes and takes name and words out of their log rows; '
  'what they used and spent stays counted, without them. They stay signed up.';

create index turns_user_id_idx on private.turns (user_id);

revoke execute on function private.forget_words(uuid), private.forget_deleted_person(), public.delete_my_data()
  from public, anon, authenticated, service_role;
grant execute on function public.delete_my_data() to authenticated;
