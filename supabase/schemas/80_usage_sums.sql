-- Purpose: sums over any span, bucket and time zone, from the roll-up and, for hours that a bucket divides, the log.
-- Affects: functions in private
-- Access: signed-in users, over the rows that they may read.

create function private.log_terms() returns jsonb
  language sql immutable security invoker set search_path = '' as $$
  select jsonb_build_object(
    'user_id', 'l.user_id', 'provider', 'coalesce(l.provider, '''')',
    'model_identifier', 'coalesce(l.model_identifier, '''')', 'agent_type', 'coalesce(l.agent_type, '''')',
    'endpoint', 'l.endpoint', 'requests', '1',
    'cancelled', '(l.status = ''cancelled'')::integer', 'partial', '(l.status = ''partial'')::integer',
    'failed', '(l.status = ''failed'')::integer', 'abandoned', '(l.status = ''abandoned'')::integer',
    'input_tokens', 'coalesce(l.input_tokens, 0)', 'output_tokens', 'coalesce(l.output_tokens, 0)',
    'cached_tokens', 'coalesce(l.cached_tokens, 0)', 'reasoning_tokens', 'coalesce(l.reasoning_tokens, 0)',
    'cost_usd', 'coalesce(l.cost_usd, 0)', 'cached_cost_usd', 'coalesce(l.cached_cost_usd, 0)',
    'output_cost_usd', 'coalesce(l.output_cost_usd, 0)', 'reasoning_cost_usd', 'coalesce(l.reasoning_cost_usd, 0)',
    'unpriced_requests', '(l.cost_usd is null)::integer',
    'estimated_requests', '(l.usage_source in (''partial'', ''estimate'') is true)::integer',
    'duration_ms_sum', 'coalesce(l.duration_ms, 0)', 'ttft_ms_sum', 'coalesce(l.ttft_ms, 0)',
    'ttft_count', '(l.ttft_ms is not null)::integer') || jsonb_build_object(
    'fallbacks', '(l.status = ''completed'' and jsonb_array_length(l.attempts) > 1
      and l.attempts @> ''[{"ok": false}]'')::integer',
    'cached_answers', '(l.saved_usd is not null)::integer', 'saved_usd', 'coalesce(l.saved_usd, 0)',
    'handoffs', 'l.escalation_suggested::integer', 'ratings', '(l.rating is not null)::integer',
    'rating_sum', 'coalesce(l.rating, 0)::integer', 'rating_square_sum', 'coalesce(l.rating * l.rating, 0)::integer',
    'good_ratings', '(l.rating > 3 is true)::integer',
    'rated_handoffs', '(l.rating is not null and l.escalation_suggested)::integer',
    'good_handoffs', '((l.rating > 3 and l.escalation_suggested) is true)::integer',
    'classified', '(l.domain_classification is not null)::integer',
    'classified_right', '(case when l.asked_agent is null
      then l.domain_classification is not null and not l.escalation_suggested
      else l.asked_agent = l.domain_classification end is true)::integer')
    || (select jsonb_object_agg(e.name,
      format('(l.status in (''failed'', ''partial'') and private.error_class(l.error_code) = %L)::integer', e.class))
      from (values ('errors', 'provider'), ('client_errors', 'client'), ('limit_errors', 'limit'),
        ('timeout_errors', 'timeout'), ('other_errors', 'other')) as e (name, class))
$$;
comment on function private.log_terms() is
  'What each column of usage_hourly counts for one row l of chat_logs, as SQL by column; the same as usage_of().';
revoke execute on function private.log_terms from public, anon, authenticated, service_role;
grant execute on function private.log_terms() to authenticated, service_role;

create function private.filled_terms(p_text text, p_is_log boolean) returns text
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v record;
begin
  if not p_is_log then
    return regexp_replace(p_text, '\{(\w+)\}', 'u.\1', 'g');
  end if;
  for v in select t.key, t.value from jsonb_each_text(private.log_terms()) as t loop
    p_text := replace(p_text, '{' || v.key || '}', v.value);
  end loop;
  return p_text;
end
$$;
comment on function private.filled_terms(text, boolean) is
  'SQL with {column} replaced by the column of usage_hourly as u, or by its term for chat_logs as l.';
revoke execute on function private.filled_terms from public, anon, authenticated, service_role;
grant execute on function private.filled_terms(text, boolean) to authenticated, service_role;

create function private.sees_all() returns boolean
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if not row_security_active('public.usage_hourly'::regclass) then
    return true;
  end if;
  return current_user = 'parley_admin';
end
$$;
comment on function private.sees_all() is 'Whether the caller reads the rows of all users.';
revoke execute on function private.sees_all from public, anon, authenticated, service_role;
grant execute on function private.sees_all() to authenticated, service_role;

create function private.refuse_parameter(p_parameter text, p_message text) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  raise exception using errcode = 'PT422', message = p_message,
    detail = jsonb_build_object('code', 'validation_failed',
      'metadata', jsonb_build_object('param', p_parameter))::text;
end
$$;
comment on function private.refuse_parameter(text, text) is 'Ends the transaction with 422 and names the parameter.';
revoke execute on function private.refuse_parameter from public, anon, authenticated, service_role;
grant execute on function private.refuse_parameter(text, text) to authenticated, service_role;

create type private.report_span as (begins timestamptz, ends timestamptz, zone text);
comment on type private.report_span is 'A half-open span of time, and the time zone whose days and hours it has.';

create function private.checked_span(p_from timestamptz, p_to timestamptz, p_zone text, p_max_days integer
  default 1100) returns private.report_span
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v private.report_span;
begin
  v.zone := coalesce(p_zone, 'UTC');
  begin
    perform now() at time zone v.zone;
  exception when invalid_parameter_value then
    perform private.refuse_parameter('time_zone', 'time_zone is the name of a zone, such as Europe/Berlin.');
  end;
  v.ends := coalesce(p_to, now());
  v.begins := coalesce(p_from, v.ends - interval '30 days');
  if not isfinite(v.ends) or not isfinite(v.begins) or v.begins > v.ends then
    perform private.refuse_parameter('from', 'from and to are finite times, and from is not after to.');
  elsif v.ends - v.begins > make_interval(days => p_max_days) then
    perform private.refuse_parameter('from', format('This report covers at most %s days.', p_max_days));
  end if;
  return v;
end
$$;
comment on function private.checked_span(timestamptz, timestamptz, text, integer) is
  'The span; by default it ends now and begins 30 days before its end, and the zone is UTC. Refuses with 422 unknown '
  'zones, spans turned round, infinite and over p_max_days.';
revoke execute on function private.checked_span from public, anon, authenticated, service_role;
grant execute on function private.checked_span(timestamptz, timestamptz, text, integer) to authenticated, service_role;

create function private.checked_filters(p_filters jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v record;
  v_lists jsonb := '{}';
begin
  if jsonb_typeof(coalesce(p_filters, '{}')) <> 'object' then
    perform private.refuse_parameter('filters', 'filters is an object.');
  end if;
  for v in select f.key, f.value from jsonb_each(coalesce(p_filters, '{}')) as f loop
    if v.key not in ('model', 'provider', 'agent', 'endpoint', 'person') then
      perform private.refuse_parameter('filters', 'filters has model, provider, agent, endpoint and person only.');
    elsif not jsonb_path_exists(v.value, 'strict $ ? (@.type() == "string" || (@.type() == "array"
        && @.size() <= 100 && !exists(@[*] ? (@.type() != "string"))))') then
      perform private.refuse_parameter('filters', format('filters.%s is a text or a list of 100 at most.', v.key));
    end if;
    v_lists := v_lists || jsonb_build_object(v.key,
      case jsonb_typeof(v.value) when 'array' then v.value else jsonb_build_array(v.value) end);
  end loop;
  if exists (select from jsonb_array_elements_text(v_lists -> 'person') as t (id)
      where t.id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') then
    perform private.refuse_parameter('filters', 'filters.person is the id of a user.');
  elsif not private.sees_all() and exists (select from jsonb_array_elements_text(v_lists -> 'person') as t (id)
      where t.id::uuid is distinct from (select auth.uid())) then
    raise exception using errcode = 'PT403', message = 'Only admins see the use of other people.',
      detail = '{"code": "forbidden", "metadata": {"param": "filters"}}';
  end if;
  return v_lists;
end
$$;
comment on function private.checked_filters(jsonb) is
  'The filters, each as a list. Refuses unknown keys and wrong values with 422, and other users'' ids with 403.';
revoke execute on function private.checked_filters from public, anon, authenticated, service_role;
grant execute on function private.checked_filters(jsonb) to authenticated, service_role;

create function private.report_conditions(p_filters jsonb) returns text
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return concat_ws(' and ', 'true',
    (select string_agg(format('%s = any (array(select jsonb_array_elements_text($4 -> %L))%s)', f.term, f.key, f.type),
      ' and ')
     from (values ('model', '{model_identifier}', ''), ('provider', '{provider}', ''), ('agent', '{agent_type}', ''),
       ('endpoint', '{endpoint}', ''), ('person', '{user_id}', '::uuid[]')) as f (key, term, type)
     where p_filters ? f.key),
    -- The policies say the same, but only this condition lets an index begin at the user's rows.
    case when not private.sees_all() then '{user_id} = (select auth.uid())' end);
end
$$;
comment on function private.report_conditions(jsonb) is
  'The filters of checked_filters(), which the query gets as $4, as SQL with {columns}; and the caller''s own rows for '
  'users who see only these. No value of a caller becomes SQL.';
revoke execute on function private.report_conditions from public, anon, authenticated, service_role;
grant execute on function private.report_conditions(jsonb) to authenticated, service_role;

create function private.divided_hours(p_span private.report_span, p_bucket text) returns timestamptz[]
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_starts timestamptz[] := '{}';
begin
  if p_bucket = 'hour' then
    v_starts := array(
      select t.at from generate_series(date_trunc('hour', (p_span).begins, 'UTC'), (p_span).ends,
        interval '15 minutes') as t (at)
      -- A change of the clock may begin an hour in its middle.
      where t.at > (p_span).begins and date_trunc('hour', t.at, (p_span).zone)
        <> date_trunc('hour', t.at - interval '15 minutes', (p_span).zone));
  elsif p_bucket is not null then
    v_starts := array(
      select t.at at time zone (p_span).zone
      from generate_series(date_trunc(p_bucket, (p_span).begins at time zone (p_span).zone),
        (p_span).ends at time zone (p_span).zone, ('1 ' || p_bucket)::interval) as t (at)
      where t.at at time zone (p_span).zone > (p_span).begins);
  end if;
  return array(
    select min(b.at) from unnest(v_starts || array[(p_span).begins, (p_span).ends]) as b (at)
    where b.at <> date_trunc('hour', b.at, 'UTC') group by date_trunc('hour', b.at, 'UTC'));
end
$$;
comment on function private.divided_hours(private.report_span, text) is
  'The first time in each UTC hour at which the span begins or ends or a bucket begins, if that is within the hour.';
revoke execute on function private.divided_hours from public, anon, authenticated, service_role;
grant execute on function private.divided_hours(private.report_span, text) to authenticated, service_role;

create function private.group_term(p_group text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select case p_group when 'model' then '{model_identifier}' when 'provider' then '{provider}'
    when 'agent' then '{agent_type}' when 'endpoint' then '{endpoint}' when 'person' then '{user_id}::text'
    when 'status' then 'l.status' when 'arm' then 'concat_ws('': '', l.route_alias, l.route_arm)'
    else 'null::text' end
$$;
comment on function private.group_term(text) is
  'What a report groups by, as SQL with {columns}; status and arm are only in the log.';
revoke execute on function private.group_term from public, anon, authenticated, service_role;
grant execute on function private.group_term(text) to authenticated, service_role;

create function private.usage_sql(p_terms text, p_selected text, p_group text, p_has_buckets boolean,
  p_filters jsonb, p_lateral text) returns text
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_conditions text := private.report_conditions(p_filters);
  v_log text := private.filled_terms(
    format('%s as grp, %s', private.group_term(p_group), replace(p_terms, '{sign}', 's.sign')), true);
begin
  if p_group in ('status', 'arm') then
    return format('select l.created_at as at, %s from public.chat_logs as l cross join (select 1 as sign) as s
      where l.created_at >= $1 and l.created_at < $2 and %s', v_log, private.filled_terms(v_conditions, true));
  end if;
  -- Rows of a divided hour leave the bucket of its begin and go to their own.
  return format('select %s as at, %s as grp, %s from public.usage_hourly as u %s
      where u.hour >= $1 and u.hour < $2 and %s group by %s
    union all
    select s.at, %s from unnest($3) as e (at)
    cross join lateral (  -- offset 0 makes each hour a scan of the index
      select * from public.chat_logs as h where h.created_at >= e.at
        and h.created_at < date_trunc(''hour'', e.at, ''UTC'') + interval ''1 hour'' offset 0) as l
    cross join lateral (values (-1, date_trunc(''hour'', l.created_at, ''UTC'')), (1, l.created_at)) as s (sign, at)
      where s.at >= $1 and s.at < $2 and %s',
    case when p_has_buckets then 'u.hour' else '$1' end, private.filled_terms(private.group_term(p_group), false),
    p_selected, p_lateral, private.filled_terms(v_conditions, false),
    case when p_lateral = '' then '1, 2' else '1, 2, 3' end, v_log, private.filled_terms(v_conditions, true));
end
$$;
comment on function private.usage_sql(text, text, text, boolean, jsonb, text) is
  'A query for at, grp and sums: p_selected over usage_hourly as u, p_terms over rows of chat_logs with their {sign}. '
  'Its parameters are begin, end, divided_hours() and checked_filters().';
revoke execute on function private.usage_sql from public, anon, authenticated, service_role;
grant execute on function private.usage_sql(text, text, text, boolean, jsonb, text) to authenticated, service_role;

create function private.usage_sums(p_terms text[], p_group text, p_bucket text, p_span private.report_span,
  p_filters jsonb default '{}') returns table (bucket_start timestamptz, group_value text, sums numeric[])
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_terms text[] := p_terms || '{requests}'::text;
  v_log text;
  v_hourly text;
  v_outer text;
begin
  select string_agg(format('{sign} * (%s) as s%s', t.term, t.place), ', ' order by t.place),
      string_agg(format('sum(%s) as s%s', private.filled_terms(t.term, false), t.place), ', ' order by t.place),
      string_agg(format('sum(p.s%s)::numeric', t.place), ', ' order by t.place)
    into v_log, v_hourly, v_outer from unnest(v_terms) with ordinality as t (term, place);
  return query execute format('select %s, p.grp, array[%s] from (%s) as p group by 1, 2',
      case when p_bucket is null then 'null::timestamptz'
        else format('date_trunc(%L, p.at, %L)', p_bucket, (p_span).zone) end,
      v_outer, private.usage_sql(v_log, v_hourly, p_group, p_bucket is not null, p_filters, ''))
    using (p_span).begins, (p_span).ends, private.divided_hours(p_span, p_bucket), p_filters;
end
$$;
comment on function private.usage_sums(text[], text, text, private.report_span, jsonb) is
  'Sums of the terms (SQL with {columns} of usage_hourly), and of requests last, for each bucket and group. Hours that '
  'a bucket divides are read from the log; what retention has deleted there counts for the bucket in which they begin. '
  'Without a group or bucket that column is null.';
revoke execute on function private.usage_sums from public, anon, authenticated, service_role;
grant execute on function private.usage_sums(text[], text, text, private.report_span, jsonb) to authenticated,
  service_role;

create function private.usage_percentiles(p_column text, p_share double precision, p_group text, p_bucket text,
  p_span private.report_span, p_filters jsonb default '{}')
  returns table (bucket_start timestamptz, group_value text, value numeric, n numeric, low numeric, high numeric)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return query execute format('
    with counts as (
      select %s as bucket, p.grp, p.place, sum(p.turns) as turns from (%s) as p where p.place > 0 group by 1, 2, 3
    ), ranked as (
      select c.*, sum(c.turns) over upto as below, sum(c.turns) over whole as total
      from counts as c where c.turns > 0
      window whole as (partition by c.bucket, c.grp), upto as (partition by c.bucket, c.grp order by c.place)
    ), first as (  -- only here is the exponent below between 0 and 1
      select distinct on (r.bucket, r.grp) r.* from ranked as r
      where r.below >= r.total * $5 order by r.bucket, r.grp, r.place
    )
    select f.bucket, f.grp,
      round((b.high / 1.25 ^ (1 - (greatest(f.total * $5, 1) - f.below + f.turns) / f.turns))::numeric, 1), f.total,
      round(b.low::numeric, 1), round(b.high::numeric, 1)
    from first as f
    cross join lateral (select 10 * 1.25::double precision ^ (f.place - 1) as high,
      case when f.place = 1 then 0 else 10 * 1.25::double precision ^ (f.place - 2) end as low) as b
    order by f.bucket, f.grp',
      case when p_bucket is null then 'null::timestamptz'
        else format('date_trunc(%L, p.at, %L)', p_bucket, (p_span).zone) end,
      private.usage_sql(format('private.duration_bucket(l.%s) as place, {sign} as turns', p_column || '_ms'),
        format('k.place, sum(u.%I[k.place]) as turns', p_column || '_histogram'), p_group, p_bucket is not null,
        p_filters, format('cross join lateral generate_subscripts(u.%I, 1) as k (place)', p_column || '_histogram')))
    using (p_span).begins, (p_span).ends, private.divided_hours(p_span, p_bucket), p_filters, p_share;
end
$$;
comment on function private.usage_percentiles(text, double precision, text, text, private.report_span, jsonb) is
  'Milliseconds below which the share of the turns lies, by the histogram of duration or ttft: low and high are the '
  'ends of the element that has it, value lies between them in proportion, n is the number of turns.';
revoke execute on function private.usage_percentiles from public, anon, authenticated, service_role;
grant execute on function private.usage_percentiles(text, double precision, text, text, private.report_span, jsonb) to
  authenticated, service_role;
