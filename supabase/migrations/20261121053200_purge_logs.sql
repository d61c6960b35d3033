-- Purpose: the words of old turns go, what they used stays in the roll-up.
-- Affects: functions private.is_counted(), public.purge_logs()
-- Access: the service only; definer because nobody may delete logs or write-ahead rows.

create function private.is_counted(p_log public.chat_logs) returns boolean
  language sql stable security invoker set search_path = ''
as $$
  -- Two lookups, because an index is not asked for "is not distinct from".
  select case when p_log.user_id is null
    then exists (select 1 from public.usage_daily as d where d.user_id is null
      and (d.day, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.day, n.provider, n.model_identifier, n.agent_type, n.endpoint))
    else exists (select 1 from public.usage_daily as d where d.user_id = p_log.user_id
      and (d.day, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.day, n.provider, n.model_identifier, n.agent_type, n.endpoint)) end
  from private.daily_of(p_log, 1) as n
$$;
comment on function private.is_counted(public.chat_logs) is 'Whether the roll-up has the row in which this log row is counted.';

create function public.purge_logs(retention_days integer, batch_size integer default 5000) returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before timestamptz := now() - make_interval(hours => 24 * least(retention_days, 36500));
  v_turns uuid[];
  v_purged integer;
begin
  if (retention_days >= 1) is not true then
    perform private.refuse('PT422', 'validation_failed', 'Logs are kept for at least one day.');
  end if;
  -- Nothing here waits for anybody: a row that is in other hands is left for the next run.
  v_turns := array(
    select l.turn_id from public.chat_logs as l
    where l.created_at < v_before
      and not exists (select 1 from private.turns as r where r.id = l.turn_id and r.state = 'started')
      and private.is_counted(l)
    order by l.created_at, l.id limit least(greatest(batch_size, 1), 50000) for update of l skip locked);
  delete from private.turns as r
    where r.id in (select c.id from private.turns as c
                   where c.id = any (v_turns) and c.state <> 'started' for update skip locked);
  -- Whose write-ahead row stayed is being retried or finished right now.
  delete from public.chat_logs as l
    where l.turn_id = any (v_turns) and not exists (select 1 from private.turns as r where r.id = l.turn_id);
  get diagnostics v_purged = row_count;
  return v_purged;
end
$$;
comment on function public.purge_logs(integer, integer) is
  'Deletes up to batch_size log rows that began more than retention_days times 24 hours ago, oldest first, with their '
  'write-ahead rows (their idempotency keys are forgotten); never a turn that is open or not in usage_daily. Returns how many.';
revoke execute on function private.is_counted(public.chat_logs), public.purge_logs(integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.purge_logs(integer, integer) to service_role;
