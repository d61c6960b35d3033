-- Purpose: the roll-up by day, under the names that dashboards and the seeds' queries use.
-- Affects: public.usage_daily, public.llm_analytics, public.llm_usage_stats
-- Access: users see their own use, admins all, as in usage_hourly and chat_logs.

create function private.refuse_write() returns trigger
  language plpgsql security invoker set search_path = '' as $$
begin
  raise exception using errcode = '42501', message = format('%I is a view of the ledger.', tg_table_name);
end
$$;
comment on function private.refuse_write() is
  'Trigger: without it PostgreSQL would call any write to a grouped view impossible (500), not forbidden (403).';
revoke execute on function private.refuse_write from public, anon, authenticated, service_role;

create view public.usage_daily with (security_invoker = true) as
  select (u.hour at time zone 'utc')::date as day, u.user_id, u.provider, u.model_identifier, u.agent_type, u.endpoint,
    sum(u.requests)::bigint as requests, sum(u.input_tokens)::bigint as input_tokens,
    sum(u.output_tokens)::bigint as output_tokens, sum(u.cached_tokens)::bigint as cached_tokens,
    sum(u.reasoning_tokens)::bigint as reasoning_tokens, sum(u.cost_usd)::numeric(18, 9) as cost_usd,
    sum(u.unpriced_requests)::bigint as unpriced_requests, sum(u.duration_ms_sum)::bigint as duration_ms_sum,
    sum(u.ttft_ms_sum)::bigint as ttft_ms_sum, sum(u.ttft_count)::bigint as ttft_count,
    sum(u.errors)::bigint as errors, sum(u.ratings)::bigint as ratings, sum(u.rating_sum)::bigint as rating_sum,
    sum(u.cached_answers)::bigint as cached_answers, sum(u.saved_usd)::numeric(18, 9) as saved_usd
  from public.usage_hourly as u
  group by (u.hour at time zone 'utc')::date, u.user_id, u.provider, u.model_identifier, u.agent_type, u.endpoint;
comment on view public.usage_daily is
  'usage_hourly summed by UTC day, user, provider, model, agent and endpoint. The columns are those of usage_hourly.';
revoke all on public.usage_daily from public, anon, authenticated, service_role;
grant select on public.usage_daily to authenticated;
grant select on public.usage_daily to service_role;

create trigger usage_daily_refuse_write instead of insert or update or delete on public.usage_daily
  for each row execute function private.refuse_write();

create view public.llm_analytics with (security_invoker = true) as
  with days as (
    select (u.hour at time zone 'utc')::date as date, u.agent_type, sum(u.requests)::bigint as total_interactions,
      sum(u.input_tokens + u.output_tokens)::bigint as total_tokens_used, sum(u.cost_usd)::numeric(18, 9) as total_cost,
      sum(u.requests) - sum(u.unpriced_requests) as priced, sum(u.duration_ms_sum) as duration_ms_sum,
      sum(u.ratings) as ratings, sum(u.rating_sum) as rating_sum, sum(u.classified) as classified,
      sum(u.classified_right) as classified_right, sum(u.rated_handoffs) as rated_handoffs,
      sum(u.good_handoffs) as good_handoffs
    from public.usage_hourly as u group by 1, 2
  )
  select md5(d.date::text || d.agent_type)::uuid as id, d.date, d.agent_type, d.total_interactions, d.total_tokens_used,
    d.total_cost, round(d.duration_ms_sum / nullif(d.total_interactions, 0))::integer as avg_response_time_ms,
    round(d.rating_sum / nullif(d.ratings, 0), 2) as avg_user_satisfaction,
    round(d.classified_right / nullif(d.classified, 0), 2) as domain_classification_accuracy,
    round(d.good_handoffs / nullif(d.rated_handoffs, 0), 2) as escalation_success_rate,
    (select round(percentile_cont(0.5) within group (order by
        l.output_tokens::double precision / nullif(l.input_tokens, 0))::numeric, 2)
      from public.chat_logs as l
      where l.created_at >= d.date::timestamp at time zone 'utc'
        and l.created_at < (d.date + 1)::timestamp at time zone 'utc' and coalesce(l.agent_type, '') = d.agent_type)
      as context_efficiency_score,
    round(d.total_cost / nullif(d.priced, 0), 9) as cost_per_interaction,
    round(d.total_tokens_used / nullif(d.total_interactions, 0)::numeric, 2) as tokens_per_interaction
  from days as d;
comment on view public.llm_analytics is
  'One row for each UTC day and agent (agent_type is empty without one), by the formulas of usage_report(): means are '
  'null without a sample. cost_per_interaction is the mean of turns with a known price. context_efficiency_score is '
  'measured on the log and null when retention has deleted its rows. Filter by date.';
comment on column public.llm_analytics.total_tokens_used is 'Input and output tokens.';
comment on column public.llm_analytics.avg_user_satisfaction is 'Mean rating 1 to 5 by the users who asked.';
revoke all on public.llm_analytics from public, anon, authenticated, service_role;
grant select on public.llm_analytics to authenticated;
grant select on public.llm_analytics to service_role;

create trigger llm_analytics_refuse_write instead of insert or update or delete on public.llm_analytics
  for each row execute function private.refuse_write();

create view public.llm_usage_stats with (security_invoker = true) as
  with used as (
    select u.model_identifier, sum(u.requests)::bigint as request_count, max(u.hour) as last_hour
    from public.usage_hourly as u where u.model_identifier <> '' group by u.model_identifier
  )
  select md5(u.model_identifier)::uuid as id,
    coalesce((select m.model_key from public.llm_models as m where m.identifier = u.model_identifier limit 1),
      u.model_identifier) as model_key,
    u.request_count,
    coalesce((select max(l.created_at) from public.chat_logs as l where l.created_at >= u.last_hour
      and l.created_at < u.last_hour + interval '1 hour' and l.model_identifier = u.model_identifier), u.last_hour)
      as last_used
  from used as u;
comment on view public.llm_usage_stats is
  'How often each model served, and when last: to the hour when retention has deleted the log row. model_key is the '
  'key in the catalogue, else the identifier.';
revoke all on public.llm_usage_stats from public, anon, authenticated, service_role;
grant select on public.llm_usage_stats to authenticated;
grant select on public.llm_usage_stats to service_role;

create trigger llm_usage_stats_refuse_write instead of insert or update or delete on public.llm_usage_stats
  for each row execute function private.refuse_write();
