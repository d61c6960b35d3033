-- Purpose: what a scope will have spent when its caps reset, and hours that cost far more than usual.
-- Affects: public.cost_forecast(), public.cost_anomalies()
-- Access: users for themselves, admins for all scopes.

create function private.checked_scope(p_scope text) returns text
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_scope text := coalesce(lower(p_scope), (select auth.uid())::text);
begin
  if v_scope is null or v_scope <> 'global' and v_scope !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    perform private.refuse_parameter('scope', 'scope is global or the id of a user.');
  elsif v_scope is distinct from (select auth.uid())::text and not private.sees_all() then
    raise exception using errcode = 'PT403', message = 'Only admins see the cost of other people.',
      detail = '{"code": "forbidden", "metadata": {"param": "scope"}}';
  end if;
  return v_scope;
end
$$;
comment on function private.checked_scope(text) is
  'The scope, by default the caller''s own. Refuses what is none with 422, and others'' with 403 unless the caller is '
  'an admin.';
revoke execute on function private.checked_scope from public, anon, authenticated, service_role;
grant execute on function private.checked_scope(text) to authenticated;

create function private.hourly_costs(p_scope text, p_since timestamptz)
  returns table (hour timestamptz, cost numeric)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_scope = 'global' then
    return query select u.hour, sum(u.cost_usd) from public.usage_hourly as u where u.hour >= p_since group by u.hour;
  else
    return query select u.hour, sum(u.cost_usd) from public.usage_hourly as u
      where u.user_id = p_scope::uuid and u.hour >= p_since group by u.hour;
  end if;
end
$$;
comment on function private.hourly_costs(text, timestamptz) is 'US dollars of each hour with a turn in the scope.';
revoke execute on function private.hourly_costs from public, anon, authenticated, service_role;
grant execute on function private.hourly_costs(text, timestamptz) to authenticated;

create function private.expected_hours(p_scope text, p_at timestamptz, p_until timestamptz)
  returns table (hour timestamptz, median numeric, samples numeric[])
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_now timestamptz := date_trunc('hour', p_at, 'UTC');
  v_since timestamptz := v_now - interval '28 days';
  v_first timestamptz;
  v_step interval;
begin
  v_first := (select min(c.hour) from private.hourly_costs(p_scope, v_since - interval '1 day') as c);
  if v_first is null or v_first > p_at - interval '3 days' then
    return;
  end if;
  -- Before four weeks have passed, the same hours of earlier days are all there is.
  v_step := case when v_first <= v_since then interval '7 days' else interval '1 day' end;
  return query
    with costs as materialized (select * from private.hourly_costs(p_scope, v_since) as c where c.hour < v_now),
    wanted as (
      select h.hour, case h.hour when v_now then 1 - extract(epoch from p_at - v_now) / 3600 else 1 end as share,
        h.hour - v_step * ceil(extract(epoch from h.hour - v_now + interval '1 hour') / extract(epoch from v_step))
          as latest
      from generate_series(v_now, p_until - interval '1 second', interval '1 hour') as h (hour)
    )
    select w.hour, w.share * percentile_cont(0.5) within group (order by coalesce(c.cost, 0))::numeric,
      array_agg(w.share * coalesce(c.cost, 0) order by n.number)
    from wanted as w cross join generate_series(0, 3) as n (number)
    left join costs as c on c.hour = w.latest - v_step * n.number
    where w.latest - v_step * n.number >= date_trunc('hour', v_first, 'UTC')
    group by w.hour, w.share;
end
$$;
comment on function private.expected_hours(text, timestamptz, timestamptz) is
  'For each hour from now: the last four US dollar costs of the same hour of the week (of the day before four weeks of '
  'use), and their median; the current hour counts for its rest. No rows before three days of use.';
revoke execute on function private.expected_hours from public, anon, authenticated, service_role;
grant execute on function private.expected_hours(text, timestamptz, timestamptz) to authenticated;

create function private.caps_of_scope(p_scope text) returns table (period text, cap numeric)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_scope = (select auth.uid())::text then
    return query select m.period, m.max_cost_usd from public.my_limits() as m
      where m.period <> 'minute';
  else
    return query
      select c.period, c.cap from (
        select l.daily_cost_usd, l.monthly_cost_usd from public.usage_limits as l
        where l.scope in (p_scope, case when p_scope <> 'global' then 'default' end)
        order by l.scope = p_scope desc limit 1) as l
      right join (select 1) as one on true
      cross join lateral (values ('day', l.daily_cost_usd), ('month', l.monthly_cost_usd)) as c (period, cap);
  end if;
end
$$;
comment on function private.caps_of_scope(text) is
  'The cost caps of a scope, for the day and the month; null = no cap.';
revoke execute on function private.caps_of_scope from public, anon, authenticated, service_role;
grant execute on function private.caps_of_scope(text) to authenticated;

create function private.forecast_at(p_scope text, p_at timestamptz) returns table (
  period text, period_start date, resets_at timestamptz, cap_usd numeric, spent_usd numeric, reserved_usd numeric,
  forecast_usd numeric, low_usd numeric, high_usd numeric, reached_at timestamptz, is_enough_data boolean)
  language sql stable security invoker set search_path = '' as $$
  with periods as (
    select c.period, c.cap, p.starts, ((p.starts + ('1 ' || c.period)::interval) at time zone 'utc') as ends,
      coalesce(u.spent_usd, 0) as spent, coalesce(u.reserved_usd, 0) as reserved
    from private.caps_of_scope(p_scope) as c
    cross join lateral (select date_trunc(c.period, p_at at time zone 'utc')::date as starts) as p
    left join public.usage_counters as u
      on u.scope = p_scope and u.period = c.period and u.period_start = p.starts
  ), hours as materialized (
    select * from private.expected_hours(p_scope, p_at, (select max(p.ends) from periods as p))
  ), pace as (
    select p.period, h.hour, sum(h.median) over (partition by p.period order by h.hour) as so_far
    from periods as p join hours as h on h.hour < p.ends
  ), medians as (
    select p.period, sum(h.median) as rest from periods as p join hours as h on h.hour < p.ends group by p.period
  ), weeks as (  -- what the rest of the period cost in each of the earlier weeks
    select p.period, s.number, sum(s.cost) as rest
    from periods as p join hours as h on h.hour < p.ends
    cross join lateral unnest(h.samples) with ordinality as s (cost, number) group by p.period, s.number
  ), spread as (
    select w.period, avg(w.rest) as mean,
      -- A new value of a normal distribution of which four are known: Student's t of 3 degrees, 80 %.
      1.638 * sqrt(1.25) * coalesce(stddev_samp(w.rest), 0) as half
    from weeks as w group by w.period
  )
  select p.period, p.starts, p.ends, p.cap, p.spent, p.reserved, round(p.spent + m.rest, 9),
    round(p.spent + least(m.rest, greatest(s.mean - s.half, 0)), 9),
    round(p.spent + greatest(m.rest, s.mean + s.half), 9),
    case when p.spent >= p.cap then p_at
      else (select min(e.hour) + interval '1 hour' from pace as e
            where e.period = p.period and p.spent + e.so_far >= p.cap) end,
    m.rest is not null
  from periods as p left join medians as m using (period) left join spread as s using (period) order by p.period
$$;
comment on function private.forecast_at(text, timestamptz) is 'cost_forecast() as of a time.';
revoke execute on function private.forecast_at from public, anon, authenticated, service_role;
grant execute on function private.forecast_at(text, timestamptz) to authenticated;

create function public.cost_forecast(scope text default null) returns table (
  period text, period_start date, resets_at timestamptz, cap_usd numeric, spent_usd numeric, reserved_usd numeric,
  forecast_usd numeric, low_usd numeric, high_usd numeric, reached_at timestamptz, is_enough_data boolean)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
begin
  return query select f.* from private.forecast_at(private.checked_scope(scope), now()) as f;
end
$$;
comment on function public.cost_forecast(text) is
  'US dollars at the end of the current UTC day and month, by default of the caller; scope is global or a user''s '
  'id for admins. forecast_usd = spent + for each remaining hour the median of the last four same hours of the week '
  '(of the day, before four weeks of use). low_usd to high_usd is the 80 % interval by the spread of these four. '
  'reached_at is when the cap is reached at this pace; null when it is not, or without a cap. Before three days of '
  'use is_enough_data is false and the forecast null.';
revoke execute on function public.cost_forecast from public, anon, authenticated, service_role;
grant execute on function public.cost_forecast(text) to authenticated;

create function private.anomalies_at(p_scope text, p_at timestamptz, p_hours integer, p_floor numeric) returns table (
  hour timestamptz, cost_usd numeric, median_usd numeric, mad_usd numeric, times numeric)
  language sql stable security invoker set search_path = '' as $$
  with costs as materialized (
    select c.hour, c.cost
    from private.hourly_costs(p_scope, date_trunc('hour', p_at, 'UTC') - make_interval(hours => p_hours + 336)) as c
  ), checked as (
    select c.* from costs as c
    where c.hour > p_at - make_interval(hours => p_hours) and c.hour <= p_at and c.cost >= p_floor
  ), samples as (
    select c.hour, c.cost, coalesce(e.cost, 0) as earlier
    from checked as c cross join generate_series(1, 14) as d (days)
    left join costs as e on e.hour = c.hour - interval '24 hours' * d.days
    where c.hour - interval '24 hours' * d.days >= (select min(f.hour) from costs as f)
  ), medians as (
    select s.hour, s.cost, percentile_cont(0.5) within group (order by s.earlier)::numeric as median
    from samples as s group by s.hour, s.cost having count(*) >= 3
  ), spreads as (
    select m.hour, m.cost, m.median,
      percentile_cont(0.5) within group (order by abs(s.earlier - m.median))::numeric as mad
    from medians as m join samples as s using (hour) group by m.hour, m.cost, m.median
  )
  select s.hour, s.cost, round(s.median, 9), round(s.mad, 9), round(s.cost / nullif(s.median, 0), 1)
  from spreads as s
  where s.cost - s.median >= p_floor
    and s.cost > s.median + 6 * 1.4826 * greatest(s.mad, s.median / 3)  -- 1.4826 MADs are a standard deviation
  order by s.hour
$$;
comment on function private.anomalies_at(text, timestamptz, integer, numeric) is 'cost_anomalies() as of a time.';
revoke execute on function private.anomalies_at from public, anon, authenticated, service_role;
grant execute on function private.anomalies_at(text, timestamptz, integer, numeric) to authenticated;

create function public.cost_anomalies(scope text default null, hours integer default 24, floor_usd numeric default 1)
  returns table (hour timestamptz, cost_usd numeric, median_usd numeric, mad_usd numeric, times numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
begin
  if (hours between 1 and 744) is not true then
    perform private.refuse_parameter('hours', 'hours is 1 to 744.');
  elsif (floor_usd >= 0 and floor_usd < 1e9) is not true then
    perform private.refuse_parameter('floor_usd', 'floor_usd is an amount in US dollars.');
  end if;
  return query select a.* from private.anomalies_at(private.checked_scope(scope), now(), hours, floor_usd) as a;
end
$$;
comment on function public.cost_anomalies(text, integer, numeric) is
  'Hours of the last hours whose cost is far above the same hours of the 14 days before: more than their median by '
  'floor_usd and by 6 standard deviations (1.4826 * median absolute deviation, at least a third of the median). '
  'times is the cost / median; null when that is 0. An hour needs three such days. By default of the caller; scope is '
  'global or a user''s id for admins.';
revoke execute on function public.cost_anomalies from public, anon, authenticated, service_role;
grant execute on function public.cost_anomalies(text, integer, numeric) to authenticated;
