-- Purpose: nothing that a person said is set aside without knowing whose it is, or after they asked for it to be deleted.
-- Affects: table private.spool_quarantine; function public.quarantine_spooled() (replaced)
-- Access: the service only writes, through the function; definer because the table is granted to nobody.

alter table private.spool_quarantine add column kept_key text
  constraint spool_quarantine_kept_key_check check (char_length(kept_key) between 1 and 1024);
comment on column private.spool_quarantine.kept_key is 'Where the object is now, in the same store; null when it is gone and record is all there is.';
comment on column private.spool_quarantine.record is
  'The object''s text, redacted; null when it was too large, when LOG_CONTENT forbids it, when it does not say whose it is, or when its person '
  'is gone or had their words deleted after it was spooled.';

drop function public.quarantine_spooled(text, text, text, uuid);
create function public.quarantine_spooled(
  object_key text, reason text, record text default null, user_id uuid default null, spooled_at timestamptz default null,
  kept_key text default null) returns void
  language sql volatile security definer set search_path = ''
as $$
  -- The latest says what is there now: a mended object that fails again comes with its own reason. What was spooled within a
  -- lease's length after its person was forgotten may be of a turn that began before.
  insert into private.spool_quarantine as q (object_key, reason, record, user_id, kept_key)
  select quarantine_spooled.object_key, quarantine_spooled.reason,
    case when u.id is not null and not exists (
        select 1 from private.forgotten_people as f
        where f.user_id = u.id and (quarantine_spooled.spooled_at > f.forgotten_at + interval '15 minutes') is not true)
      then quarantine_spooled.record end,
    u.id, quarantine_spooled.kept_key
  from (select 1) as one left join auth.users as u on u.id = quarantine_spooled.user_id
  on conflict on constraint spool_quarantine_pkey do update
    set reason = excluded.reason, record = excluded.record, user_id = excluded.user_id, kept_key = excluded.kept_key
$$;
comment on function public.quarantine_spooled(text, text, text, uuid, timestamptz, text) is
  'Sets a spool object aside, however often it is called; user_id is whose turn the record says it is, and spooled_at when. Without them, '
  'or from before they were forgotten, it keeps no record. kept_key is where the object itself was put.';

revoke execute on function public.quarantine_spooled(text, text, text, uuid, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.quarantine_spooled(text, text, text, uuid, timestamptz, text) to service_role;
