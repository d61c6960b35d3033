-- Purpose: thresholds that were crossed, one row for each scope, period and threshold, and one when it is over.
-- Affects: public.cost_alerts, public.raise_cost_alerts(), public.claim_cost_alerts(), public.settle_cost_alerts()
-- Access: users read their own, admins all; only the service's functions write.

create table public.cost_alerts (
  id bigint generated always as identity constraint cost_alerts_pkey primary key,
  scope text not null,
  period text not null constraint cost_alerts_period_check check (period in ('day', 'month')),
  period_start date not null,
  threshold text not null constraint cost_alerts_threshold_check check (char_length(threshold) <= 300),
  amount numeric(18, 9) not null,
  cap numeric(18, 9) not null,
  created_at timestamptz not null default now(),
  claimed_until timestamptz,
  notified_at timestamptz,
  is_recovery boolean not null default false,
  recovered_at timestamptz,
  constraint cost_alerts_scope_period_period_start_threshold_is_recovery_key
    unique (scope, period, period_start, threshold, is_recovery)
);
comment on table public.cost_alerts is 'A threshold that one scope''s use crossed in one UTC day or month.';
comment on column public.cost_alerts.scope is 'global, or a user''s id.';
comment on column public.cost_alerts.threshold is
  'cost 50%, 80% or 100% of the cap, the same for requests, or an amount for all users: cost 25 USD. Also errors 20% '
  'or latency 30 s with a model''s identifier, refresh 26 h, anomaly (an unusual hour) and forecast (of the period).';
comment on column public.cost_alerts.amount is
  'US dollars spent, turns admitted, percent of turns, seconds or hours, when the crossing was found.';
comment on column public.cost_alerts.cap is 'In the same unit: the cap or the threshold at that time.';
comment on column public.cost_alerts.claimed_until is
  'Until when no other run may deliver it; null when no run has tried.';
comment on column public.cost_alerts.notified_at is 'When the webhook accepted it; null before that.';
comment on column public.cost_alerts.is_recovery is
  'Whether the row says that the alert with the same threshold is over; amount and cap are those of the alert.';
comment on column public.cost_alerts.recovered_at is
  'When a run found the alert over; null before that, in recoveries, and when its period ended first.';

create index cost_alerts_pending_idx on public.cost_alerts (id) where notified_at is null;

alter table public.cost_alerts enable row level security;
revoke all on public.cost_alerts from public, anon, authenticated, service_role;
revoke all on sequence public.cost_alerts_id_seq from public, anon, authenticated, service_role;
grant select on public.cost_alerts to authenticated;
grant select on public.cost_alerts to service_role;

create policy cost_alerts_select_own on public.cost_alerts for select to authenticated
  using (scope = (select auth.uid())::text);
comment on policy cost_alerts_select_own on public.cost_alerts is 'Users see their own alerts.';
create policy cost_alerts_select_admin on public.cost_alerts for select to parley_admin using (true);
comment on policy cost_alerts_select_admin on public.cost_alerts is 'Admins see all.';

create function private.crossed_thresholds(p_daily_usd numeric, p_monthly_usd numeric) returns table (
  scope text, period text, period_start date, threshold text, amount numeric, cap numeric)
  language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_column
declare
  v_today timestamp := date_trunc('day', now() at time zone 'utc');
  v_month timestamp := date_trunc('month', now() at time zone 'utc');
begin
  -- Previous periods, too: a turn that ends after midnight is booked on the day it began.
  return query with used as (
    select c.* from public.usage_counters as c
    where (c.period = 'day' and c.period_start in (v_today::date, (v_today - interval '1 day')::date))
      or (c.period = 'month' and c.period_start in (v_month::date, (v_month - interval '1 month')::date))
  ), measured as (
    select u.scope, u.period, u.period_start, m.kind, m.amount, m.cap,
      -- Reservations exceed the cost, so turns are refused before a cap is fully spent.
      m.kind = 'cost' and u.requests >= 3 and m.cap - m.amount < m.amount / u.requests as is_used_up
    from used as u cross join lateral private.scope_caps(u.scope) as caps
    cross join lateral (values
      ('cost', u.spent_usd, case u.period when 'day' then caps.daily_cost_usd else caps.monthly_cost_usd end),
      ('requests', u.requests::numeric, case u.period when 'day' then caps.daily_requests::numeric end)
    ) as m (kind, amount, cap)
    where m.cap > 0
  )
  select m.scope, m.period, m.period_start, m.kind || ' ' || p.percent || '%', m.amount, m.cap
  from measured as m cross join (values (50), (80), (100)) as p (percent)
  where m.amount * 100 >= m.cap * p.percent or m.is_used_up
  union all
  select u.scope, u.period, u.period_start, 'cost ' || trim_scale(a.usd) || ' USD', u.spent_usd, a.usd
  from used as u join (values ('day', round(p_daily_usd, 9)), ('month', round(p_monthly_usd, 9))) as a (period, usd)
    on a.period = u.period
  where u.scope = 'global' and a.usd > 0 and u.spent_usd >= a.usd;
end
$$;
comment on function private.crossed_thresholds(numeric, numeric) is
  'The thresholds of caps that the current or the previous period has reached now, and p_daily_usd and p_monthly_usd '
  'when all users spent them.';
revoke execute on function private.crossed_thresholds from public, anon, authenticated, service_role;

create function public.raise_cost_alerts(daily_usd numeric default null, monthly_usd numeric
  default null) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_raised integer;
begin
  -- Sorted, so that concurrent runs cannot deadlock.
  insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap)
    select c.scope, c.period, c.period_start, c.threshold, c.amount, c.cap
    from private.crossed_thresholds(daily_usd, monthly_usd) as c
    order by c.scope, c.period, c.period_start, c.threshold
    on conflict on constraint cost_alerts_scope_period_period_start_threshold_is_recovery_key do nothing;
  get diagnostics v_raised = row_count;
  return v_raised;
end
$$;
comment on function public.raise_cost_alerts(numeric, numeric) is
  'Adds an alert for each 50, 80 and 100 % of a cap that the current or the previous period has reached, and for '
  'daily_usd and monthly_usd spent by all users. Returns the number of new alerts. A cost cap counts as reached when '
  'the rest is less than the mean cost of a turn (of three or more). A null or zero cap has no thresholds.';
revoke execute on function public.raise_cost_alerts from public, anon, authenticated, service_role;
grant execute on function public.raise_cost_alerts(numeric, numeric) to service_role;

create function public.claim_cost_alerts(max_rows integer default 50) returns setof public.cost_alerts
  language sql volatile security definer set search_path = '' as $$
  -- Untried alerts first, so that an alert that always fails does not block the others.
  update public.cost_alerts as a set claimed_until = now() + interval '5 minutes'
  where a.id = any (array(
    select p.id from public.cost_alerts as p
    where p.notified_at is null and (p.claimed_until is null or p.claimed_until <= now())
    order by p.claimed_until nulls first, p.id limit least(greatest(max_rows, 0), 1000) for update skip locked))
  returning a.*
$$;
comment on function public.claim_cost_alerts(integer) is
  'Undelivered alerts, for this caller alone to deliver within five minutes; settle_cost_alerts() ends the claim.';
revoke execute on function public.claim_cost_alerts from public, anon, authenticated, service_role;
grant execute on function public.claim_cost_alerts(integer) to service_role;

create function public.settle_cost_alerts(taken bigint[] default '{}', untaken bigint[] default '{}') returns integer
  language sql volatile security definer set search_path = '' as $$
  update public.cost_alerts as a
    set notified_at = case when a.id = any (taken) then now() end, claimed_until = now()
    where a.notified_at is null and a.id = any (taken || untaken);
  select count(*)::integer from public.cost_alerts as a where a.notified_at is null
$$;
comment on function public.settle_cost_alerts(bigint[], bigint[]) is
  'Marks taken alerts as notified and frees untaken ones for another claim. Returns the number of undelivered '
  'alerts.';
revoke execute on function public.settle_cost_alerts from public, anon, authenticated, service_role;
grant execute on function public.settle_cost_alerts(bigint[], bigint[]) to service_role;
