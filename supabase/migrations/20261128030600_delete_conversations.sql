-- Purpose: the owner of a conversation deletes it with every word of it; what was used and spent stays counted.
-- Affects: functions public.delete_conversation(), public.quarantine_spooled() (replaced)
-- Access: signed-in people for conversations they own; definer because logs and write-ahead rows are granted to nobody.

create function public.delete_conversation(conversation_id uuid) returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '10s'
as $$
declare
  v_user_id uuid := (select auth.uid());
  v_id uuid := delete_conversation.conversation_id;
  v_owner_id uuid;
  v_people uuid[];
  v_turns uuid[];
begin
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to delete a conversation.');
  end if;
  -- Deletions run one at a time and never beside a sweep, as delete_my_data does.
  perform pg_advisory_xact_lock(hashtextextended('private.sweep_turns', 0));
  select c.user_id into v_owner_id from public.llm_conversations as c
    join public.conversation_members as m on m.conversation_id = c.id and m.user_id = v_user_id
    where c.id = v_id;
  if v_owner_id is null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  elsif v_owner_id <> v_user_id then
    perform private.refuse('PT403', 'forbidden', 'Only its owner deletes a conversation. A member may leave it.');
  end if;
  v_people := array(
    select m.user_id from public.conversation_members as m where m.conversation_id = v_id
    union select m.user_id from public.messages as m where m.conversation_id = v_id
    union select l.user_id from public.chat_logs as l where l.conversation_id = v_id);
  -- Before any other row: the deletion of one of these accounts then waits here, or this waits for it.
  perform 1 from auth.users as u where u.id = any (v_people) order by u.id for key share;
  -- A turn that is being admitted holds its person's lock, shared: its row is seen below, or it finds no conversation.
  perform pg_advisory_xact_lock(hashtextextended('private.forget:' || p.id, 0))
    from (select u.id from unnest(v_people) as u (id) where u.id is not null order by u.id) as p;
  -- The order of a finish: write-ahead rows, the conversation, log rows.
  v_turns := array(select r.id from private.turns as r
    where r.user_id = any (v_people) and r.conversation_id = v_id order by r.id for update);
  perform private.forget_turns(v_turns);
  perform 1 from public.llm_conversations as c where c.id = v_id for update;
  v_turns := array(
    select unnest(v_turns)
    union select l.turn_id from public.chat_logs as l where l.conversation_id = v_id
    union select m.turn_id from public.messages as m where m.conversation_id = v_id and m.turn_id is not null);
  update public.chat_logs as l
    set question = null, response = null, request_id = null, requested_model = null, unresolved_model = null, conversation_id = null,
        escalation_metadata = null, tools_used = '[]', metadata = '{}'
    where l.turn_id = any (v_turns);
  delete from public.feedback as f where f.turn_id = any (v_turns) and num_nonnulls(f.rating, f.sentiment) = 0;
  update public.feedback as f set note = null where f.turn_id = any (v_turns) and f.note is not null;
  delete from private.spool_quarantine as q using unnest(v_turns) as t (id)
    where position(t.id::text in q.object_key) > 0 or position(t.id::text in q.record) > 0;
  delete from public.llm_conversations as c where c.id = v_id;
end
$$;
comment on function public.delete_conversation(uuid) is
  'Deletes a conversation of the caller with its messages and members, and takes its words out of log rows, '
  'write-ahead rows, quarantined records and notes of feedback. Use, cost and ratings stay. A turn that runs books its '
  'cost without words. 404 for strangers, 403 for members who do not own it.';

create or replace function public.quarantine_spooled(
  object_key text, reason text, record text default null, user_id uuid default null,
  spooled_at timestamptz default null, kept_key text default null) returns void
  language sql volatile security definer set search_path = ''
as $$
  -- The latest call wins. A record spooled within a lease's length after its person was forgotten may be of a turn that
  -- began before; the record of a forgotten turn, which its object's name carries, is never kept.
  insert into private.spool_quarantine as q (object_key, reason, record, user_id, kept_key)
  select quarantine_spooled.object_key, quarantine_spooled.reason,
    case when u.id is not null and not exists (
        select 1 from private.forgotten_people as f
        where f.user_id = u.id and (quarantine_spooled.spooled_at > f.forgotten_at + interval '15 minutes') is not true)
      and not exists (select 1 from private.turns as r where r.is_forgotten
        and r.id = substring(quarantine_spooled.object_key from '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')::uuid)
      then quarantine_spooled.record end,
    u.id, quarantine_spooled.kept_key
  from (select 1) as one left join auth.users as u on u.id = quarantine_spooled.user_id
  on conflict on constraint spool_quarantine_pkey do update
    set reason = excluded.reason, record = excluded.record, user_id = excluded.user_id, kept_key = excluded.kept_key
$$;

revoke execute on function public.delete_conversation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation(uuid) to authenticated;
