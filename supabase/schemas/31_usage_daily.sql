-- Purpose: the log summed by day, user, provider, model, agent and endpoint.
-- Affects: public.usage_daily
-- Access: users read their own rows, admins all; only the triggers of chat_logs write.

create table public.usage_daily (
  id bigint generated always as identity constraint usage_daily_pkey primary key,
  day date not null,
  user_id uuid constraint usage_daily_user_id_fkey references auth.users (id) on delete set null,
  provider text not null default '',
  model_identifier text not null default '',
  agent_type text not null default '',
  endpoint text not null default '',
  requests bigint not null default 0,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  cost_usd numeric(18, 9) not null default 0,
  unpriced_requests bigint not null default 0,
  duration_ms_sum bigint not null default 0,
  ttft_ms_sum bigint not null default 0,
  ttft_count bigint not null default 0,
  errors bigint not null default 0,
  constraint usage_daily_dimensions_key unique (user_id, day, provider, model_identifier, agent_type, endpoint)
) with (fillfactor = 70);
comment on table public.usage_daily is
  'Sums of chat_logs, kept by its triggers. Rows that purge_logs deletes stay counted.';
comment on column public.usage_daily.day is 'UTC day of chat_logs.created_at.';
comment on column public.usage_daily.user_id is
  'Null once the user is deleted. Several rows may then have the same keys: sum them.';
comment on column public.usage_daily.provider is 'Empty when the log row has none, as are model, agent and endpoint.';
comment on column public.usage_daily.requests is 'Turns in the log, whatever their status.';
comment on column public.usage_daily.input_tokens is 'Includes cached tokens; a turn with unknown usage counts as 0.';
comment on column public.usage_daily.output_tokens is
  'Includes reasoning tokens; a turn with unknown usage counts as 0.';
comment on column public.usage_daily.cost_usd is 'US dollars of turns with a known cost.';
comment on column public.usage_daily.unpriced_requests is
  'Turns whose cost is unknown; cost_usd does not include them.';
comment on column public.usage_daily.duration_ms_sum is 'Milliseconds of all turns; divide by requests for the mean.';
comment on column public.usage_daily.ttft_ms_sum is
  'Milliseconds to the first content; divide by ttft_count for the mean.';
comment on column public.usage_daily.ttft_count is 'Turns with content.';
comment on column public.usage_daily.errors is
  'Turns that failed or ended early because of what the provider did; see private.is_model_fault().';

create index usage_daily_day_idx on public.usage_daily (day);

alter table public.usage_daily enable row level security;
revoke all on public.usage_daily from public, anon, authenticated, service_role;
revoke all on sequence public.usage_daily_id_seq from public, anon, authenticated, service_role;
grant select on public.usage_daily to authenticated;
grant select on public.usage_daily to service_role;

create policy usage_daily_select_own on public.usage_daily for select to authenticated
  using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy usage_daily_select_own on public.usage_daily is 'Users see their own use; admins see all.';

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

create function private.daily_row(p_log public.chat_logs, p_sign integer) returns public.usage_daily
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return row(null, (p_log.created_at at time zone 'utc')::date, p_log.user_id, coalesce(p_log.provider, ''),
    coalesce(p_log.model_identifier, ''), coalesce(p_log.agent_type, ''), p_log.endpoint, p_sign,
    p_sign * coalesce(p_log.input_tokens, 0), p_sign * coalesce(p_log.output_tokens, 0),
    p_sign * coalesce(p_log.cached_tokens, 0), p_sign * coalesce(p_log.reasoning_tokens, 0),
    p_sign * coalesce(p_log.cost_usd, 0), p_sign * (p_log.cost_usd is null)::integer,
    p_sign * coalesce(p_log.duration_ms, 0), p_sign * coalesce(p_log.ttft_ms, 0),
    p_sign * (p_log.ttft_ms is not null)::integer,
    p_sign * (p_log.status in ('failed', 'partial') and private.is_model_fault(p_log.error_code))::integer)
    ::public.usage_daily;
end
$$;
comment on function private.daily_row(public.chat_logs, integer) is
  'The counts of one log row; negative when p_sign is -1.';
revoke execute on function private.daily_row from public, anon, authenticated, service_role;

create function private.is_counted(p_log public.chat_logs) returns boolean
  language sql stable security invoker set search_path = '' as $$
  -- Two lookups, because "is not distinct from" uses no index.
  select case when p_log.user_id is null
    then exists (select 1 from public.usage_daily as d where d.user_id is null
      and (d.day, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.day, n.provider, n.model_identifier, n.agent_type, n.endpoint))
    else exists (select 1 from public.usage_daily as d where d.user_id = p_log.user_id
      and (d.day, d.provider, d.model_identifier, d.agent_type, d.endpoint)
        = (n.day, n.provider, n.model_identifier, n.agent_type, n.endpoint)) end
  from private.daily_row(p_log, 1) as n
$$;
comment on function private.is_counted(public.chat_logs) is 'Whether usage_daily has the row that counts this log row.';
revoke execute on function private.is_counted from public, anon, authenticated, service_role;

create function private.add_to_day(v public.usage_daily) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_id bigint;
  v_row public.usage_daily;
begin
  if v.user_id is null then  -- nulls never conflict, so rows without a user are looked up first
    select d.id into v_id from public.usage_daily as d
      where d.user_id is null and d.day = v.day and d.provider = v.provider and d.model_identifier = v.model_identifier
        and d.agent_type = v.agent_type and d.endpoint = v.endpoint
      order by d.id limit 1 for update;
  end if;
  if v_id is not null then
    update public.usage_daily as d
      set requests = d.requests + v.requests, input_tokens = d.input_tokens + v.input_tokens,
          output_tokens = d.output_tokens + v.output_tokens, cached_tokens = d.cached_tokens + v.cached_tokens,
          reasoning_tokens = d.reasoning_tokens + v.reasoning_tokens, cost_usd = d.cost_usd + v.cost_usd,
          unpriced_requests = d.unpriced_requests + v.unpriced_requests,
          duration_ms_sum = d.duration_ms_sum + v.duration_ms_sum, ttft_ms_sum = d.ttft_ms_sum + v.ttft_ms_sum,
          ttft_count = d.ttft_count + v.ttft_count, errors = d.errors + v.errors
      where d.id = v_id returning d.* into v_row;
  else
    insert into public.usage_daily as d
      (day, user_id, provider, model_identifier, agent_type, endpoint, requests, input_tokens, output_tokens,
       cached_tokens, reasoning_tokens, cost_usd, unpriced_requests, duration_ms_sum, ttft_ms_sum, ttft_count, errors)
    values
      (v.day, v.user_id, v.provider, v.model_identifier, v.agent_type, v.endpoint, v.requests, v.input_tokens,
       v.output_tokens, v.cached_tokens, v.reasoning_tokens, v.cost_usd, v.unpriced_requests, v.duration_ms_sum,
       v.ttft_ms_sum, v.ttft_count, v.errors)
    on conflict on constraint usage_daily_dimensions_key do update
      set requests = d.requests + excluded.requests, input_tokens = d.input_tokens + excluded.input_tokens,
          output_tokens = d.output_tokens + excluded.output_tokens,
          cached_tokens = d.cached_tokens + excluded.cached_tokens,
          reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
          cost_usd = d.cost_usd + excluded.cost_usd,
          unpriced_requests = d.unpriced_requests + excluded.unpriced_requests,
          duration_ms_sum = d.duration_ms_sum + excluded.duration_ms_sum,
          ttft_ms_sum = d.ttft_ms_sum + excluded.ttft_ms_sum, ttft_count = d.ttft_count + excluded.ttft_count,
          errors = d.errors + excluded.errors
    returning d.* into v_row;
  end if;
  if v_row.requests = 0 and (v_row.input_tokens, v_row.output_tokens, v_row.cached_tokens, v_row.reasoning_tokens,
      v_row.cost_usd, v_row.unpriced_requests, v_row.duration_ms_sum, v_row.ttft_ms_sum, v_row.ttft_count,
      v_row.errors) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0) then
    delete from public.usage_daily as d where d.id = v_row.id;
  end if;
end
$$;
comment on function private.add_to_day(public.usage_daily) is
  'Adds the counts of daily_row() to one row with one upsert; deletes a row that counts nothing.';
revoke execute on function private.add_to_day from public, anon, authenticated, service_role;

create function private.add_to_days(p_changes public.usage_daily[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v public.usage_daily;
begin
  -- One pass in key order, so that concurrent changes cannot deadlock. Rows of deleted users have a null user_id.
  for v in
    select 0, c.day, u.id, c.provider, c.model_identifier, c.agent_type, c.endpoint, sum(c.requests),
      sum(c.input_tokens), sum(c.output_tokens), sum(c.cached_tokens), sum(c.reasoning_tokens), sum(c.cost_usd),
      sum(c.unpriced_requests), sum(c.duration_ms_sum), sum(c.ttft_ms_sum), sum(c.ttft_count), sum(c.errors)
    from unnest(p_changes) as c left join auth.users as u on u.id = c.user_id
    group by u.id, c.day, c.provider, c.model_identifier, c.agent_type, c.endpoint
    having (sum(c.requests), sum(c.input_tokens), sum(c.output_tokens), sum(c.cached_tokens), sum(c.reasoning_tokens),
      sum(c.cost_usd), sum(c.unpriced_requests), sum(c.duration_ms_sum), sum(c.ttft_ms_sum), sum(c.ttft_count),
      sum(c.errors)) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    order by u.id, c.day, c.provider, c.model_identifier, c.agent_type, c.endpoint
  loop
    perform private.add_to_day(v);
  end loop;
end
$$;
comment on function private.add_to_days(public.usage_daily[]) is
  'Adds the counts of several log rows, one upsert for each changed row of usage_daily.';
revoke execute on function private.add_to_days from public, anon, authenticated, service_role;

create function private.count_log() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  perform private.add_to_day(private.daily_row(new, 1));
  return null;
end
$$;
comment on function private.count_log() is
  'Trigger: adds a new row''s counts. A statement that inserts several rows sorts them as add_to_days() does. '
  'Definer, because usage_daily is not granted.';
revoke execute on function private.count_log from public, anon, authenticated, service_role;

create function private.count_changed_logs() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from new_rows) then
    perform private.add_to_days(array(
      select private.daily_row(row(o.*)::public.chat_logs, -1) from old_rows as o
      union all select private.daily_row(row(n.*)::public.chat_logs, 1) from new_rows as n));
  end if;
  return null;
end
$$;
comment on function private.count_changed_logs() is
  'Trigger: subtracts the old rows'' counts and adds the new rows''. Runs once a statement, so that rows can be '
  'sorted. Definer, because usage_daily is not granted.';
revoke execute on function private.count_changed_logs from public, anon, authenticated, service_role;

create trigger chat_logs_count_inserted after insert on public.chat_logs
  for each row execute function private.count_log();
create trigger chat_logs_count_updated after update on public.chat_logs
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.count_changed_logs();
