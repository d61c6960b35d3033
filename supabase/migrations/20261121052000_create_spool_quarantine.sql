-- Purpose: spool records that cannot be booked are set aside with the reason, so that the others can go on.
-- Affects: table private.spool_quarantine; function public.quarantine_spooled()
-- Access: the service only writes, through the function; definer because the table is granted to nobody.

create table private.spool_quarantine (
  object_key text constraint spool_quarantine_pkey primary key
    constraint spool_quarantine_object_key_check check (char_length(object_key) between 1 and 1024),
  reason text not null constraint spool_quarantine_reason_check check (char_length(reason) between 1 and 200),
  record text constraint spool_quarantine_record_check check (char_length(record) <= 2097152),
  user_id uuid constraint spool_quarantine_user_id_fkey references auth.users (id) on delete cascade,
  created_at timestamptz not null default now()
);
comment on table private.spool_quarantine is
  'Objects of the spool that the ledger could not place, for a person to look at; written by refresh through quarantine_spooled.';
comment on column private.spool_quarantine.reason is
  'too_large, not_json, wrong_version, wrong_entry, unknown_turn (never begun in this database), or refused (by chat_finish).';
comment on column private.spool_quarantine.record is
  'The object''s text, redacted; null when it was too large, when LOG_CONTENT forbids it, or when its person is gone.';
comment on column private.spool_quarantine.user_id is 'Whose words it may hold: the row goes with them; null when it does not say, or they are gone.';
create index spool_quarantine_user_id_idx on private.spool_quarantine (user_id);
alter table private.spool_quarantine enable row level security;
revoke all on private.spool_quarantine from public, anon, authenticated, service_role;

create function public.quarantine_spooled(object_key text, reason text, record text default null, user_id uuid default null) returns void
  language sql volatile security definer set search_path = ''
as $$
  -- The latest says what is there now: a mended object that fails again comes with its own reason.
  insert into private.spool_quarantine as q (object_key, reason, record, user_id)
  select quarantine_spooled.object_key, quarantine_spooled.reason,
    case when quarantine_spooled.user_id is null or u.id is not null then quarantine_spooled.record end, u.id
  from (select 1) as one left join auth.users as u on u.id = quarantine_spooled.user_id
  on conflict on constraint spool_quarantine_pkey do update
    set reason = excluded.reason, record = excluded.record, user_id = excluded.user_id
$$;
comment on function public.quarantine_spooled(text, text, text, uuid) is
  'Sets a spool object aside, however often it is called; user_id is whose turn the record says it is, and without them it keeps no record.';

revoke execute on function public.quarantine_spooled(text, text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.quarantine_spooled(text, text, text, uuid) to service_role;
