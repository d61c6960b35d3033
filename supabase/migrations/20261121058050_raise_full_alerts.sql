-- Purpose: a cap is told as reached when what is left of it pays no turn any more.
-- Affects: function public.raise_cost_alerts()
-- Access: the service only, as before.

create or replace function public.raise_cost_alerts(daily_usd numeric default null, monthly_usd numeric default null) returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_today timestamp := date_trunc('day', now() at time zone 'utc');
  v_month timestamp := date_trunc('month', now() at time zone 'utc');
  v_raised integer;
begin
  -- The periods before the current ones as well: a turn may be booked after midnight on the day it began.
  with used as (
    select c.* from public.usage_counters as c
    where (c.period = 'day' and c.period_start in (v_today::date, (v_today - interval '1 day')::date))
      or (c.period = 'month' and c.period_start in (v_month::date, (v_month - interval '1 month')::date))
  ), measured as (
    select u.scope, u.period, u.period_start, m.kind, m.amount, m.cap,
      -- A reservation is more than its turn will cost, so turns are refused before a cap is spent to the last digit.
      m.kind = 'cost' and u.requests >= 3 and m.cap - m.amount < m.amount / u.requests as is_used_up
    from used as u cross join lateral private.caps_in(u.scope) as caps
    cross join lateral (values
      ('cost', u.spent_usd, case u.period when 'day' then caps.daily_cost_usd else caps.monthly_cost_usd end),
      ('requests', u.requests::numeric, case u.period when 'day' then caps.daily_requests::numeric end)
    ) as m (kind, amount, cap)
    where m.cap > 0
  ), crossed as (
    select m.scope, m.period, m.period_start, m.kind || ' ' || p.percent || '%' as threshold, m.amount, m.cap
    from measured as m cross join (values (50), (80), (100)) as p (percent)
    where m.amount * 100 >= m.cap * p.percent or m.is_used_up
    union all
    select u.scope, u.period, u.period_start, 'cost ' || trim_scale(a.usd) || ' USD', u.spent_usd, a.usd
    from used as u join (values ('day', round(daily_usd, 9)), ('month', round(monthly_usd, 9))) as a (period, usd)
      on a.period = u.period
    where u.scope = 'global' and a.usd > 0 and u.spent_usd >= a.usd
  )
  -- Sorted, so that two runs at once wait for each other and never in a circle.
  insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap)
    select c.scope, c.period, c.period_start, c.threshold, c.amount, c.cap from crossed as c
    order by c.scope, c.period, c.period_start, c.threshold
    on conflict on constraint cost_alerts_scope_period_period_start_threshold_key do nothing;
  get diagnostics v_raised = row_count;
  return v_raised;
end
$$;
comment on function public.raise_cost_alerts(numeric, numeric) is
  'Adds a row for every 50, 80 and 100 % of a cap that this or the last day or month has reached, and for daily_usd and '
  'monthly_usd spent by all together; returns how many are new. A cap of money whose rest is less than the period''s mean turn (of three or '
  'more) counts as reached to 100 %. A cap that is null or zero has no thresholds.';
