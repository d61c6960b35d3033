-- Purpose: thins settled turns, deletes old logs, and quarantines spooled records that cannot be booked.
-- Affects: public.thin_turns(), public.purge_logs(), public.purge_api_keys(), public.quarantine_spooled()
-- Access: the service only; definer because logs and write-ahead rows are not granted.

create function public.thin_turns(max_rows integer default 5000) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_thinned integer;
begin
  -- A turn of several attempts keeps its routes: an attempt that lost its lease may still be booked by their prices.
  update private.turns as r
    set is_thin = true, question = null, metadata = '{}', request_id = null, requested_model = null, agent_type = null,
        replaces = null, history_left_out = null,
        routes = case when r.tries > 1 then r.routes when r.idempotency_key is null then '[]' else coalesce((
          select jsonb_build_array(e.route - '{pricing,capabilities,base_url,has_key}'::text[])
          from jsonb_array_elements(r.routes) with ordinality as e (route, place)
          left join public.chat_logs as l on l.turn_id = r.id
          order by (e.route ->> 'identifier' = l.model_identifier) is true desc, e.place limit 1), '[]') end
    where r.id = any (array(
      select t.id from private.turns as t
      where t.state = 'settled' and not t.is_thin and t.finished_at < now() - interval '1 hour'
      order by t.finished_at limit least(greatest(max_rows, 1), 50000) for update skip locked));
  get diagnostics v_thinned = row_count;
  return v_thinned;
end
$$;
comment on function public.thin_turns(integer) is
  'Removes from up to max_rows write-ahead rows, settled for an hour, what their log rows hold or a running turn '
  'alone needs. Keys still replay. Returns the number.';
revoke execute on function public.thin_turns from public, anon, authenticated, service_role;
grant execute on function public.thin_turns(integer) to service_role;

create function public.purge_logs(retention_days integer, batch_size integer default 5000) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_before timestamptz := now() - make_interval(hours => 24 * least(retention_days, 36500));
  v_turns uuid[];
  v_purged integer;
begin
  if (retention_days >= 1) is not true then
    perform private.refuse('PT422', 'validation_failed', 'Logs are kept for at least one day.');
  end if;
  -- Locked rows are skipped and left for the next run.
  v_turns := array(
    select l.turn_id from public.chat_logs as l
    where l.created_at < v_before
      and not exists (select 1 from private.turns as r where r.id = l.turn_id and r.state = 'started')
      and private.is_counted(l)
    order by l.created_at, l.id limit least(greatest(batch_size, 1), 50000) for update of l skip locked);
  delete from private.turns as r
    where r.id in (select c.id from private.turns as c
                   where c.id = any (v_turns) and c.state <> 'started' for update skip locked);
  -- A turn whose write-ahead row is locked is being retried or finished.
  delete from public.chat_logs as l
    where l.turn_id = any (v_turns) and not exists (select 1 from private.turns as r where r.id = l.turn_id);
  get diagnostics v_purged = row_count;
  return v_purged;
end
$$;
comment on function public.purge_logs(integer, integer) is
  'Deletes up to batch_size log rows that began more than retention_days times 24 hours ago, oldest first, with '
  'their write-ahead rows and idempotency keys. Keeps turns that are open or not in usage_daily. Returns the number.';
revoke execute on function public.purge_logs from public, anon, authenticated, service_role;
grant execute on function public.purge_logs(integer, integer) to service_role;

create function public.purge_api_keys(max_rows integer default 5000) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_purged integer;
begin
  delete from public.api_keys as k
    where k.id = any (array(
      select d.id from public.api_keys as d
      where d.client_id is null and least(d.revoked_at, d.expires_at) < now() - interval '90 days'
      order by d.id limit least(greatest(max_rows, 1), 50000) for update skip locked));
  get diagnostics v_purged = row_count;
  return v_purged;
end
$$;
comment on function public.purge_api_keys(integer) is
  'Deletes up to max_rows API keys that were revoked or expired 90 days ago. Returns the number.';
revoke execute on function public.purge_api_keys from public, anon, authenticated, service_role;
grant execute on function public.purge_api_keys(integer) to service_role;

create function public.quarantine_spooled(
  object_key text, reason text, record text default null, user_id uuid default null,
  spooled_at timestamptz default null, kept_key text default null) returns void
  language sql volatile security definer set search_path = '' as $$
  -- A later call replaces an earlier one. A record that was spooled within one lease after the deletion may belong to a
  -- turn from before it. The record of a forgotten turn, whose id is in the object's name, is not kept.
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
comment on function public.quarantine_spooled(text, text, text, uuid, timestamptz, text) is
  'Quarantines a spooled object; safe to repeat. user_id owns the record and spooled_at is its time; without them, '
  'or when the owner''s text was deleted later, no record is kept. kept_key is where the object was moved to.';
revoke execute on function public.quarantine_spooled from public, anon, authenticated, service_role;
grant execute on function public.quarantine_spooled(text, text, text, uuid, timestamptz, text) to service_role;
