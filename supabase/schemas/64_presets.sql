-- Purpose: compares the prompt versions of a preset, and sums what presets cost and what their cache saved.
-- Affects: public.preset_results(), public.preset_costs(), public.insight_savings(), public.diagnose_insights()
-- Access: signed-in users over the rows they may read; preset_costs() is definer, as it returns means of all users.

create function public.preset_results(preset text, from_day date default null, to_day date default null)
  returns table (prompt_version text, turns bigint, hits bigint, errors bigint, error_rate numeric,
    error_rate_interval numrange, mean_cost_usd numeric, mean_cost_interval numrange, mean_duration_ms numeric,
    ratings bigint, mean_rating numeric, mean_rating_interval numrange)
  language sql stable security invoker set search_path = '' as $$
  with turns as (
    select l.preset_version, l.cost_usd, l.duration_ms, l.saved_usd is not null as is_hit,
      (l.status in ('failed', 'partial', 'abandoned')) as is_error,
      (select avg(f.rating) from public.feedback as f where f.turn_id = l.turn_id) as rating
    from public.chat_logs as l
    where l.endpoint = 'assist.' || preset_results.preset and l.endpoint like 'assist.%'
      and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 30)::timestamp at time zone 'utc'
      and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1)::timestamp at time zone 'utc'
  ), sums as (
    select t.preset_version, count(*) filter (where not t.is_hit) as turns, count(*) filter (where t.is_hit) as hits,
      count(*) filter (where t.is_error) as errors,
      count(t.cost_usd) filter (where not t.is_hit) as priced, avg(t.cost_usd) filter (where not t.is_hit) as cost,
      stddev_samp(t.cost_usd) filter (where not t.is_hit) as cost_sd,
      avg(t.duration_ms) filter (where not t.is_hit) as duration,
      count(t.rating) as ratings, avg(t.rating) as rating, stddev_samp(t.rating) as rating_sd
    from turns as t group by t.preset_version
  )
  select s.preset_version, s.turns, s.hits, s.errors, round(s.errors::numeric / nullif(s.turns, 0), 4),
    public.wilson_interval(s.errors, s.turns),
    round(s.cost, 9),
    numrange(round(s.cost - 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9),
      round(s.cost + 1.96 * s.cost_sd / sqrt(s.priced::numeric), 9), '[]'),
    round(s.duration, 1), s.ratings, round(s.rating, 3),
    numrange(round(s.rating - 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3),
      round(s.rating + 1.96 * s.rating_sd / sqrt(s.ratings::numeric), 3), '[]')
  from sums as s order by s.preset_version
$$;
comment on function public.preset_results(text, date, date) is
  'Compares the prompt versions of a preset over UTC days, by default the last 30 and today. turns called a model, '
  'hits came from the cache. Cost, duration and errors are those of turns; ratings are of both. Intervals are 95 %: '
  'Wilson''s for the error rate, mean +- 1.96 standard errors for cost and rating (unbounded below two). '
  'prompt_version is null for turns of deleted text.';
revoke execute on function public.preset_results from public, anon, authenticated, service_role;
grant execute on function public.preset_results(text, date, date) to authenticated, service_role;

create function public.preset_costs(presets jsonb) returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
begin
  if jsonb_typeof(preset_costs.presets) is distinct from 'array' then
    perform private.refuse('PT422', 'validation_failed', 'presets is an array of names.', '{"param": "presets"}');
  elsif exists (select 1 from jsonb_array_elements(preset_costs.presets) as n (name)
      where jsonb_typeof(n.name) <> 'string') then
    perform private.refuse('PT422', 'validation_failed', 'Each of presets is a string.', '{"param": "presets"}');
  end if;
  return (select coalesce(jsonb_object_agg(p.preset,
      jsonb_build_object('answers', c.answers, 'mean_usd', c.mean_usd)), '{}')
  from (select distinct left(n.name, 60) as preset from jsonb_array_elements_text(preset_costs.presets) as n (name)
        limit 100) as p
  cross join lateral (
    select count(*) as answers, round(avg(t.cost_usd), 9) as mean_usd from (
      select l.cost_usd from public.chat_logs as l
      where l.endpoint = 'assist.' || p.preset and l.endpoint like 'assist.%' and l.status = 'completed'
        and l.saved_usd is null
      order by l.created_at desc limit 100) as t) as c);
end
$$;
comment on function public.preset_costs(jsonb) is
  'By preset: the mean cost in US dollars of its last hundred answers of models, of all users together, and their '
  'number; mean_usd is null when no cost is known. Refuses with validation_failed (422) what is no array of '
  'strings. Definer, for everyone signed in, because it names no user.';
revoke execute on function public.preset_costs from public, anon, authenticated, service_role;
grant execute on function public.preset_costs(jsonb) to authenticated, service_role;

create function public.insight_savings(from_day date default null, to_day date default null)
  returns table (preset text, turns bigint, hits bigint, cost_usd numeric, saved_usd numeric)
  language sql stable security invoker set search_path = '' as $$
  select substr(l.endpoint, 8), count(*) filter (where l.saved_usd is null), count(l.saved_usd),
    coalesce(sum(l.cost_usd), 0), coalesce(sum(l.saved_usd), 0)
  from public.chat_logs as l
  where l.endpoint like 'assist.%'
    and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 30)::timestamp at time zone 'utc'
    and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1)::timestamp at time zone 'utc'
  group by l.endpoint order by l.endpoint
$$;
comment on function public.insight_savings(date, date) is
  'By preset over UTC days, by default the last 30 and today: turns that called a model and their cost, hits of the '
  'cache and the US dollars that they saved.';
revoke execute on function public.insight_savings from public, anon, authenticated, service_role;
grant execute on function public.insight_savings(date, date) to authenticated, service_role;

create function public.diagnose_insights() returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.is_admin() then
    perform private.refuse('PT403', 'forbidden', 'This is for admins.');
  end if;
  return jsonb_build_object(
    'stored', (select count(*) from public.ai_insights as i where i.expires_at > now()),
    'overdue', (select count(*) from public.ai_insights as i where i.expires_at < now() - interval '2 days'),
    'computing', (select count(*) from private.insight_leases as l where l.lease_until > now()),
    'failing', coalesce((
      select jsonb_object_agg(f.preset, f.errors) from (
        select substr(l.endpoint, 8) as preset, count(*) as errors
        from public.chat_logs as l
        where l.endpoint like 'assist.%' and l.saved_usd is null and l.created_at > now() - interval '1 day'
          and l.status <> 'cancelled'
        group by l.endpoint having count(*) >= 5 and not bool_or(l.status = 'completed')) as f), '{}'));
end
$$;
comment on function public.diagnose_insights() is
  '{stored (answers that are served), overdue (answers that a sweep should have deleted), computing (held leases), '
  'failing ({preset: turns} of presets that only failed within a day, at least five times)}. For admins; definer, '
  'because leases are not granted.';
revoke execute on function public.diagnose_insights from public, anon, authenticated, service_role;
grant execute on function public.diagnose_insights() to authenticated;
