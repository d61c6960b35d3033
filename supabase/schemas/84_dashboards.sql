-- Purpose: whole pages in one call: the dashboard of a deployment, and a user's own usage.
-- Affects: public.llm_dashboard(), public.my_usage()
-- Access: signed-in users, over the rows that they may read; admins over all.

create function private.trend(p_change numeric, p_digits integer, p_suffix text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select case when p_change < 0 then '-' else '+' end || abs(round(p_change, p_digits)) || p_suffix
$$;
comment on function private.trend(numeric, integer, text) is 'The change with its sign; null without a value.';
revoke execute on function private.trend from public, anon, authenticated, service_role;
grant execute on function private.trend(numeric, integer, text) to authenticated, service_role;

create function private.dashboard_at(p_period text, p_at timestamptz, p_zone text) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_now private.report_span := private.checked_span(date_trunc(p_period, p_at, p_zone), p_at, p_zone);
  v_day timestamp := date_trunc('day', p_at at time zone p_zone);
  v_today private.report_span := private.checked_span(v_day at time zone p_zone, p_at, p_zone);
  v_yesterday private.report_span := private.checked_span((v_day - interval '1 day') at time zone p_zone,
    v_day at time zone p_zone, p_zone);
  v_week private.report_span := private.checked_span(p_at - interval '7 days', p_at, p_zone);
  v_before private.report_span := private.checked_span(p_at - interval '14 days', p_at - interval '7 days', p_zone);
  v_agents jsonb;
  v_sums numeric[];
  v_rated numeric[] := (
    select s.sums from private.usage_sums('{"{rating_sum}","{ratings}"}', null, null, v_today) as s);
  v_rated_before numeric[] := (
    select s.sums from private.usage_sums('{"{rating_sum}","{ratings}"}', null, null, v_yesterday) as s);
  v_terms text[] := array['{cost_usd}', '{good_ratings}', '{classified_right}', '{classified}', '{good_handoffs}',
    '{rated_handoffs}'];
  v_good numeric[] := (select s.sums from private.usage_sums(v_terms, null, null, v_week) as s);
  v_good_before numeric[] := (select s.sums from private.usage_sums(v_terms, null, null, v_before) as s);
begin
  select jsonb_object_agg(a.name, jsonb_build_object('count', a.sums[1],
      'satisfaction', round(a.sums[2] / nullif(a.sums[3], 0), 2), 'ratings', a.sums[3], 'cost', a.sums[4])),
      array[sum(a.sums[1]), sum(a.sums[5]), sum(a.sums[4]), sum(a.sums[6]), sum(a.sums[7]), sum(a.sums[8])]
    into v_agents, v_sums
    from (select coalesce(nullif(s.group_value, ''), 'none') as name, s.sums
          from private.usage_sums(array['{requests}', '{rating_sum}', '{ratings}', '{cost_usd}',
            '{input_tokens} + {output_tokens}', '{duration_ms_sum}', '{cached_answers}', '{saved_usd}'], 'agent', null,
            v_now) as s
          where s.sums[1] <> 0) as a;
  return jsonb_build_object('llm_performance_dashboard', jsonb_build_object(
    'current_' || p_period, jsonb_build_object(
      'total_interactions', coalesce(v_sums[1], 0), 'agent_distribution', coalesce(v_agents, '{}'),
      'total_tokens', coalesce(v_sums[2], 0), 'total_cost', coalesce(v_sums[3], 0),
      'avg_response_time', round(v_sums[4] / nullif(v_sums[1], 0) / 1000, 1) || 's',
      'cached_answers', coalesce(v_sums[5], 0), 'saved_usd', coalesce(v_sums[6], 0),
      'context_efficiency', (select round(r.value, 2) from private.log_report('median', null, null, v_now, '{}') as r)),
    'trending_metrics', jsonb_build_object(
      'user_satisfaction_trend', private.trend(v_rated[1] / nullif(v_rated[2], 0)
        - v_rated_before[1] / nullif(v_rated_before[2], 0), 1, ' vs yesterday'),
      'cost_efficiency_trend', private.trend(100 * (v_good[2] / nullif(v_good[1], 0))
        / nullif(v_good_before[2] / nullif(v_good_before[1], 0), 0) - 100, 0, '% vs last week'),
      'agent_selection_accuracy', round(100 * v_good[3] / nullif(v_good[4], 0)) || '%',
      'escalation_success_rate', round(100 * v_good[5] / nullif(v_good[6], 0)) || '%')));
end
$$;
comment on function private.dashboard_at(text, timestamptz, text) is 'llm_dashboard() as of a time.';
revoke execute on function private.dashboard_at from public, anon, authenticated, service_role;
grant execute on function private.dashboard_at(text, timestamptz, text) to authenticated, service_role;

create function public.llm_dashboard(period text default 'hour', time_zone text default 'UTC') returns jsonb
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
begin
  if period not in ('hour', 'day', 'week', 'month') then
    perform private.refuse_parameter('period', 'period is hour, day, week or month.');
  end if;
  perform private.checked_span(null, null, time_zone);
  return private.dashboard_at(coalesce(period, 'hour'), now(), coalesce(time_zone, 'UTC'));
end
$$;
comment on function public.llm_dashboard(text, text) is
  '{llm_performance_dashboard: {current_<period>: {total_interactions, agent_distribution: {agent: {count, '
  'satisfaction (mean rating), ratings, cost}}, total_tokens, total_cost (US dollars), avg_response_time (such as '
  '1.8s), cached_answers and saved_usd (turns that stored answers of assist served, and the US dollars that they '
  'saved), context_efficiency (median of output / input tokens)}, trending_metrics}}: the current hour, day, week or '
  'month of time_zone until now; the agent none is turns without one. Trends: user_satisfaction_trend is today''s '
  'mean rating less yesterday''s; cost_efficiency_trend the change of turns rated 4 or 5 per US dollar, last seven '
  'days against the seven before; agent_selection_accuracy and escalation_success_rate are classification_accuracy '
  'and escalation_success of usage_report() over the last seven days. Null without a sample.';
revoke execute on function public.llm_dashboard from public, anon, authenticated, service_role;
grant execute on function public.llm_dashboard(text, text) to authenticated, service_role;

create function public.my_usage(time_zone text default 'UTC') returns jsonb
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_zone text := (private.checked_span(null, null, time_zone)).zone;
  v_user_id uuid := (select auth.uid());
  v_me jsonb := jsonb_build_object('person', jsonb_build_array(v_user_id));
  v_terms text[] := array['{requests}', '{input_tokens} + {output_tokens}', '{cost_usd}', '{unpriced_requests}',
    '{cached_answers}', '{saved_usd}'];
  v_month private.report_span := private.checked_span(now() - interval '30 days', now(), v_zone);
begin
  if v_user_id is null then
    raise exception using errcode = 'PT401', message = 'Sign in to see your usage.',
      detail = '{"code": "invalid_token", "metadata": {}}';
  end if;
  return jsonb_build_object(
    'caps', (select jsonb_agg(to_jsonb(l) || jsonb_build_object('forecast_usd', f.forecast_usd, 'low_usd', f.low_usd,
        'high_usd', f.high_usd, 'runs_out_at', f.reached_at, 'is_enough_data', f.is_enough_data) order by l.period)
      from public.my_limits() as l left join private.forecast_at(v_user_id::text, now()) as f using (period)),
    'spent', (select jsonb_object_agg(p.name, (
        select jsonb_build_object('requests', coalesce(sum(s.sums[1]), 0), 'tokens', coalesce(sum(s.sums[2]), 0),
          'cost_usd', coalesce(sum(s.sums[3]), 0), 'unpriced_requests', coalesce(sum(s.sums[4]), 0),
          'cached_answers', coalesce(sum(s.sums[5]), 0), 'saved_usd', coalesce(sum(s.sums[6]), 0))
        from private.usage_sums(v_terms, null, null, private.checked_span(date_trunc(p.bucket, now(), v_zone), now(),
          v_zone), v_me) as s))
      from (values ('today', 'day'), ('month', 'month')) as p (name, bucket)),
    'by_model', (select coalesce(jsonb_agg(jsonb_build_object('model', s.group_value, 'requests', s.sums[1], 'tokens',
        s.sums[2], 'cost_usd', s.sums[3]) order by s.sums[3] desc, s.group_value), '[]')
      from private.usage_sums(v_terms, 'model', null, v_month, v_me) as s where s.sums[1] <> 0),
    'by_conversation', (select coalesce(jsonb_agg(to_jsonb(c) order by c.cost_usd desc, c.conversation_id), '[]') from (
      select l.conversation_id, max(t.title) as title, count(*) as requests, coalesce(sum(l.cost_usd), 0) as cost_usd,
        max(l.created_at) as last_at
      from public.chat_logs as l left join public.llm_conversations as t on t.id = l.conversation_id
      where l.user_id = v_user_id and l.created_at >= (v_month).begins group by 1
      order by 4 desc, 1 limit 20) as c),
    'dearest_answers', (select coalesce(jsonb_agg(to_jsonb(a) order by a.cost_usd desc, a.turn_id), '[]') from (
      select l.turn_id, l.conversation_id, l.model_identifier as model, l.cost_usd, l.created_at
      from public.chat_logs as l
      where l.user_id = v_user_id and l.created_at >= (v_month).begins and l.cost_usd > 0
      order by l.cost_usd desc, l.turn_id limit 10) as a));
end
$$;
comment on function public.my_usage(text) is
  'The caller''s page: {caps: my_limits() with forecast_usd, low_usd, high_usd, runs_out_at and is_enough_data of '
  'cost_forecast(); spent: {today, month}, each {requests, tokens, cost_usd, unpriced_requests, cached_answers, '
  'saved_usd} of the day and month of time_zone; by_model, by_conversation (20) and dearest_answers (10) of the last '
  '30 days}. Caps reset by UTC.';
revoke execute on function public.my_usage from public, anon, authenticated, service_role;
grant execute on function public.my_usage(text) to authenticated;
