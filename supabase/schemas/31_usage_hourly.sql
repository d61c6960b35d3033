-- Purpose: the log summed by hour, user, provider, model, agent and endpoint.
-- Affects: public.usage_hourly
-- Access: users read their own rows, admins all; only the triggers of chat_logs write.

create table public.usage_hourly (
  id bigint generated always as identity constraint usage_hourly_pkey primary key,
  hour timestamptz not null,
  user_id uuid constraint usage_hourly_user_id_fkey references auth.users (id) on delete set null,
  provider text not null default '',
  model_identifier text not null default '',
  agent_type text not null default '',
  endpoint text not null default '',
  requests integer not null default 0,
  cancelled integer not null default 0,
  partial integer not null default 0,
  failed integer not null default 0,
  abandoned integer not null default 0,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  cost_usd numeric(18, 9) not null default 0,
  cached_cost_usd numeric(18, 9) not null default 0,
  output_cost_usd numeric(18, 9) not null default 0,
  reasoning_cost_usd numeric(18, 9) not null default 0,
  unpriced_requests integer not null default 0,
  estimated_requests integer not null default 0,
  duration_ms_sum bigint not null default 0,
  ttft_ms_sum bigint not null default 0,
  ttft_count integer not null default 0,
  errors integer not null default 0,
  client_errors integer not null default 0,
  limit_errors integer not null default 0,
  timeout_errors integer not null default 0,
  other_errors integer not null default 0,
  fallbacks integer not null default 0,
  handoffs integer not null default 0,
  ratings integer not null default 0,
  rating_sum bigint not null default 0,
  rating_square_sum bigint not null default 0,
  good_ratings integer not null default 0,
  rated_handoffs integer not null default 0,
  good_handoffs integer not null default 0,
  classified integer not null default 0,
  classified_right integer not null default 0,
  duration_histogram integer[] not null default '{}',
  ttft_histogram integer[] not null default '{}',
  cached_answers integer not null default 0,
  saved_usd numeric(18, 9) not null default 0,
  constraint usage_hourly_dimensions_key unique (user_id, hour, provider, model_identifier, agent_type, endpoint)
) with (fillfactor = 70);
comment on table public.usage_hourly is
  'Sums of chat_logs, kept by its triggers. Rows that purge_logs deletes stay counted.';
comment on column public.usage_hourly.hour is 'Begin of the UTC hour of chat_logs.created_at.';
comment on column public.usage_hourly.user_id is
  'Null once the user is deleted. Several rows may then have the same keys: sum them.';
comment on column public.usage_hourly.provider is 'Empty when the log row has none, as are model, agent and endpoint.';
comment on column public.usage_hourly.requests is
  'Turns in the log, whatever their status; completed are those that no other column of a status counts.';
comment on column public.usage_hourly.input_tokens is 'Includes cached tokens; a turn with unknown usage counts as 0.';
comment on column public.usage_hourly.output_tokens is
  'Includes reasoning tokens; a turn with unknown usage counts as 0.';
comment on column public.usage_hourly.cost_usd is
  'US dollars of turns with a known cost. Without the three columns by kind it is the cost of uncached input.';
comment on column public.usage_hourly.cached_cost_usd is 'US dollars of cached input.';
comment on column public.usage_hourly.output_cost_usd is 'US dollars of output without reasoning.';
comment on column public.usage_hourly.reasoning_cost_usd is 'US dollars of reasoning.';
comment on column public.usage_hourly.unpriced_requests is
  'Turns whose cost is unknown; cost_usd does not include them.';
comment on column public.usage_hourly.estimated_requests is 'Turns whose usage is an estimate or partly one.';
comment on column public.usage_hourly.duration_ms_sum is 'Milliseconds of all turns; divide by requests for the mean.';
comment on column public.usage_hourly.ttft_ms_sum is
  'Milliseconds to the first content; divide by ttft_count for the mean.';
comment on column public.usage_hourly.ttft_count is 'Turns with content.';
comment on column public.usage_hourly.errors is
  'Turns that failed or ended early because of what the provider did; see private.is_model_fault(). The four columns '
  'below count such turns by other causes.';
comment on column public.usage_hourly.client_errors is 'The request was wrong, or its content was refused.';
comment on column public.usage_hourly.limit_errors is 'A cap or a budget ended the turn.';
comment on column public.usage_hourly.timeout_errors is 'The deadline of this deployment ended the turn.';
comment on column public.usage_hourly.other_errors is 'All other causes, such as the configuration.';
comment on column public.usage_hourly.fallbacks is 'Completed turns with a model request that failed.';
comment on column public.usage_hourly.handoffs is 'Turns that one agent handed to another.';
comment on column public.usage_hourly.ratings is 'Turns with a rating by the user who asked; see chat_logs.rating.';
comment on column public.usage_hourly.good_ratings is 'Turns rated 4 or 5.';
comment on column public.usage_hourly.rated_handoffs is 'Turns with a hand-off and a rating.';
comment on column public.usage_hourly.good_handoffs is 'Turns with a hand-off that are rated 4 or 5.';
comment on column public.usage_hourly.classified is
  'Turns whose question was classified; classified_right counts those where the user had named the same agent, or '
  'had named none and the agent kept the turn.';
comment on column public.usage_hourly.duration_histogram is
  'Turns by duration: the element k counts 10 * 1.25^(k - 2) < milliseconds <= 10 * 1.25^(k - 1), 1 also what is '
  'faster, 52 also what is slower, 0 turns without one; null is 0. Histograms add up element by element.';
comment on column public.usage_hourly.ttft_histogram is 'The same of the time to the first content.';
comment on column public.usage_hourly.cached_answers is
  'Turns that a stored answer of assist served; no model was called.';
comment on column public.usage_hourly.saved_usd is
  'US dollars that these turns saved: what their answers had cost. An unknown cost counts as 0.';

create index usage_hourly_hour_idx on public.usage_hourly (hour);

alter table public.usage_hourly enable row level security;
revoke all on public.usage_hourly from public, anon, authenticated, service_role;
revoke all on sequence public.usage_hourly_id_seq from public, anon, authenticated, service_role;
grant select on public.usage_hourly to authenticated;
grant select on public.usage_hourly to service_role;

create policy usage_hourly_select_own on public.usage_hourly for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy usage_hourly_select_own on public.usage_hourly is 'Users see their own use.';
create policy usage_hourly_select_admin on public.usage_hourly for select to parley_admin using (true);
comment on policy usage_hourly_select_admin on public.usage_hourly is 'Admins see all.';

create function private.is_model_fault(p_error_code text) returns boolean
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return coalesce(p_error_code in ('provider_error', 'answer_cut', 'output_invalid', 'provider_auth_failed',
    'model_unavailable', 'provider_overloaded', 'provider_unreachable', 'node_failed', 'provider_timeout'), false);
end
$$;
comment on function private.is_model_fault(text) is
  'Whether a turn that ended with this code counts against its model. What the user, the operator or our own deadline '
  'did does not, and neither does a turn that called no model.';
revoke execute on function private.is_model_fault from public, anon, authenticated, service_role;
grant execute on function private.is_model_fault(text) to authenticated, service_role;

create function private.error_class(p_error_code text) returns text
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case
    when p_error_code is null then null
    when private.is_model_fault(p_error_code) then 'provider'
    when p_error_code = 'turn_timeout' then 'timeout'
    when p_error_code in ('budget_exceeded', 'quota_exceeded', 'too_many_turns') then 'limit'
    when p_error_code in ('invalid_request', 'validation_failed', 'context_exceeded', 'context_length_exceeded',
      'provider_refused', 'model_not_found', 'body_too_large') then 'client'
    else 'other' end;
end
$$;
comment on function private.error_class(text) is
  'provider, client, limit, timeout or other: the cause of an error code; null for null.';
revoke execute on function private.error_class from public, anon, authenticated, service_role;
grant execute on function private.error_class(text) to authenticated, service_role;

create function private.duration_bucket(p_ms integer) returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case when p_ms is null then 0 when p_ms <= 10 then 1
    else least(ceil(ln(p_ms / 10.0::double precision) / ln(1.25::double precision))::integer + 1, 52) end;
end
$$;
comment on function private.duration_bucket(integer) is
  'The element of a histogram that counts so many milliseconds: 1 to 52, or 0 for null.';
revoke execute on function private.duration_bucket from public, anon, authenticated, service_role;
grant execute on function private.duration_bucket(integer) to authenticated, service_role;

create function private.counts_nothing(p_row public.usage_hourly) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select not jsonb_path_exists(
    to_jsonb(p_row) - '{id,hour,user_id,provider,model_identifier,agent_type,endpoint}'::text[],
    '$.*[*] ? (@.type() == "number" && @ != 0)')
$$;
comment on function private.counts_nothing(public.usage_hourly) is 'Whether all sums and histograms of the row are 0.';
revoke execute on function private.counts_nothing from public, anon, authenticated, service_role;

create function private.usage_of(p_log public.chat_logs, p_sign integer) returns public.usage_hourly
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_class text := '';
  v_is_fallback boolean := false;
  v_is_right boolean := false;
  v_rating integer := coalesce(p_log.rating, 0);
  v_duration integer[];
  v_ttft integer[];
begin
  if p_log.status in ('failed', 'partial') then
    v_class := coalesce(private.error_class(p_log.error_code), '');
  elsif p_log.status = 'completed' and jsonb_array_length(p_log.attempts) > 1 then
    v_is_fallback := p_log.attempts @> '[{"ok": false}]';
  end if;
  if p_log.domain_classification is not null then
    v_is_right := case when p_log.asked_agent is null then not p_log.escalation_suggested
      else p_log.asked_agent = p_log.domain_classification end;
  end if;
  v_duration[private.duration_bucket(p_log.duration_ms)] := p_sign;
  v_ttft[private.duration_bucket(p_log.ttft_ms)] := p_sign;
  return row(null, date_trunc('hour', p_log.created_at, 'UTC'), p_log.user_id, coalesce(p_log.provider, ''),
    coalesce(p_log.model_identifier, ''), coalesce(p_log.agent_type, ''), p_log.endpoint,
    p_sign, p_sign * (p_log.status = 'cancelled')::integer, p_sign * (p_log.status = 'partial')::integer,
    p_sign * (p_log.status = 'failed')::integer, p_sign * (p_log.status = 'abandoned')::integer,
    p_sign * coalesce(p_log.input_tokens, 0), p_sign * coalesce(p_log.output_tokens, 0),
    p_sign * coalesce(p_log.cached_tokens, 0), p_sign * coalesce(p_log.reasoning_tokens, 0),
    p_sign * coalesce(p_log.cost_usd, 0), p_sign * coalesce(p_log.cached_cost_usd, 0),
    p_sign * coalesce(p_log.output_cost_usd, 0), p_sign * coalesce(p_log.reasoning_cost_usd, 0),
    p_sign * (p_log.cost_usd is null)::integer,
    p_sign * coalesce(p_log.usage_source in ('partial', 'estimate'), false)::integer,
    p_sign * coalesce(p_log.duration_ms, 0), p_sign * coalesce(p_log.ttft_ms, 0),
    p_sign * (p_log.ttft_ms is not null)::integer, p_sign * (v_class = 'provider')::integer,
    p_sign * (v_class = 'client')::integer, p_sign * (v_class = 'limit')::integer,
    p_sign * (v_class = 'timeout')::integer, p_sign * (v_class = 'other')::integer,
    p_sign * v_is_fallback::integer, p_sign * p_log.escalation_suggested::integer,
    p_sign * (v_rating > 0)::integer, p_sign * v_rating, p_sign * v_rating * v_rating,
    p_sign * (v_rating > 3)::integer, p_sign * (v_rating > 0 and p_log.escalation_suggested)::integer,
    p_sign * (v_rating > 3 and p_log.escalation_suggested)::integer,
    p_sign * (p_log.domain_classification is not null)::integer, p_sign * v_is_right::integer, v_duration, v_ttft,
    p_sign * (p_log.saved_usd is not null)::integer, p_sign * coalesce(p_log.saved_usd, 0))::public.usage_hourly;
end
$$;
comment on function private.usage_of(public.chat_logs, integer) is
  'The counts of one log row; negative when p_sign is -1.';
revoke execute on function private.usage_of from public, anon, authenticated, service_role;

create function private.is_counted(p_log public.chat_logs) returns boolean
  language sql stable security invoker set search_path = '' as $$
  -- Two lookups, because "is not distinct from" uses no index.
  select case when p_log.user_id is null
    then exists (select 1 from public.usage_hourly as d where d.user_id is null
      and (d.hour, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.hour, n.provider, n.model_identifier, n.agent_type, n.endpoint))
    else exists (select 1 from public.usage_hourly as d where d.user_id = p_log.user_id
      and (d.hour, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.hour, n.provider, n.model_identifier, n.agent_type, n.endpoint)) end
  from private.usage_of(p_log, 1) as n
$$;
comment on function private.is_counted(public.chat_logs) is
  'Whether usage_hourly has the row that counts this log row.';
revoke execute on function private.is_counted from public, anon, authenticated, service_role;

create function private.add_histograms(p_one integer[], p_other integer[]) returns integer[]
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_place integer;
begin
  for v_place in select generate_subscripts(p_other, 1) loop
    if p_other[v_place] <> 0 then
      p_one[v_place] := nullif(coalesce(p_one[v_place], 0) + p_other[v_place], 0);
    end if;
  end loop;
  return case when array_remove(p_one, null) = '{}' then '{}' else p_one end;
end
$$;
comment on function private.add_histograms(integer[], integer[]) is
  'The sums of the elements with the same subscript; an empty array when all are 0.';
revoke execute on function private.add_histograms from public, anon, authenticated, service_role;

create function private.add_usage(v public.usage_hourly) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_id bigint;
begin
  if v.user_id is null then  -- nulls never conflict, so rows without a user are looked up first
    select d.id into v_id from public.usage_hourly as d
      where d.user_id is null and d.hour = v.hour and d.provider = v.provider
        and d.model_identifier = v.model_identifier and d.agent_type = v.agent_type and d.endpoint = v.endpoint
      order by d.id limit 1 for update;
  end if;
  if v_id is not null then
    update public.usage_hourly as d
      set requests = d.requests + v.requests, cancelled = d.cancelled + v.cancelled,
          partial = d.partial + v.partial, failed = d.failed + v.failed, abandoned = d.abandoned + v.abandoned,
          input_tokens = d.input_tokens + v.input_tokens, output_tokens = d.output_tokens + v.output_tokens,
          cached_tokens = d.cached_tokens + v.cached_tokens,
          reasoning_tokens = d.reasoning_tokens + v.reasoning_tokens, cost_usd = d.cost_usd + v.cost_usd,
          cached_cost_usd = d.cached_cost_usd + v.cached_cost_usd,
          output_cost_usd = d.output_cost_usd + v.output_cost_usd,
          reasoning_cost_usd = d.reasoning_cost_usd + v.reasoning_cost_usd,
          unpriced_requests = d.unpriced_requests + v.unpriced_requests,
          estimated_requests = d.estimated_requests + v.estimated_requests,
          duration_ms_sum = d.duration_ms_sum + v.duration_ms_sum, ttft_ms_sum = d.ttft_ms_sum + v.ttft_ms_sum,
          ttft_count = d.ttft_count + v.ttft_count, errors = d.errors + v.errors,
          client_errors = d.client_errors + v.client_errors, limit_errors = d.limit_errors + v.limit_errors,
          timeout_errors = d.timeout_errors + v.timeout_errors, other_errors = d.other_errors + v.other_errors,
          fallbacks = d.fallbacks + v.fallbacks, handoffs = d.handoffs + v.handoffs,
          ratings = d.ratings + v.ratings, rating_sum = d.rating_sum + v.rating_sum,
          rating_square_sum = d.rating_square_sum + v.rating_square_sum,
          good_ratings = d.good_ratings + v.good_ratings, rated_handoffs = d.rated_handoffs + v.rated_handoffs,
          good_handoffs = d.good_handoffs + v.good_handoffs, classified = d.classified + v.classified,
          classified_right = d.classified_right + v.classified_right,
          duration_histogram = private.add_histograms(d.duration_histogram, v.duration_histogram),
          ttft_histogram = private.add_histograms(d.ttft_histogram, v.ttft_histogram),
          cached_answers = d.cached_answers + v.cached_answers, saved_usd = d.saved_usd + v.saved_usd
      where d.id = v_id;
  else
    insert into public.usage_hourly as d
      (hour, user_id, provider, model_identifier, agent_type, endpoint, requests, cancelled, partial, failed,
       abandoned, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd, cached_cost_usd,
       output_cost_usd, reasoning_cost_usd, unpriced_requests, estimated_requests, duration_ms_sum, ttft_ms_sum,
       ttft_count, errors, client_errors, limit_errors, timeout_errors, other_errors, fallbacks, handoffs, ratings,
       rating_sum, rating_square_sum, good_ratings, rated_handoffs, good_handoffs, classified, classified_right,
       duration_histogram, ttft_histogram, cached_answers, saved_usd)
    values
      (v.hour, v.user_id, v.provider, v.model_identifier, v.agent_type, v.endpoint, v.requests, v.cancelled,
       v.partial, v.failed, v.abandoned, v.input_tokens, v.output_tokens, v.cached_tokens, v.reasoning_tokens,
       v.cost_usd, v.cached_cost_usd, v.output_cost_usd, v.reasoning_cost_usd, v.unpriced_requests,
       v.estimated_requests, v.duration_ms_sum, v.ttft_ms_sum, v.ttft_count, v.errors, v.client_errors,
       v.limit_errors, v.timeout_errors, v.other_errors, v.fallbacks, v.handoffs, v.ratings, v.rating_sum,
       v.rating_square_sum, v.good_ratings, v.rated_handoffs, v.good_handoffs, v.classified, v.classified_right,
       v.duration_histogram, v.ttft_histogram, v.cached_answers, v.saved_usd)
    on conflict on constraint usage_hourly_dimensions_key do update
      set requests = d.requests + excluded.requests, cancelled = d.cancelled + excluded.cancelled,
          partial = d.partial + excluded.partial, failed = d.failed + excluded.failed,
          abandoned = d.abandoned + excluded.abandoned, input_tokens = d.input_tokens + excluded.input_tokens,
          output_tokens = d.output_tokens + excluded.output_tokens,
          cached_tokens = d.cached_tokens + excluded.cached_tokens,
          reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
          cost_usd = d.cost_usd + excluded.cost_usd,
          cached_cost_usd = d.cached_cost_usd + excluded.cached_cost_usd,
          output_cost_usd = d.output_cost_usd + excluded.output_cost_usd,
          reasoning_cost_usd = d.reasoning_cost_usd + excluded.reasoning_cost_usd,
          unpriced_requests = d.unpriced_requests + excluded.unpriced_requests,
          estimated_requests = d.estimated_requests + excluded.estimated_requests,
          duration_ms_sum = d.duration_ms_sum + excluded.duration_ms_sum,
          ttft_ms_sum = d.ttft_ms_sum + excluded.ttft_ms_sum, ttft_count = d.ttft_count + excluded.ttft_count,
          errors = d.errors + excluded.errors, client_errors = d.client_errors + excluded.client_errors,
          limit_errors = d.limit_errors + excluded.limit_errors,
          timeout_errors = d.timeout_errors + excluded.timeout_errors,
          other_errors = d.other_errors + excluded.other_errors, fallbacks = d.fallbacks + excluded.fallbacks,
          handoffs = d.handoffs + excluded.handoffs, ratings = d.ratings + excluded.ratings,
          rating_sum = d.rating_sum + excluded.rating_sum,
          rating_square_sum = d.rating_square_sum + excluded.rating_square_sum,
          good_ratings = d.good_ratings + excluded.good_ratings,
          rated_handoffs = d.rated_handoffs + excluded.rated_handoffs,
          good_handoffs = d.good_handoffs + excluded.good_handoffs,
          classified = d.classified + excluded.classified,
          classified_right = d.classified_right + excluded.classified_right,
          duration_histogram = private.add_histograms(d.duration_histogram, excluded.duration_histogram),
          ttft_histogram = private.add_histograms(d.ttft_histogram, excluded.ttft_histogram),
          cached_answers = d.cached_answers + excluded.cached_answers, saved_usd = d.saved_usd + excluded.saved_usd
    returning d.id into v_id;
  end if;
  if v.requests < 0 then
    delete from public.usage_hourly as d where d.id = v_id and d.requests = 0 and private.counts_nothing(d);
  end if;
end
$$;
comment on function private.add_usage(public.usage_hourly) is
  'Adds counts to one row with one upsert; deletes a row that counts nothing any more.';
revoke execute on function private.add_usage from public, anon, authenticated, service_role;

create function private.summed_usage(p_rows public.usage_hourly[]) returns public.usage_hourly
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v public.usage_hourly;
  v_duration integer[] := '{}';
  v_ttft integer[] := '{}';
begin
  for v in select c.* from unnest(p_rows) as c loop
    v_duration := private.add_histograms(v_duration, v.duration_histogram);
    v_ttft := private.add_histograms(v_ttft, v.ttft_histogram);
  end loop;
  select 0, v.hour, v.user_id, v.provider, v.model_identifier, v.agent_type, v.endpoint,
    sum(c.requests), sum(c.cancelled), sum(c.partial), sum(c.failed), sum(c.abandoned), sum(c.input_tokens),
    sum(c.output_tokens), sum(c.cached_tokens), sum(c.reasoning_tokens), sum(c.cost_usd), sum(c.cached_cost_usd),
    sum(c.output_cost_usd), sum(c.reasoning_cost_usd), sum(c.unpriced_requests), sum(c.estimated_requests),
    sum(c.duration_ms_sum), sum(c.ttft_ms_sum), sum(c.ttft_count), sum(c.errors), sum(c.client_errors),
    sum(c.limit_errors), sum(c.timeout_errors), sum(c.other_errors), sum(c.fallbacks), sum(c.handoffs),
    sum(c.ratings), sum(c.rating_sum), sum(c.rating_square_sum), sum(c.good_ratings), sum(c.rated_handoffs),
    sum(c.good_handoffs), sum(c.classified), sum(c.classified_right),
    v_duration, v_ttft, sum(c.cached_answers), sum(c.saved_usd)
    into v from unnest(p_rows) as c;
  return v;
end
$$;
comment on function private.summed_usage(public.usage_hourly[]) is 'The sums of rows that have the same keys.';
revoke execute on function private.summed_usage from public, anon, authenticated, service_role;

create function private.add_usages(p_changes public.usage_hourly[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v record;
  v_sum public.usage_hourly;
begin
  -- One pass in key order, so that concurrent changes cannot deadlock. Rows of deleted users have a null user_id.
  for v in
    select u.id as user_id, array_agg(c) as changes
    from unnest(p_changes) as c left join auth.users as u on u.id = c.user_id
    group by u.id, c.hour, c.provider, c.model_identifier, c.agent_type, c.endpoint
    order by u.id, c.hour, c.provider, c.model_identifier, c.agent_type, c.endpoint
  loop
    v_sum := private.summed_usage(v.changes);
    v_sum.user_id := v.user_id;
    if not private.counts_nothing(v_sum) then
      perform private.add_usage(v_sum);
    end if;
  end loop;
end
$$;
comment on function private.add_usages(public.usage_hourly[]) is
  'Adds the counts of several log rows, one upsert for each changed row of usage_hourly.';
revoke execute on function private.add_usages from public, anon, authenticated, service_role;

create function private.count_log() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_duration integer;
  v_ttft integer;
begin
  if new.user_id is null or new.status <> 'completed' or new.usage_source is distinct from 'provider'
      or new.escalation_suggested or new.rating is not null or new.saved_usd is not null
      or jsonb_array_length(new.attempts) > 1 then
    perform private.add_usage(private.usage_of(new, 1));
    return null;
  end if;
  -- The usual turn: as usage_of() and add_usage(), but only what it changes, and histograms in place.
  v_duration := private.duration_bucket(new.duration_ms);
  v_ttft := private.duration_bucket(new.ttft_ms);
  insert into public.usage_hourly as d
    (hour, user_id, provider, model_identifier, agent_type, endpoint, requests, input_tokens, output_tokens,
     cached_tokens, reasoning_tokens, cost_usd, cached_cost_usd, output_cost_usd, reasoning_cost_usd,
     unpriced_requests, duration_ms_sum, ttft_ms_sum, ttft_count, classified, classified_right, duration_histogram,
     ttft_histogram)
  values
    (date_trunc('hour', new.created_at, 'UTC'), new.user_id, coalesce(new.provider, ''),
     coalesce(new.model_identifier, ''), coalesce(new.agent_type, ''), new.endpoint, 1, coalesce(new.input_tokens, 0),
     coalesce(new.output_tokens, 0), coalesce(new.cached_tokens, 0), coalesce(new.reasoning_tokens, 0),
     coalesce(new.cost_usd, 0), coalesce(new.cached_cost_usd, 0), coalesce(new.output_cost_usd, 0),
     coalesce(new.reasoning_cost_usd, 0), (new.cost_usd is null)::integer, coalesce(new.duration_ms, 0),
     coalesce(new.ttft_ms, 0), (new.ttft_ms is not null)::integer, (new.domain_classification is not null)::integer,
     ((new.domain_classification = coalesce(new.asked_agent, new.domain_classification)) is true)::integer,
     array_fill(1, '{1}', array[v_duration]), array_fill(1, '{1}', array[v_ttft]))
  on conflict on constraint usage_hourly_dimensions_key do update
    set requests = d.requests + 1, input_tokens = d.input_tokens + excluded.input_tokens,
        output_tokens = d.output_tokens + excluded.output_tokens,
        cached_tokens = d.cached_tokens + excluded.cached_tokens,
        reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens, cost_usd = d.cost_usd + excluded.cost_usd,
        cached_cost_usd = d.cached_cost_usd + excluded.cached_cost_usd,
        output_cost_usd = d.output_cost_usd + excluded.output_cost_usd,
        reasoning_cost_usd = d.reasoning_cost_usd + excluded.reasoning_cost_usd,
        unpriced_requests = d.unpriced_requests + excluded.unpriced_requests,
        duration_ms_sum = d.duration_ms_sum + excluded.duration_ms_sum,
        ttft_ms_sum = d.ttft_ms_sum + excluded.ttft_ms_sum, ttft_count = d.ttft_count + excluded.ttft_count,
        classified = d.classified + excluded.classified,
        classified_right = d.classified_right + excluded.classified_right,
        duration_histogram[v_duration] = coalesce(d.duration_histogram[v_duration], 0) + 1,
        ttft_histogram[v_ttft] = coalesce(d.ttft_histogram[v_ttft], 0) + 1;
  return null;
end
$$;
comment on function private.count_log() is
  'Trigger: adds a new row''s counts. A statement that inserts several rows sorts them as add_usages() does. '
  'Definer, because usage_hourly is not granted.';
revoke execute on function private.count_log from public, anon, authenticated, service_role;

create function private.count_changed_logs() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from new_rows) then
    perform private.add_usages(array(
      select private.usage_of(row(o.*)::public.chat_logs, -1) from old_rows as o
      union all select private.usage_of(row(n.*)::public.chat_logs, 1) from new_rows as n));
  end if;
  return null;
end
$$;
comment on function private.count_changed_logs() is
  'Trigger: subtracts the old rows'' counts and adds the new rows''. Runs once a statement, so that rows can be '
  'sorted. Definer, because usage_hourly is not granted.';
revoke execute on function private.count_changed_logs from public, anon, authenticated, service_role;

create trigger chat_logs_count_inserted after insert on public.chat_logs
  for each row execute function private.count_log();
create trigger chat_logs_count_updated after update on public.chat_logs
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.count_changed_logs();
