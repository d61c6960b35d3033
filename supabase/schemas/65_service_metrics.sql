-- Purpose: the numbers that a monitoring system reads.
-- Affects: public.service_metrics()
-- Access: the service only; llms shows them to the holder of METRICS_SECRET.

create function public.service_metrics() returns jsonb
  language sql stable security definer set search_path = '' as $$
  with months as (
    select date_trunc('month', now() at time zone 'utc')::date as start, (now() at time zone 'utc')::date as today
  ), used as (
    select d.provider,
      -- A user's own models would make a series for each user.
      case when d.provider <> 'client' or exists (
        select 1 from public.llm_models as k where k.identifier = d.model_identifier) then d.model_identifier
        else 'client' end as model,
      d.agent_type as agent, d.endpoint, sum(d.requests) as turns, sum(d.errors) as errors,
      sum(d.unpriced_requests) as unpriced_turns, sum(d.input_tokens - d.cached_tokens) as input_tokens,
      sum(d.cached_tokens) as cached_tokens, sum(d.output_tokens - d.reasoning_tokens) as output_tokens,
      sum(d.reasoning_tokens) as reasoning_tokens, sum(d.cost_usd) as cost_usd, sum(d.duration_ms_sum) as duration_ms,
      sum(d.ttft_ms_sum) as ttft_ms, sum(d.ttft_count) as ttft_count
    from public.usage_hourly as d cross join months as m
    where d.hour >= m.start::timestamp at time zone 'utc' group by 1, 2, 3, 4
  )
  select jsonb_build_object(
    'usage', (select coalesce(jsonb_agg(u order by u.provider, u.model, u.agent, u.endpoint), '[]') from used as u),
    'budgets', (select coalesce(jsonb_agg(b order by b.period), '[]') from (
      select p.period, coalesce(c.spent_usd, 0) as spent_usd, coalesce(c.reserved_usd, 0) as reserved_usd,
        case p.period when 'day' then g.daily_cost_usd else g.monthly_cost_usd end as cap_usd
      from months as m cross join lateral (values ('day', m.today), ('month', m.start)) as p (period, start)
      left join public.usage_counters as c on c.scope = 'global' and c.period = p.period and c.period_start = p.start
      left join public.usage_limits as g on g.scope = 'global') as b),
    'open_turns', (select count(*) from private.turns as r where r.state = 'started'),
    'open_circuits', (
      select count(*) from public.provider_health as h where h.open_until > now() and h.sole_user_id is null),
    'pending_alerts', (select count(*) from public.cost_alerts as a where a.notified_at is null),
    'last_refresh', (select extract(epoch from max(r.finished_at)) from public.refresh_runs as r
      where r.status = 'succeeded' and not r.is_dry_run))
$$;
comment on function public.service_metrics() is
  'Usage since the beginning of the UTC month by provider, model, agent and endpoint, from usage_hourly; what all '
  'users spent, reserved and may spend; open turns, circuits and undelivered alerts; the time of the last successful '
  'refresh in seconds since 1970, null before the first. No number belongs to one user. Definer, because '
  'private.turns is not granted.';
revoke execute on function public.service_metrics from public, anon, authenticated, service_role;
grant execute on function public.service_metrics() to service_role;
