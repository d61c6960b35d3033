-- Purpose: finished days of the log for Parquet files outside of the database.
-- Affects: private.lake_changes, public.lake_days(), public.lake_page(), public.lake_written()
-- Access: the service only; definer because logs and profiles are not granted.

create table private.lake_changes (
  id bigint generated always as identity constraint lake_changes_pkey primary key,
  day date not null
);
comment on table private.lake_changes is
  'UTC days of the log that changed after their end, so that the step export writes their files again. Several rows '
  'may have the same day: a row for each change needs no lock.';
comment on column private.lake_changes.day is 'The UTC day of chat_logs.created_at.';

alter table private.lake_changes enable row level security;
revoke all on private.lake_changes from public, anon, authenticated, service_role;

create function private.note_lake_change() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'INSERT' then
    insert into private.lake_changes (day) values ((old.created_at at time zone 'utc')::date);
  end if;
  if tg_op = 'INSERT' or (tg_op = 'UPDATE' and (new.created_at at time zone 'utc')::date
      <> (old.created_at at time zone 'utc')::date) then
    insert into private.lake_changes (day) values ((new.created_at at time zone 'utc')::date);
  end if;
  return null;
end
$$;
comment on function private.note_lake_change() is
  'Trigger: notes the day of a log row that changed after its day. Definer, because lake_changes is not granted.';
revoke execute on function private.note_lake_change from public, anon, authenticated, service_role;

-- The conditions keep turns of today, which are nearly all, from calling the function.
create trigger chat_logs_note_late_row after insert on public.chat_logs
  for each row when (new.created_at < date_trunc('day', now(), 'utc')) execute function private.note_lake_change();
create trigger chat_logs_note_changed_row after update on public.chat_logs
  for each row when (least(old.created_at, new.created_at) < date_trunc('day', now(), 'utc'))
  execute function private.note_lake_change();
create trigger chat_logs_note_deleted_row after delete on public.chat_logs
  for each row when (old.created_at < date_trunc('day', now(), 'utc')) execute function private.note_lake_change();

create function private.note_consent_change() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if tg_table_name = 'user_llm_profiles' then
    insert into private.lake_changes (day)
      select (l.created_at at time zone 'utc')::date from public.chat_logs as l
      where l.user_id = coalesce(new.user_id, old.user_id)
      union
      select (l.created_at at time zone 'utc')::date from public.chat_logs as l
      where l.conversation_id in (select m.conversation_id from public.messages as m
        where m.user_id = coalesce(new.user_id, old.user_id));
  else
    insert into private.lake_changes (day)
      select distinct (l.created_at at time zone 'utc')::date from public.chat_logs as l
      where l.conversation_id = new.id;
  end if;
  return null;
end
$$;
comment on function private.note_consent_change() is
  'Trigger: notes the days of all turns whose words may leave the database now, or may not any more: those of the '
  'user, and those in conversations with words of the user. Definer, because lake_changes is not granted.';
revoke execute on function private.note_consent_change from public, anon, authenticated, service_role;

create trigger user_llm_profiles_note_consent after insert on public.user_llm_profiles
  for each row when (new.allows_training) execute function private.note_consent_change();
create trigger user_llm_profiles_note_changed_consent after update of allows_training on public.user_llm_profiles
  for each row when (new.allows_training is distinct from old.allows_training)
  execute function private.note_consent_change();
create trigger user_llm_profiles_note_deleted_consent after delete on public.user_llm_profiles
  for each row when (old.allows_training) execute function private.note_consent_change();
create trigger llm_conversations_note_changed_consent after update of allows_training on public.llm_conversations
  for each row when (new.allows_training is distinct from old.allows_training)
  execute function private.note_consent_change();

create function public.lake_days(known date[]) returns table (day date, changes bigint[])
  language plpgsql volatile security definer set search_path = '' as $$
declare
  -- A transaction that began before midnight may end after it.
  v_end date := (now() at time zone 'utc' - interval '1 hour')::date;
  v_begin date := (select (min(l.created_at) at time zone 'utc')::date from public.chat_logs as l);
begin
  delete from private.lake_changes as c
    using (select k.day, max(k.id) as last from private.lake_changes as k group by k.day) as newest
    where c.day = newest.day and c.id < newest.last;
  return query
    select coalesce(d.day, c.day), coalesce(c.ids, '{}')
    from (select v_begin + g.n as day from generate_series(0, v_end - 1 - v_begin) as g (n)
          where v_begin + g.n <> all (known) and exists (select 1 from public.chat_logs as l
            where l.created_at >= (v_begin + g.n)::timestamp at time zone 'utc'
              and l.created_at < (v_begin + g.n + 1)::timestamp at time zone 'utc')) as d
    full join (select k.day, array_agg(k.id) as ids from private.lake_changes as k where k.day < v_end
               group by k.day) as c on c.day = d.day
    order by 1;
end
$$;
comment on function public.lake_days(date[]) is
  'The UTC days that must be written: ended an hour ago, and either not among known or changed since they were '
  'written. changes are the ids to pass to lake_written. A day without rows any more is among them.';
revoke execute on function public.lake_days from public, anon, authenticated, service_role;
grant execute on function public.lake_days(date[]) to service_role;

create function public.lake_written(changes bigint[]) returns void
  language sql volatile security definer set search_path = '' as $$
  delete from private.lake_changes as c where c.id = any (changes)
$$;
comment on function public.lake_written(bigint[]) is
  'Removes the noted changes with these ids, because the files of their day have them.';
revoke execute on function public.lake_written from public, anon, authenticated, service_role;
grant execute on function public.lake_written(bigint[]) to service_role;

create function public.lake_page(of_day date, after_us bigint default null, after_id bigint default 0,
  max_rows integer default 2000) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_array(
      p.id, p.turn_id, p.request_id, p.user_id, p.conversation_id, p.endpoint, p.status,
      case when p.may_leave and p.question not like 'enc:v1:%' then p.question end,
      case when p.may_leave and p.response not like 'enc:v1:%' then p.response end,
      p.tools_used::text, p.input_tokens, p.output_tokens, p.cached_tokens, p.reasoning_tokens, p.usage_source,
      p.cost_usd::text, p.model, p.provider, p.model_identifier, case when p.may_leave then p.requested_model end,
      p.agent_type, p.domain_classification, p.user_skill_assessment, p.escalation_suggested,
      case when p.may_leave and not p.escalation_metadata ? 'encrypted' then p.escalation_metadata::text end,
      p.context_size_tokens, p.duration_ms, p.ttft_ms,
      p.attempts::text, p.finish_reason, p.error_code, p.user_id_hash,
      case when p.may_leave and not p.metadata ? 'encrypted' then p.metadata::text end,
      p.domain_confidence::text, p.route_alias, p.route_arm,
      p.history_left_out, p.route_reason, case when p.may_leave then p.unresolved_model end, p.at_us, p.api_key_id,
      p.rating, p.cached_cost_usd::text, p.output_cost_usd::text, p.reasoning_cost_usd::text, p.asked_agent,
      p.history_shown, p.cache_write_tokens, p.preset_version, p.saved_usd::text) order by p.created_at, p.id), '[]')
  from (
    select l.*, (extract(epoch from l.created_at) * 1000000)::bigint as at_us,
      coalesce((select u.allows_training from public.user_llm_profiles as u where u.user_id = l.user_id), false)
        and (select c.allows_training from public.llm_conversations as c where c.id = l.conversation_id)
          is distinct from false
        and private.authors_consent(l.conversation_id) as may_leave
    from public.chat_logs as l
    where l.created_at >= of_day::timestamp at time zone 'utc'
      and l.created_at < (of_day + 1)::timestamp at time zone 'utc'
      and (after_us is null
        or (l.created_at, l.id) > (timestamptz 'epoch' + after_us * interval '1 microsecond', after_id))
    order by l.created_at, l.id limit least(greatest(max_rows, 1), 5000)) as p
$$;
comment on function public.lake_page(date, bigint, bigint, integer) is
  'One page of a UTC day''s log rows by created_at and id, each an array of the columns of chat_logs in their order. '
  'Amounts are texts, created_at is in microseconds since 1970. Words (question, response, escalation_metadata, '
  'metadata, requested_model, unresolved_model) are null unless the user, every author in the conversation and its '
  'owner allow training; encrypted ones always are.';
revoke execute on function public.lake_page from public, anon, authenticated, service_role;
grant execute on function public.lake_page(date, bigint, bigint, integer) to service_role;
