-- Purpose: a forgotten person's profile goes, and in other people's conversations the answers to what they asked.
-- Affects: functions private.forget_answers(), private.forget_deleted_person(), public.delete_my_data()
-- Access: as before; definer because logs, messages and write-ahead rows are granted to nobody.

create function private.forget_answers(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = ''
as $$
  delete from public.messages as a using public.messages as q
    where q.user_id = p_user_id and q.role = 'user' and a.turn_id = q.turn_id and a.role = 'assistant'
$$;
comment on function private.forget_answers(uuid) is
  'Deletes the answers to what a person asked, for they repeat it; the questions go with their person.';

create or replace function private.forget_deleted_person() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  -- A finish that runs right now holds its row and waits for this deletion: skipped here, it finds the person gone and
  -- writes no words. Waiting for it would be a circle.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = old.id for update skip locked));
  perform private.note_forgotten(old.id, p_is_complete => false);
  perform private.forget_words(old.id);
  perform private.forget_answers(old.id);
  delete from public.usage_limits as l where l.scope = old.id::text;
  delete from public.cost_alerts as a where a.scope = old.id::text and a.notified_at is null;
  return old;
end
$$;

create or replace function public.delete_my_data() returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '10s'
as $$
declare
  v_user_id uuid := (select auth.uid());
begin
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Nobody is signed in.');
  end if;
  -- One at a time, and never beside a sweep: two people in each other's conversations would wait in a circle.
  perform pg_advisory_xact_lock(hashtextextended('private.sweep_turns', 0));
  -- A turn of theirs that is just being admitted holds this lock, shared: it is seen below, or begins afterwards.
  perform pg_advisory_xact_lock(hashtextextended('private.forget:' || v_user_id, 0));
  perform private.note_forgotten(v_user_id, p_is_complete => true);
  -- The same order as a finish: write-ahead rows first. One that runs ends before or finds its turn forgotten.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = v_user_id order by r.id for update));
  delete from public.llm_conversations as c where c.user_id = v_user_id;
  perform private.forget_answers(v_user_id);
  delete from public.messages as m where m.user_id = v_user_id;
  delete from public.conversation_members as m where m.user_id = v_user_id;
  delete from public.user_llm_profiles as p where p.user_id = v_user_id;
  delete from public.feedback as f where f.user_id = v_user_id;
  perform private.forget_words(v_user_id);
  delete from public.client_nodes as n where n.owner_id = v_user_id;
end
$$;
comment on function public.delete_my_data() is
  'Removes the caller''s conversations, messages with the answers to them, memberships, nodes, profile and feedback and takes name and words out of '
  'their log rows; what they used and spent stays counted, without them. They stay signed up.';

revoke execute on function private.forget_answers(uuid) from public, anon, authenticated, service_role;
