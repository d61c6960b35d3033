-- Purpose: the sums of a span by day, model, agent, endpoint and user, in one pass.
-- Affects: public.usage_overview()
-- Access: signed-in users, over the rows that they may read; admins over all.

create function private.overview_sums(p_from date, p_to date, p_filters jsonb, p_top integer)
  returns table (part text, sums jsonb)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return query execute format('
    with grouped as (
      select case when grouping(c.day) = 0 then ''days'' when grouping(c.model_identifier) = 0 then ''models''
          when grouping(c.agent_type) = 0 then ''agents'' when grouping(c.endpoint) = 0 then ''endpoints''
          when grouping(c.user_id) = 0 then ''people'' else ''total'' end as part,
        coalesce(c.day::text, c.model_identifier, c.agent_type, c.endpoint, c.user_id::text) as key,
        sum(c.requests) as requests, sum(c.errors) as errors, sum(c.input_tokens) as input_tokens,
        sum(c.output_tokens) as output_tokens, sum(c.cost_usd) as cost_usd,
        sum(c.unpriced_requests) as unpriced_requests, sum(c.duration_ms_sum) as duration,
        sum(c.ttft_ms_sum) as ttft, sum(c.ttft_count) as answered
      from (select (u.hour at time zone ''UTC'')::date as day, u.* from public.usage_hourly as u
        where u.hour >= $1 and u.hour < $2 and %s) as c
      group by grouping sets ((c.day), (c.model_identifier), (c.agent_type), (c.endpoint), (c.user_id), ())
    ), placed as (
      select g.*, case when g.part = ''days'' or row_number() over (partition by g.part
        order by g.cost_usd desc, g.requests desc, g.key) <= $5 then g.key else ''other'' end as name
      from grouped as g where g.requests > 0
    )
    select p.part, jsonb_build_object(''key'', p.name, ''requests'', sum(p.requests), ''errors'', sum(p.errors),
      ''input_tokens'', sum(p.input_tokens), ''output_tokens'', sum(p.output_tokens), ''cost_usd'', sum(p.cost_usd),
      ''unpriced_requests'', sum(p.unpriced_requests), ''mean_ms'', round(sum(p.duration) / sum(p.requests), 1),
      ''mean_ttft_ms'', round(sum(p.ttft) / nullif(sum(p.answered), 0), 1))
      || case when p.part = ''total'' then jsonb_build_object(''people'',
        (select count(g.key) from grouped as g where g.part = ''people'')) else ''{}'' end
    from placed as p group by p.part, p.name order by p.part, sum(p.cost_usd) desc, sum(p.requests) desc, p.name',
    private.filled_terms(private.report_conditions(p_filters), false))
    using p_from::timestamp at time zone 'UTC', p_to::timestamp at time zone 'UTC', null::text, p_filters, p_top;
end
$$;
comment on function private.overview_sums(date, date, jsonb, integer) is
  'The rows of usage_overview(), the dearest first, and its total; without a turn there is no row.';
revoke execute on function private.overview_sums from public, anon, authenticated, service_role;
grant execute on function private.overview_sums(date, date, jsonb, integer) to authenticated, service_role;

create function public.usage_overview("from" date default null, "to" date default null, filters jsonb default '{}',
  top integer default 100) returns jsonb
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_filters jsonb := private.checked_filters(filters);
  v_to date := coalesce("to", (now() at time zone 'UTC')::date + 1);
  v_from date := coalesce("from", v_to - 30);
  v_nothing jsonb := '{"requests": 0, "errors": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0,
    "unpriced_requests": 0, "mean_ms": null, "mean_ttft_ms": null, "people": 0}';
  v_person jsonb := jsonb_strip_nulls(jsonb_build_object('person', v_filters -> 'person'));
  v_first timestamptz;
  v_parts jsonb;
begin
  if not isfinite(v_to) or not isfinite(v_from) or v_from >= v_to or v_to - v_from > 1100 then
    perform private.refuse_parameter('from', 'from is before to, by 1100 days at most.');
  elsif (top between 1 and 1000) is not true then
    perform private.refuse_parameter('top', 'top is 1 to 1000.');
  end if;
  execute 'select min(u.hour) from public.usage_hourly as u where '
    || private.filled_terms(private.report_conditions(v_person), false) into v_first using null, null, null, v_person;
  select coalesce(jsonb_object_agg(s.part, s.sums), '{}') into v_parts
    from (select o.part, jsonb_agg(o.sums) as sums from private.overview_sums(v_from, v_to, v_filters, top) as o
      group by o.part) as s;
  return '{"days": [], "models": [], "agents": [], "endpoints": [], "people": []}'::jsonb || v_parts
    || jsonb_build_object('first_day', (v_first at time zone 'UTC')::date,
      'total', coalesce(v_parts -> 'total' -> 0, v_nothing) - 'key',
      'before', coalesce((select o.sums from private.overview_sums(v_from - (v_to - v_from), v_from, v_filters, 1) as o
        where o.part = 'total'), v_nothing) - 'key');
exception when query_canceled then
  raise exception using errcode = 'PT503', message = 'This report takes too long: ask for a shorter span.',
    detail = '{"code": "database_busy", "metadata": {"retry_after": 2}}';
end
$$;
comment on function public.usage_overview(date, date, jsonb, integer) is
  '{days, models, agents, endpoints, people, total, before, first_day}: sums of the UTC days from `from` until before '
  '`to`, by default the last 30. Each is {key, requests, errors, input_tokens, output_tokens, cost_usd, '
  'unpriced_requests, mean_ms, mean_ttft_ms}, in lists the dearest first; total and before (the same number of days '
  'before) have people, the number of users, and no key. Keys beyond the first top are the row other; deleted users '
  'have the key null. first_day is the first day of any use that the caller sees, or of the users in the filter. '
  'filters as in usage_report().';
revoke execute on function public.usage_overview from public, anon, authenticated, service_role;
grant execute on function public.usage_overview(date, date, jsonb, integer) to authenticated, service_role;
