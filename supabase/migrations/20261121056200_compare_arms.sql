-- Purpose: which arm of an alias does better, with how many turns and how sure that is.
-- Affects: functions public.wilson_interval(), ab_results()
-- Access: signed-in people over the rows they may read: admins over all, everybody else over their own.

create function public.wilson_interval(hits bigint, n bigint) returns numrange
  language sql immutable security invoker set search_path = ''
as $$
  select case when n > 0 and hits between 0 and n then numrange(
    round(((p + z2 / (2 * n) - z * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n))) / (1 + z2 / n))::numeric, 4),
    round(((p + z2 / (2 * n) + z * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n))) / (1 + z2 / n))::numeric, 4), '[]') end
  from (select hits::double precision / nullif(n, 0) as p, 1.959964::double precision as z, 3.841459::double precision as z2) as share
$$;
comment on function public.wilson_interval(bigint, bigint) is
  '95 % interval of a share, Wilson''s score; honest for few and for extreme counts. Null of nothing, and of more hits than there were.';

create function public.ab_results(alias text, from_day date default null, to_day date default null) returns table (
  arm text, conversations bigint, turns bigint, served_by_arm bigint, errors bigint, error_rate numeric, error_rate_interval numrange,
  mean_cost_usd numeric, mean_cost_interval numrange, mean_ttft_ms numeric, mean_duration_ms numeric,
  ratings bigint, mean_rating numeric, mean_rating_interval numrange)
  language sql stable security invoker set search_path = ''
as $$
  with turns as (
    select l.route_arm, l.conversation_id, l.model_identifier, l.cost_usd, l.ttft_ms, l.duration_ms,
      (l.status in ('failed', 'partial', 'abandoned')) as is_error,
      (select avg(f.rating) from public.feedback as f where f.turn_id = l.turn_id) as rating
    from public.chat_logs as l
    where l.route_alias = ab_results.alias
      and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 30) at time zone 'utc'
      and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1) at time zone 'utc'
  ), sums as (
    select t.route_arm, count(distinct t.conversation_id) as conversations, count(*) as turns,
      count(*) filter (where t.model_identifier = t.route_arm) as served, count(*) filter (where t.is_error) as errors,
      count(t.cost_usd) as priced, avg(t.cost_usd) as cost, stddev_samp(t.cost_usd) as cost_sd,
      avg(t.ttft_ms) as ttft, avg(t.duration_ms) as duration,
      count(t.rating) as ratings, avg(t.rating) as rating, stddev_samp(t.rating) as rating_sd
    from turns as t group by t.route_arm
  )
  select s.route_arm, s.conversations, s.turns, s.served, s.errors, round(s.errors::numeric / s.turns, 4),
    public.wilson_interval(s.errors, s.turns),
    round(s.cost, 9),
    numrange(round(s.cost - 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9), round(s.cost + 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9), '[]'),
    round(s.ttft, 1), round(s.duration, 1), s.ratings, round(s.rating, 3),
    numrange(round(s.rating - 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3), round(s.rating + 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3), '[]')
  from sums as s order by s.route_arm
$$;
comment on function public.ab_results(text, date, date) is
  'The arms of an alias compared over UTC days (the last 30 and today, if none are given), by the arm a turn was given to, whoever served '
  'it in the end. Intervals are 95 %: Wilson''s for the error rate, mean +- 1.96 standard errors for cost and rating (unbounded with '
  'fewer than two). Counts: turns, of which ratings have one; cost is the mean of priced turns.';

create index chat_logs_route_alias_created_at_idx on public.chat_logs (route_alias, created_at) where route_alias is not null;

revoke execute on function public.wilson_interval(bigint, bigint), public.ab_results(text, date, date)
  from public, anon, authenticated, service_role;
grant execute on function public.wilson_interval(bigint, bigint), public.ab_results(text, date, date) to authenticated, service_role;
