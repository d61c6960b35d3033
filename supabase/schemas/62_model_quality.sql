-- Purpose: measures models from the log, and compares the arms of an alias.
-- Affects: public.measure_models(), public.wilson_interval(), public.ab_results()
-- Access: the service measures; signed-in users compare over the rows they may read.

create function public.measure_models() returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_today date := (now() at time zone 'utc')::date;
  v_people bigint;
  v_measured integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('private.measure_models', 0));
  -- Anyone can create anonymous accounts, so their turns and ratings do not count.
  select count(distinct d.user_id) into v_people
    from public.usage_hourly as d join auth.users as a on a.id = d.user_id and not coalesce(a.is_anonymous, false)
    where d.hour >= (v_today - 30)::timestamp at time zone 'utc';
  delete from public.model_quality where true;  -- hosted projects refuse a delete without a condition
  insert into public.model_quality (model_identifier, turns, errors, mean_ttft_ms, error_rate, ratings, raters,
    mean_rating)
  with used as (
    select d.model_identifier, d.user_id, sum(d.requests) as turns, sum(d.errors) as errors,
      sum(d.ttft_ms_sum) as ttft_ms, sum(d.ttft_count) as ttfts,
      -- Turns in which the model answered or failed. Admitted turns that called no model are no evidence.
      least(sum(d.requests), sum(d.ttft_count) + sum(d.errors)) as answered
    from public.usage_hourly as d
    -- Only models that all users may choose, not those of users' own nodes.
    where d.hour >= (v_today - 7)::timestamp at time zone 'utc'
      and exists (select 1 from public.llm_models as m where m.identifier = d.model_identifier)
    group by d.model_identifier, d.user_id
  ), totals as (
    select u.model_identifier, sum(u.turns) as turns, sum(u.errors) as errors,
      sum(u.ttft_ms) / nullif(sum(u.ttfts), 0) as mean_ttft_ms
    from used as u group by u.model_identifier
  ), met as (
    select u.model_identifier, u.answered, u.errors,
      row_number() over (partition by u.model_identifier order by u.errors desc, u.turns, u.user_id) as place
    from used as u join auth.users as a on a.id = u.user_id and not coalesce(a.is_anonymous, false)
  ), rates as (
    select m.model_identifier, sum(m.errors) / sum(m.answered) as error_rate
    from met as m where m.place > 1 or v_people = 1
    group by m.model_identifier having sum(m.answered) >= 20
  ), verdicts as (
    select l.model_identifier, f.user_id, count(*) as ratings, avg(f.rating) as mean_rating
    from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
    join auth.users as a on a.id = f.user_id and not coalesce(a.is_anonymous, false)
    where f.rating is not null and f.created_at >= now() - interval '30 days'
    group by l.model_identifier, f.user_id
  ), rated as (
    select v.model_identifier, sum(v.ratings) as ratings, count(*) as raters,
      case when count(*) >= least(3, v_people) then avg(v.mean_rating) end as mean_rating
    from verdicts as v group by v.model_identifier
  )
  select t.model_identifier, t.turns, t.errors, t.mean_ttft_ms, r.error_rate, coalesce(g.ratings, 0),
    coalesce(g.raters, 0), g.mean_rating
  from totals as t left join rates as r using (model_identifier) left join rated as g using (model_identifier);
  get diagnostics v_measured = row_count;
  return v_measured;
end
$$;
comment on function public.measure_models() is
  'Measures every catalogue model with turns in the last seven UTC days or today; returns the number of models.';
revoke execute on function public.measure_models from public, anon, authenticated, service_role;
grant execute on function public.measure_models() to service_role;

create function public.wilson_interval(hits bigint, n bigint) returns numrange
  language sql immutable security invoker set search_path = '' as $$
  select case when n > 0 and hits between 0 and n then numrange(
    round(((p + z2 / (2 * n) - z * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n))) / (1 + z2 / n))::numeric, 4),
    round(((p + z2 / (2 * n) + z * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n))) / (1 + z2 / n))::numeric, 4), '[]') end
  from (select hits::double precision / nullif(n, 0) as p, 1.959964::double precision as z,
    3.841459::double precision as z2) as share
$$;
comment on function public.wilson_interval(bigint, bigint) is
  '95 % confidence interval of a share by Wilson''s score; null for n = 0 and for more hits than n.';
revoke execute on function public.wilson_interval from public, anon, authenticated, service_role;
grant execute on function public.wilson_interval(bigint, bigint) to authenticated, service_role;

create function public.ab_results(alias text, from_day date default null, to_day date default null) returns table (
  arm text, conversations bigint, turns bigint, served_by_arm bigint, errors bigint, error_rate numeric,
    error_rate_interval numrange,
  mean_cost_usd numeric, mean_cost_interval numrange, mean_ttft_ms numeric, mean_duration_ms numeric,
  ratings bigint, mean_rating numeric, mean_rating_interval numrange)
  language sql stable security invoker set search_path = '' as $$
  with turns as (
    select l.route_arm, l.conversation_id, l.model_identifier, l.cost_usd, l.ttft_ms, l.duration_ms,
      (l.status in ('failed', 'partial', 'abandoned')) as is_error,
      (select avg(f.rating) from public.feedback as f where f.turn_id = l.turn_id) as rating
    from public.chat_logs as l
    where l.route_alias = ab_results.alias
      and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 30)::timestamp at time zone 'utc'
      and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1)::timestamp at time zone 'utc'
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
    numrange(round(s.cost - 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9),
      round(s.cost + 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9), '[]'),
    round(s.ttft, 1), round(s.duration, 1), s.ratings, round(s.rating, 3),
    numrange(round(s.rating - 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3),
      round(s.rating + 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3), '[]')
  from sums as s order by s.route_arm
$$;
comment on function public.ab_results(text, date, date) is
  'Compares the arms of an alias over UTC days, by default the last 30 and today, by the arm that a turn was '
  'assigned to even when a fallback served. Intervals are 95 %: Wilson''s for the error rate, mean +- 1.96 standard '
  'errors for cost and rating (unbounded below two). turns counts all turns, ratings those with a rating; cost is '
  'the mean of turns with a known price.';
revoke execute on function public.ab_results from public, anon, authenticated, service_role;
grant execute on function public.ab_results(text, date, date) to authenticated, service_role;
