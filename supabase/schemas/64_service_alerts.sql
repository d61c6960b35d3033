-- Purpose: alerts about failing and slow models and about refresh itself, and the end of alerts.
-- Affects: public.raise_service_alerts(), public.recover_alerts()
-- Access: the service only; the rows are those of cost_alerts.

create function private.service_troubles(p_error_percent numeric, p_first_content_seconds numeric,
  p_refresh_hours numeric) returns table (threshold text, amount numeric, cap numeric)
  language sql stable security invoker set search_path = '' as $$
  with models as (
    select coalesce(l.model_identifier, 'no model') as model, count(*) as turns, count(l.ttft_ms) as answers,
      round(100.0 * count(*) filter (where l.status in ('failed', 'partial') and private.is_model_fault(l.error_code))
        / count(*), 1) as error_percent,
      round((percentile_cont(0.95) within group (order by l.ttft_ms))::numeric / 1000, 1) as first_content_seconds
    from public.chat_logs as l where l.created_at >= now() - interval '1 hour'
      -- A model of a user's own node is no trouble of the service, and its name is the user's words.
      and (l.provider is distinct from 'client' or exists (
        select 1 from public.llm_models as k where k.identifier = l.model_identifier)) group by 1
  ), refreshed as (
    select round(extract(epoch from now() - max(r.finished_at) filter (where r.status = 'succeeded')) / 3600, 1)
      as hours
    from public.refresh_runs as r where not r.is_dry_run
  )
  select 'errors ' || trim_scale(p_error_percent) || '% ' || left(m.model, 200), m.error_percent, p_error_percent
    from models as m where p_error_percent > 0 and m.turns >= 20 and m.error_percent >= p_error_percent
  union all
  select 'latency ' || trim_scale(p_first_content_seconds) || ' s ' || left(m.model, 200), m.first_content_seconds,
      p_first_content_seconds
    from models as m
    where p_first_content_seconds > 0 and m.answers >= 20 and m.first_content_seconds >= p_first_content_seconds
  union all
  select 'refresh ' || trim_scale(p_refresh_hours) || ' h', r.hours, p_refresh_hours
    from refreshed as r where p_refresh_hours > 0 and r.hours >= p_refresh_hours
$$;
comment on function private.service_troubles(numeric, numeric, numeric) is
  'What is wrong now: models with 20 or more turns in the last hour of which p_error_percent failed, or whose slowest '
  'twentieth waited p_first_content_seconds for its first content; and the last successful refresh when it is '
  'p_refresh_hours old. A null or zero limit watches nothing.';
revoke execute on function private.service_troubles from public, anon, authenticated, service_role;

create function private.cost_troubles(p_anomaly_usd numeric, p_is_forecast boolean) returns table (
  scope text, period text, period_start date, threshold text, amount numeric, cap numeric, is_reached boolean)
  language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with spenders as (
    select 'global' as scope where p_anomaly_usd > 0
    union all
    select u.user_id::text from public.usage_hourly as u
    where p_anomaly_usd > 0 and u.hour > now() - interval '24 hours' and u.user_id is not null
    group by u.user_id having sum(u.cost_usd) >= p_anomaly_usd
  ), capped as (
    select c.scope, max(c.spent_usd / m.cap) as share
    from public.usage_counters as c cross join lateral private.scope_caps(c.scope) as l
    cross join lateral (select case c.period when 'day' then l.daily_cost_usd else l.monthly_cost_usd end as cap) as m
    where p_is_forecast and m.cap > 0 and c.spent_usd * 4 >= m.cap
      and c.period_start = date_trunc(c.period, now() at time zone 'utc')::date
    -- A forecast takes milliseconds, so the scopes nearest to their caps come first.
    group by c.scope order by 2 desc, 1 limit 200
  )
  select s.scope, 'day', (a.hour at time zone 'utc')::date, 'anomaly', max(a.cost_usd), max(a.median_usd), false
  from spenders as s cross join lateral private.anomalies_at(s.scope, now(), 24, p_anomaly_usd) as a
  group by 1, 3
  union all
  select c.scope, f.period, f.period_start, 'forecast', f.forecast_usd, f.cap_usd, f.spent_usd >= f.cap_usd
  from capped as c cross join lateral private.forecast_at(c.scope, now()) as f
  where f.is_enough_data and f.cap_usd > 0 and f.forecast_usd >= f.cap_usd;
end
$$;
comment on function private.cost_troubles(numeric, boolean) is
  'Scopes whose cost is unusual now: an hour of the last 24 that cost_anomalies() finds with the floor p_anomaly_usd, '
  'on the day of that hour; and with p_is_forecast a cap of which a quarter is spent, and which the forecast reaches '
  'before its period ends (is_reached: it has been). Null or zero watches no hours.';
revoke execute on function private.cost_troubles from public, anon, authenticated, service_role;

create function public.raise_service_alerts(error_percent numeric default null, first_content_seconds numeric
  default null, refresh_hours numeric default null, anomaly_usd numeric default null, is_forecast boolean default false)
  returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_raised integer;
begin
  insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap)
    select 'global', 'day', (now() at time zone 'utc')::date, t.threshold, t.amount, t.cap
    from private.service_troubles(error_percent, first_content_seconds, refresh_hours) as t
    union all
    select t.scope, t.period, t.period_start, t.threshold, t.amount, t.cap
    from private.cost_troubles(anomaly_usd, is_forecast) as t where not t.is_reached
    order by 1, 2, 3, 4
    on conflict on constraint cost_alerts_scope_period_period_start_threshold_is_recovery_key do nothing;
  get diagnostics v_raised = row_count;
  return v_raised;
end
$$;
comment on function public.raise_service_alerts(numeric, numeric, numeric, numeric, boolean) is
  'Adds an alert a UTC day for each model that fails (percent of its turns in the last hour) or is slow (seconds to '
  'the first content, the 95th percentile), and for the age of the last successful refresh in hours. Models with '
  'fewer than 20 turns in that hour have none. With anomaly_usd (the floor of cost_anomalies()) also for unusual '
  'hours of all users and of each, and with is_forecast for caps that cost_forecast() expects to be reached. Returns '
  'the number of new alerts. A null or zero limit watches nothing.';
revoke execute on function public.raise_service_alerts from public, anon, authenticated, service_role;
grant execute on function public.raise_service_alerts(numeric, numeric, numeric, numeric, boolean) to service_role;

create function public.recover_alerts(daily_usd numeric default null, monthly_usd numeric default null,
  error_percent numeric default null, first_content_seconds numeric default null, refresh_hours numeric default null,
  anomaly_usd numeric default null, is_forecast boolean default false)
  returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_today date := (now() at time zone 'utc')::date;
  v_recovered integer;
begin
  with crossed as materialized (
    select c.scope, c.period, c.period_start, c.threshold from private.crossed_thresholds(daily_usd, monthly_usd) as c
  ), troubles as materialized (
    select 'global' as scope, t.threshold, null as period
    from private.service_troubles(error_percent, first_content_seconds, refresh_hours) as t
    union all
    select t.scope, t.threshold, t.period from private.cost_troubles(anomaly_usd, is_forecast) as t
  ), ended as (
    update public.cost_alerts as a set recovered_at = now()
    where not a.is_recovery and a.recovered_at is null
      and a.period_start >= case a.period when 'day' then v_today - 1
        else (date_trunc('month', v_today) - interval '1 month')::date end
      and not exists (select 1 from crossed as c where (c.scope, c.period, c.period_start, c.threshold)
        = (a.scope, a.period, a.period_start, a.threshold))
      -- A trouble that lasts has a row for each day; none of them is over.
      and not exists (select 1 from troubles as t where (t.scope, t.threshold) = (a.scope, a.threshold)
        and coalesce(t.period, a.period) = a.period)
      and (a.threshold <> 'forecast' or a.period_start = date_trunc(a.period, v_today)::date)
      -- The caps of a deleted user are unknown.
      and (a.scope = 'global' or exists (select 1 from auth.users as u where u.id::text = a.scope))
    returning a.scope, a.period, a.period_start, a.threshold, a.amount, a.cap
  )
  insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap, is_recovery)
    -- One notice, also for a trouble that had a row on two days.
    select distinct on (e.scope, e.period, e.threshold) e.scope, e.period, e.period_start, e.threshold, e.amount,
      e.cap, true
    from ended as e order by e.scope, e.period, e.threshold, e.period_start desc
    on conflict on constraint cost_alerts_scope_period_period_start_threshold_is_recovery_key do nothing;
  get diagnostics v_recovered = row_count;
  return v_recovered;
end
$$;
comment on function public.recover_alerts(numeric, numeric, numeric, numeric, numeric, numeric, boolean) is
  'Marks alerts of the current and the previous period whose threshold is no longer crossed, and adds a recovery for '
  'each: a cap was raised, a model answers again, refresh succeeded, or cost is usual again. The end of a period is '
  'no recovery. The limits '
  'are those of raise_cost_alerts() and raise_service_alerts(). Returns the number of new recoveries.';
revoke execute on function public.recover_alerts from public, anon, authenticated, service_role;
grant execute on function public.recover_alerts(numeric, numeric, numeric, numeric, numeric, numeric, boolean)
  to service_role;
