-- Purpose: every metric by every group, in buckets of any time zone.
-- Affects: public.usage_report()
-- Access: signed-in users, over the rows that they may read; admins over all.

create function private.report_metric(p_metric text, out terms text[], out kind text)
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  case
    when p_metric in ('requests', 'cancelled', 'partial', 'failed', 'abandoned', 'input_tokens', 'output_tokens',
      'cached_tokens', 'reasoning_tokens', 'cost_usd', 'unpriced_requests', 'estimated_requests', 'errors',
      'client_errors', 'limit_errors', 'timeout_errors', 'other_errors', 'fallbacks', 'handoffs', 'ratings',
      'cached_answers', 'saved_usd') then
      terms := array['{' || p_metric || '}']; kind := 'sum';
    when p_metric = 'completed' then
      terms := '{"{requests} - {cancelled} - {partial} - {failed} - {abandoned}"}'; kind := 'sum';
    when p_metric = 'total_tokens' then terms := '{"{input_tokens} + {output_tokens}"}'; kind := 'sum';
    when p_metric = 'satisfaction' then
      terms := '{"{rating_sum}","{ratings}","{rating_square_sum}"}'; kind := 'mean';
    when p_metric = 'classification_accuracy' then terms := '{"{classified_right}","{classified}"}'; kind := 'share';
    when p_metric = 'escalation_success' then terms := '{"{good_handoffs}","{rated_handoffs}"}'; kind := 'share';
    when p_metric = 'error_rate' then terms := '{"{errors}","{requests}"}'; kind := 'share';
    when p_metric = 'fallback_rate' then terms := '{"{fallbacks}","{requests}"}'; kind := 'share';
    when p_metric = 'mean_duration_ms' then terms := '{"{duration_ms_sum}","{requests}"}'; kind := 'ratio';
    when p_metric = 'mean_ttft_ms' then terms := '{"{ttft_ms_sum}","{ttft_count}"}'; kind := 'ratio';
    when p_metric = 'tokens_per_turn' then
      terms := '{"{input_tokens} + {output_tokens}","{requests}"}'; kind := 'ratio';
    when p_metric = 'cost_per_turn' then terms := '{"{cost_usd}","{requests} - {unpriced_requests}"}'; kind := 'ratio';
    when p_metric = 'cost_efficiency' then terms := '{"{cost_usd}","{good_ratings}"}'; kind := 'ratio';
    when p_metric = 'value' then terms := '{"{good_ratings}","{cost_usd}"}'; kind := 'per_dollar';
    when p_metric ~ '^(duration|ttft)_p(50|90|95|99)$' then
      terms := string_to_array(p_metric, '_p'); kind := 'percentile';
    when p_metric = 'context_efficiency' then kind := 'median';
    when p_metric = 'tool_calls' then kind := 'tools';
    else perform private.refuse_parameter('metric', 'This metric does not exist.');
  end case;
end
$$;
comment on function private.report_metric(text) is
  'The terms of a metric (a sum, or numerator and denominator, for a mean also the squares) and how they make its '
  'value: sum, mean (of ratings), share, ratio, per_dollar, percentile, median or tools. Refuses unknown ones '
  'with 422.';
revoke execute on function private.report_metric from public, anon, authenticated, service_role;
grant execute on function private.report_metric(text) to authenticated, service_role;

create type private.report_row as (
  bucket_start timestamptz, group_value text, value numeric, n bigint, low numeric, high numeric
);
comment on type private.report_row is 'A row of usage_report().';

create function private.metric_row(p_kind text, p_bucket timestamptz, p_group text, p_sums numeric[])
  returns private.report_row
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v private.report_row;
  v_spread numeric;
  v_interval numrange;
begin
  v.bucket_start := p_bucket;
  v.group_value := p_group;
  if p_kind = 'sum' then
    v.value := p_sums[1];
    v.n := p_sums[array_upper(p_sums, 1)];
    return v;
  end if;
  v.n := case when p_kind = 'per_dollar' then p_sums[1] else p_sums[2] end;
  v.value := round(p_sums[1] / nullif(p_sums[2], 0), 9);
  if p_kind = 'share' then
    v_interval := public.wilson_interval(p_sums[1]::bigint, p_sums[2]::bigint);
    v.low := lower(v_interval);
    v.high := upper(v_interval);
  elsif p_kind = 'mean' and p_sums[2] > 1 then
    v_spread := 1.96 * sqrt(greatest(p_sums[3] - p_sums[1] * p_sums[1] / p_sums[2], 0) / (p_sums[2] - 1) / p_sums[2]);
    v.low := round(greatest(v.value - v_spread, 1), 4);
    v.high := round(least(v.value + v_spread, 5), 4);
  end if;
  return v;
end
$$;
comment on function private.metric_row(text, timestamptz, text, numeric[]) is
  'The value of a metric with its sample size and 95 % interval: Wilson''s for a share, mean +- 1.96 standard errors '
  'within 1 to 5 for ratings. Null without a sample.';
revoke execute on function private.metric_row from public, anon, authenticated, service_role;
grant execute on function private.metric_row(text, timestamptz, text, numeric[]) to authenticated, service_role;

create function private.bucket_of(p_bucket text, p_at timestamptz, p_zone text) returns timestamptz
  language sql stable security invoker set search_path = '' as $$
  select case when p_bucket is not null then date_trunc(p_bucket, p_at, p_zone) end
$$;
comment on function private.bucket_of(text, timestamptz, text) is 'The begin of the bucket; null without buckets.';
revoke execute on function private.bucket_of from public, anon, authenticated, service_role;
grant execute on function private.bucket_of(text, timestamptz, text) to authenticated, service_role;

create function private.log_report(p_kind text, p_group text, p_bucket text, p_span private.report_span,
  p_filters jsonb) returns setof private.report_row
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_group text := private.filled_terms(private.group_term(p_group), true);
  v_where text := private.filled_terms(private.report_conditions(p_filters), true);
begin
  if p_kind = 'tools' then
    return query execute format('
      select private.bucket_of(%L, l.created_at, %L), %s, count(*)::numeric, count(distinct l.turn_id), null::numeric,
        null::numeric
      from public.chat_logs as l cross join lateral jsonb_array_elements(l.tools_used) as t (tool)
      where l.created_at >= $1 and l.created_at < $2 and l.tools_used <> ''[]'' and %s group by 1, 2',
      p_bucket, (p_span).zone, case when p_group = 'tool' then 't.tool ->> ''name''' else v_group end, v_where)
      using (p_span).begins, (p_span).ends, null::text, p_filters;
  else
    return query execute format('
      select private.bucket_of(%L, l.created_at, %L), %s,
        round(percentile_cont(0.5) within group (order by l.output_tokens::double precision / l.input_tokens)::numeric,
          9), count(*), null::numeric, null::numeric
      from public.chat_logs as l where l.created_at >= $1 and l.created_at < $2 and l.input_tokens > 0
        and l.output_tokens is not null and %s group by 1, 2', p_bucket, (p_span).zone, v_group, v_where)
      using (p_span).begins, (p_span).ends, null::text, p_filters;
  end if;
end
$$;
comment on function private.log_report(text, text, text, private.report_span, jsonb) is
  'Rows of the metrics that only the log can give: tool_calls and context_efficiency.';
revoke execute on function private.log_report from public, anon, authenticated, service_role;
grant execute on function private.log_report(text, text, text, private.report_span, jsonb) to authenticated,
  service_role;

create function private.sum_report(p_terms text[], p_kind text, p_group text, p_bucket text,
  p_span private.report_span, p_filters jsonb, p_top integer) returns setof private.report_row
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_group in ('status', 'arm') then
    return query
      with logged as (
        select * from private.usage_sums(p_terms, p_group, p_bucket, p_span, p_filters)
      ), purged as (  -- in the roll-up, but no longer in the log
        select a.bucket_start, array_agg(a.total - coalesce(a.logged, 0) order by a.place) as sums
        from (
          select u.bucket_start, t.place, t.total,
            (select sum(l.sums[t.place]) from logged as l where l.bucket_start is not distinct from u.bucket_start)
              as logged
          from private.usage_sums(p_terms, null, p_bucket, p_span, p_filters) as u
          cross join lateral unnest(u.sums) with ordinality as t (total, place)) as a
        group by a.bucket_start having sum(abs(a.total - coalesce(a.logged, 0))) > 0
      )
      select m.* from (select * from logged union all select p.bucket_start, 'purged', p.sums from purged as p) as s
      cross join lateral private.metric_row(p_kind, s.bucket_start, s.group_value, s.sums) as m;
    return;
  end if;
  return query
    with groups as (
      select * from private.usage_sums(p_terms, p_group, p_bucket, p_span, p_filters) as s
      where 0 <> any (s.sums)
    ), ranked as (
      select g.group_value, row_number() over (order by sum(g.sums[1]) desc, g.group_value) as place
      from groups as g where p_group = 'person' group by g.group_value
    ), named as (
      select g.bucket_start, g.sums,
        case when p_group is distinct from 'person' or r.place <= p_top then g.group_value else 'other' end as name
      from groups as g left join ranked as r on coalesce(r.group_value, '') = coalesce(g.group_value, '')
    ), added as (
      select n.bucket_start, n.name, t.place, sum(t.term) as total
      from named as n cross join lateral unnest(n.sums) with ordinality as t (term, place) group by 1, 2, 3
    ), summed as (
      select a.bucket_start, a.name, array_agg(a.total order by a.place) as sums
      from added as a group by a.bucket_start, a.name
    )
    select m.* from summed as s cross join lateral private.metric_row(p_kind, s.bucket_start, s.name, s.sums) as m;
end
$$;
comment on function private.sum_report(text[], text, text, text, private.report_span, jsonb, integer) is
  'Rows of the metrics that are sums or quotients of sums. Users beyond the first p_top are the row other. By status '
  'and arm, which only the log has, the row purged is what retention has deleted.';
revoke execute on function private.sum_report from public, anon, authenticated, service_role;
grant execute on function private.sum_report(text[], text, text, text, private.report_span, jsonb, integer) to
  authenticated, service_role;

create function private.kind_report(p_metric text, p_bucket text, p_span private.report_span, p_filters jsonb)
  returns setof private.report_row
  language sql stable security invoker set search_path = '' as $$
  select s.bucket_start, k.name, s.sums[k.place], s.sums[5]::bigint, null::numeric, null::numeric
  from private.usage_sums(case p_metric
    when 'cost_usd' then array['{cost_usd} - {cached_cost_usd} - {output_cost_usd} - {reasoning_cost_usd}',
      '{cached_cost_usd}', '{output_cost_usd}', '{reasoning_cost_usd}']
    else array['{input_tokens} - {cached_tokens}', '{cached_tokens}', '{output_tokens} - {reasoning_tokens}',
      '{reasoning_tokens}'] end, null, p_bucket, p_span, p_filters) as s
  cross join (values ('input', 1), ('cached_input', 2), ('output', 3), ('reasoning', 4)) as k (name, place)
$$;
comment on function private.kind_report(text, text, private.report_span, jsonb) is
  'total_tokens or cost_usd by kind of token: input is without cached input, output without reasoning.';
revoke execute on function private.kind_report from public, anon, authenticated, service_role;
grant execute on function private.kind_report(text, text, private.report_span, jsonb) to authenticated, service_role;

create function public.usage_report(metric text, group_by text default null, bucket text default null,
  "from" timestamptz default null, "to" timestamptz default null, time_zone text default 'UTC',
  filters jsonb default '{}', top integer default 20)
  returns table (bucket_start timestamptz, group_value text, value numeric, n bigint, low numeric, high numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_metric record := private.report_metric(metric);
  v_filters jsonb := private.checked_filters(filters);
  v_span private.report_span := private.checked_span("from", "to", time_zone,
    case when bucket = 'hour' then 93 else 1100 end);
begin
  if bucket not in ('hour', 'day', 'week', 'month') then
    perform private.refuse_parameter('bucket', 'bucket is hour, day, week, month or null.');
  elsif group_by not in ('model', 'provider', 'agent', 'endpoint', 'person', 'status', 'arm', 'tool', 'kind') then
    perform private.refuse_parameter('group_by',
      'group_by is model, provider, agent, endpoint, person, status, arm, tool, kind or null.');
  elsif (top between 1 and 1000) is not true then
    perform private.refuse_parameter('top', 'top is 1 to 1000.');
  elsif group_by = 'tool' and metric <> 'tool_calls' or group_by = 'kind' and metric not in ('total_tokens', 'cost_usd')
      or group_by in ('status', 'arm') and v_metric.kind = 'percentile' then
    perform private.refuse_parameter('group_by', format('%s has no parts by %s.', metric, group_by));
  elsif group_by = 'person' and not private.sees_all() then
    raise exception using errcode = 'PT403', message = 'Only admins group by person.',
      detail = '{"code": "forbidden", "metadata": {"param": "group_by"}}';
  end if;
  if v_metric.kind in ('tools', 'median') then
    return query select r.* from private.log_report(v_metric.kind, group_by, bucket, v_span, v_filters) as r
      order by 1, 2;
  elsif v_metric.kind = 'percentile' then
    return query select p.bucket_start, p.group_value, p.value, p.n::bigint, p.low, p.high
      from private.usage_percentiles(v_metric.terms[1], v_metric.terms[2]::double precision / 100, group_by, bucket,
        v_span, v_filters) as p order by 1, 2;
  elsif group_by = 'kind' then
    return query select r.* from private.kind_report(metric, bucket, v_span, v_filters) as r order by 1, 2;
  else
    return query select r.*
      from private.sum_report(v_metric.terms, v_metric.kind, group_by, bucket, v_span, v_filters, top) as r
      order by 1, 2;
  end if;
exception when query_canceled then
  raise exception using errcode = 'PT503', message = 'This report takes too long: ask for a shorter span.',
    detail = '{"code": "database_busy", "metadata": {"retry_after": 2}}';
end
$$;
comment on function public.usage_report(text, text, text, timestamptz, timestamptz, text, jsonb, integer) is
  'One metric in the half-open span, for each bucket (hour, day, week or month of time_zone) and group, with its '
  'sample size n and 95 % interval. Rows of a sum add up to the report without group_by, which equals the log. '
  'Formulas: sums: requests, completed, cancelled, partial, failed, abandoned, errors and the other columns of '
  'usage_hourly, total_tokens (input + output), cost_usd; cached_answers are turns served by a stored answer of '
  'assist, saved_usd what they saved. satisfaction: mean of ratings 1 to 5 by users who asked '
  '(thumbs are 5 and 1). classification_accuracy: turns whose classifier named the agent that the user named, or '
  'whose first agent kept them when the user named none, / classified turns. escalation_success: hand-offs rated 4 '
  'or 5 / rated hand-offs. error_rate: errors of models / turns. fallback_rate: turns saved by a fallback / turns. '
  'mean_duration_ms, mean_ttft_ms, tokens_per_turn, cost_per_turn (of turns with a known price): means. '
  'duration_p50, _p90, _p95, _p99, ttft_p50 and so on: percentiles by histogram, within low and high. '
  'cost_efficiency: cost / turns rated 4 or 5. value: turns rated 4 or 5 / US dollar. context_efficiency: median of '
  'output / input tokens, of turns in the log. tool_calls: calls in the log, n turns. group_by: model, provider, '
  'agent, endpoint, person (admins; the first top and other), status and arm (from the log; purged is what '
  'retention deleted), tool (tool_calls only), kind (total_tokens and cost_usd only). filters: {model, provider, '
  'agent, endpoint, person}, each a text or a list. Null value: no sample. At most 1100 days, 93 with hours.';
revoke execute on function public.usage_report from public, anon, authenticated, service_role;
grant execute on function public.usage_report(text, text, text, timestamptz, timestamptz, text, jsonb, integer) to
  authenticated, service_role;
