-- Purpose: deletes users' text: on request, with the account, or with a conversation.
-- Affects: private.forgotten_people, private.spool_quarantine, public.delete_my_data(), public.delete_conversation()
-- Access: signed-in users for their own data; definer because logs and write-ahead rows are not granted.

create table private.forgotten_people (
  user_id uuid constraint forgotten_people_pkey primary key,
  forgotten_at timestamptz not null default clock_timestamp(),
  is_complete boolean not null default true
);
comment on table private.forgotten_people is
  'Users whose text was deleted, with or without the account, so that text spooled before the deletion is not stored.';
comment on column private.forgotten_people.user_id is 'No foreign key, because most accounts are deleted.';
comment on column private.forgotten_people.forgotten_at is 'The last time, by the database''s clock.';
comment on column private.forgotten_people.is_complete is
  'False while the deletion may have skipped a write-ahead row that a finish had locked; sweep_turns checks again.';

create index forgotten_people_user_id_idx on private.forgotten_people (user_id) where not is_complete;

alter table private.forgotten_people enable row level security;
revoke all on private.forgotten_people from public, anon, authenticated, service_role;

create table private.spool_quarantine (
  object_key text constraint spool_quarantine_pkey primary key
    constraint spool_quarantine_object_key_check check (char_length(object_key) between 1 and 1024),
  reason text not null constraint spool_quarantine_reason_check check (char_length(reason) between 1 and 200),
  record text constraint spool_quarantine_record_check check (char_length(record) <= 2097152),
  user_id uuid constraint spool_quarantine_user_id_fkey references auth.users (id) on delete cascade,
  kept_key text
    constraint spool_quarantine_kept_key_check check (char_length(kept_key) between 1 and 1024),
  created_at timestamptz not null default now()
);
comment on table private.spool_quarantine is
  'Spooled objects that the ledger could not book, for an operator to inspect; written by quarantine_spooled.';
comment on column private.spool_quarantine.reason is
  'too_large, not_json, wrong_version, wrong_entry, unknown_turn (never begun in this database), or refused (by '
  'chat_finish).';
comment on column private.spool_quarantine.record is
  'The object''s text, redacted; null when it was too large, when LOG_CONTENT forbids it, when its owner is unknown, '
  'or when the owner''s text was deleted after it was spooled.';
comment on column private.spool_quarantine.user_id is
  'Owner of the text; the row is deleted with the owner''s text. Null when unknown.';
comment on column private.spool_quarantine.kept_key is
  'Where the object is now in the same store; null when it is gone.';

create index spool_quarantine_user_id_idx on private.spool_quarantine (user_id);

alter table private.spool_quarantine enable row level security;
revoke all on private.spool_quarantine from public, anon, authenticated, service_role;

create function private.record_forgotten(p_user_id uuid, p_is_complete boolean) returns void
  language sql volatile security invoker set search_path = '' as $$
  insert into private.forgotten_people (user_id, is_complete) values (p_user_id, p_is_complete)
    on conflict on constraint forgotten_people_pkey do update
      set forgotten_at = excluded.forgotten_at, is_complete = excluded.is_complete
$$;
comment on function private.record_forgotten(uuid, boolean) is 'Records that a user''s text was deleted now.';
revoke execute on function private.record_forgotten from public, anon, authenticated, service_role;

create function private.anonymised_model(p_identifier text, p_user_id uuid) returns text
  language sql stable security invoker set search_path = '' as $$
  select case when p_identifier ~ '^client:[0-9]{1,18}:' and not exists (
      select 1 from public.client_nodes as n where n.owner_id is distinct from p_user_id
        and n.id = case when p_identifier ~ '^client:[0-9]{1,18}:' then split_part(p_identifier, ':', 2)::bigint end)
    then 'client:' || split_part(p_identifier, ':', 2) else p_identifier end
$$;
comment on function private.anonymised_model(text, uuid) is
  'The identifier, cut to client:<node> when the node is the user''s own or deleted, because its owner chose the '
  'model''s name.';
revoke execute on function private.anonymised_model from public, anon, authenticated, service_role;

create function private.anonymised_attempts(p_attempts jsonb, p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select coalesce(jsonb_agg(case when a.attempt ? 'identifier'
      then a.attempt || jsonb_build_object('identifier',
        private.anonymised_model(a.attempt ->> 'identifier', p_user_id))
      else a.attempt end order by a.place), '[]')
  from jsonb_array_elements(case jsonb_typeof(p_attempts) when 'array' then p_attempts else '[]' end)
    with ordinality as a (attempt, place)
$$;
comment on function private.anonymised_attempts(jsonb, uuid) is
  'The attempts with identifiers as by anonymised_model().';
revoke execute on function private.anonymised_attempts from public, anon, authenticated, service_role;

create function private.anonymised_result(p_result private.turn_result, p_user_id uuid) returns private.turn_result
  language plpgsql stable security invoker set search_path = '' as $$
begin
  p_result.identifier := private.anonymised_model(p_result.identifier, p_user_id);
  p_result.attempts := private.anonymised_attempts(p_result.attempts, p_user_id);
  return p_result;
end
$$;
comment on function private.anonymised_result(private.turn_result, uuid) is
  'The result with identifiers as by anonymised_model().';
revoke execute on function private.anonymised_result from public, anon, authenticated, service_role;

create function private.forget_turns(p_ids uuid[]) returns void
  language sql volatile security invoker set search_path = '' as $$
  delete from private.insight_replays as k where k.turn_id = any (p_ids);
  update private.turns as r
    set question = null, metadata = '{}', requested_model = null, request_id = null, idempotency_key = null,
        body_hash = null, is_forgotten = true,
        -- A running turn needs its routes' identifiers for pricing.
        routes = (select coalesce(jsonb_agg((e.route - '{base_url,label}'::text[]) || case
              when r.state = 'started' or u.identifier is not distinct from e.route ->> 'identifier' then '{}'
              else jsonb_build_object('identifier', u.identifier, 'upstream_id', null) end order by e.place), '[]')
          from jsonb_array_elements(r.routes) with ordinality as e (route, place)
          cross join lateral (select private.anonymised_model(e.route ->> 'identifier', r.user_id) as identifier) as u)
    where r.id = any (p_ids);
  update private.lost_attempt_costs as s set attempts = private.anonymised_attempts(s.attempts, r.user_id)
    from private.turns as r where r.id = s.turn_id and r.id = any (p_ids);
  delete from private.turn_pieces as p where p.turn_id = any (p_ids)
$$;
comment on function private.forget_turns(uuid[]) is
  'Removes users'' text, kept answers, kept streams and node addresses from write-ahead rows; cost and state stay. '
  'Names of the user''s own models are removed only after the turn has ended, so the end of a forgotten turn calls '
  'this again.';
revoke execute on function private.forget_turns from public, anon, authenticated, service_role;

create function private.forget_answers(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = '' as $$
  delete from public.messages as a using public.messages as q
    where q.user_id = p_user_id and q.role = 'user' and a.turn_id = q.turn_id and a.role = 'assistant';
  delete from public.message_versions as a using public.message_versions as q
    where q.user_id = p_user_id and q.role = 'user' and a.turn_id = q.turn_id and a.role = 'assistant'
$$;
comment on function private.forget_answers(uuid) is
  'Deletes the answers to a user''s questions, because answers repeat questions.';
revoke execute on function private.forget_answers from public, anon, authenticated, service_role;

create function private.forget_words(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = '' as $$
  update public.chat_logs as l
    set user_id = null, question = null, response = null, request_id = null, requested_model = null,
        unresolved_model = null,
        conversation_id = null, api_key_id = null, user_id_hash = null, escalation_metadata = null,
        tools_used = '[]', metadata = '{}',
        model = case when private.anonymised_model(l.model_identifier,
          p_user_id) is not distinct from l.model_identifier
          then l.model end,
        model_identifier = private.anonymised_model(l.model_identifier, p_user_id),
        route_arm = private.anonymised_model(l.route_arm, p_user_id),
        attempts = private.anonymised_attempts(l.attempts, p_user_id)
    where l.user_id = p_user_id;
  delete from public.conversation_shares as s where s.authors @> array[p_user_id];
  delete from public.conversation_invitations as i
    using auth.users as u where u.id = p_user_id and i.email = lower(u.email);
  delete from public.ai_insights as i  -- answers for all of a node that the user shared
    where i.model like 'client:%' and private.anonymised_model(i.model, p_user_id) <> i.model;
  update public.usage_hourly as d  -- counts of purged rows
    set user_id = null, model_identifier = private.anonymised_model(d.model_identifier, p_user_id)
      where d.user_id = p_user_id;
  delete from private.spool_quarantine as q where q.user_id = p_user_id
$$;
comment on function private.forget_words(uuid) is
  'Removes the user, the text and the names of the user''s own models from log rows, and deletes quarantined '
  'records, shares with words of the user, and invitations to the user. Usage and cost stay.';
revoke execute on function private.forget_words from public, anon, authenticated, service_role;

create function private.forget_deleted_person() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- A running finish holds its row and waits for this deletion, so waiting for the row would deadlock. The row is
  -- skipped: the finish will find the user deleted and write no text.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = old.id for update skip locked));
  perform private.record_forgotten(old.id, p_is_complete => false);
  perform private.forget_words(old.id);
  perform private.forget_answers(old.id);
  delete from public.usage_limits as l where l.scope = old.id::text;
  delete from public.cost_alerts as a where a.scope = old.id::text and a.notified_at is null;
  return old;
end
$$;
comment on function private.forget_deleted_person() is 'Trigger: deletes a user''s text where no foreign key does.';
revoke execute on function private.forget_deleted_person from public, anon, authenticated, service_role;

create trigger users_forget_deleted_person before delete on auth.users
  for each row execute function private.forget_deleted_person();

create function public.delete_my_data() returns void
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '10s'
as $$
declare
  v_user_id uuid := (select auth.uid());
begin
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to delete your data.');
  end if;
  perform private.refuse_apps();
  -- One deletion at a time, and not during a sweep: two users in each other's conversations would deadlock.
  perform pg_advisory_xact_lock(hashtextextended('private.sweep_turns', 0));
  -- chat_begin holds this lock as shared. So the statements below see the row of every turn that it has admitted, and
  -- later turns begin after this deletion.
  perform pg_advisory_xact_lock(hashtextextended('private.forget:' || v_user_id, 0));
  perform private.record_forgotten(v_user_id, p_is_complete => true);
  -- The lock order of a finish: write-ahead rows first. A running finish ends before this, or finds its turn forgotten.
  perform private.forget_turns(array(
    select r.id from private.turns as r where r.user_id = v_user_id order by r.id for update));
  delete from public.llm_conversations as c where c.user_id = v_user_id;
  perform private.forget_answers(v_user_id);
  delete from public.messages as m where m.user_id = v_user_id;
  delete from public.message_versions as v where v.user_id = v_user_id;
  delete from public.conversation_files as k where k.user_id = v_user_id;
  delete from public.conversation_members as m where m.user_id = v_user_id;
  delete from public.user_llm_profiles as p where p.user_id = v_user_id;
  delete from public.feedback as f where f.user_id = v_user_id;
  delete from public.ai_insights as i where i.user_id = v_user_id;
  perform private.forget_words(v_user_id);
  delete from public.client_nodes as n where n.owner_id = v_user_id;
  delete from public.api_keys as k  -- an app that the user revoked stays revoked
    where k.user_id = v_user_id and (k.client_id is null or k.revoked_at is null);
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.delete_my_data() is
  'Deletes the caller''s conversations, messages with their answers, files, memberships, nodes, API keys, profile, '
  'feedback and cached answers, and removes the caller''s id and text from log rows. Usage and cost stay counted. The '
  'account stays.';
revoke execute on function public.delete_my_data from public, anon, authenticated, service_role;
grant execute on function public.delete_my_data() to authenticated;

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
  perform private.refuse_apps();
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
  -- Locked before all other rows, so that a deletion of one of these accounts waits here.
  perform 1 from auth.users as u where u.id = any (v_people) order by u.id for key share;
  -- chat_begin holds its user's lock as shared. So the statements below see the row of every turn that it has admitted,
  -- and later turns find no conversation.
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
    set question = null, response = null, request_id = null, requested_model = null, unresolved_model = null,
      conversation_id = null,
        escalation_metadata = null, tools_used = '[]', metadata = '{}'
    where l.turn_id = any (v_turns);
  delete from public.feedback as f where f.turn_id = any (v_turns) and num_nonnulls(f.rating, f.sentiment) = 0;
  update public.feedback as f set note = null where f.turn_id = any (v_turns) and f.note is not null;
  delete from private.spool_quarantine as q using unnest(v_turns) as t (id)
    where position(t.id::text in q.object_key) > 0 or position(t.id::text in q.record) > 0;
  perform private.forget_copies(v_id, v_user_id);
  delete from public.llm_conversations as c where c.id = v_id;
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.delete_conversation(uuid) is
  'Deletes a conversation of the caller with its messages and members, and removes its text from log rows, write- '
  'ahead rows, quarantined records, notes of feedback and copies of others. Usage, cost and ratings stay. A running '
  'turn books its cost without text. 404 for non-members, 403 for members who are not the owner.';
revoke execute on function public.delete_conversation from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation(uuid) to authenticated;
