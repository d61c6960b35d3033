-- Purpose: caps on use, and counters of what a scope has used and reserved in a period.
-- Affects: public.usage_limits, public.usage_counters, public.my_limits()
-- Access: admins and the service write caps; users read their own counters and call my_limits(); the ledger writes
-- counters.

create table public.usage_limits (
  scope text constraint usage_limits_pkey primary key constraint usage_limits_scope_check
    check (scope in ('global', 'default', 'anonymous') or scope ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
  daily_requests integer constraint usage_limits_daily_requests_check check (daily_requests >= 0),
  daily_cost_usd numeric(18, 9) constraint usage_limits_daily_cost_usd_check check (daily_cost_usd >= 0),
  monthly_cost_usd numeric(18, 9) constraint usage_limits_monthly_cost_usd_check check (monthly_cost_usd >= 0),
  updated_at timestamptz not null default now()
);
comment on table public.usage_limits is
  'Caps. global bounds all users together. A user''s own row replaces default (or anonymous) as a whole.';
comment on column public.usage_limits.scope is 'global, default, anonymous, or a user''s id.';
comment on column public.usage_limits.daily_requests is 'Turns per UTC day; null = no cap.';
comment on column public.usage_limits.daily_cost_usd is 'US dollars per UTC day, reservations included; null = no cap.';
comment on column public.usage_limits.monthly_cost_usd is
  'US dollars per UTC month, reservations included; null = no cap.';

create trigger usage_limits_touch before update on public.usage_limits
  for each row execute function private.touch_updated_at();

alter table public.usage_limits enable row level security;
revoke all on public.usage_limits from public, anon, authenticated, service_role;
grant insert, select, update, delete on public.usage_limits to authenticated;
grant insert, select, update on public.usage_limits to service_role;

create policy usage_limits_select_admin on public.usage_limits for select to authenticated
  using ((select private.is_admin()));
comment on policy usage_limits_select_admin on public.usage_limits is 'Only admins read caps; users call my_limits().';
create policy usage_limits_insert_admin on public.usage_limits for insert to authenticated
  with check ((select private.is_admin()));
comment on policy usage_limits_insert_admin on public.usage_limits is 'Admins only.';
create policy usage_limits_update_admin on public.usage_limits for update to authenticated
  using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy usage_limits_update_admin on public.usage_limits is 'Admins only.';
create policy usage_limits_delete_admin on public.usage_limits for delete to authenticated
  using ((select private.is_admin()));
comment on policy usage_limits_delete_admin on public.usage_limits is 'Admins only.';

create table public.usage_counters (
  scope text not null,
  period text not null constraint usage_counters_period_check check (period in ('day', 'month')),
  period_start date not null,
  requests integer not null default 0 constraint usage_counters_requests_check check (requests >= 0),
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  spent_usd numeric(18, 9) not null default 0 constraint usage_counters_spent_usd_check check (spent_usd >= 0),
  reserved_usd numeric(18, 9) not null default 0
    constraint usage_counters_reserved_usd_check check (reserved_usd >= 0),
  constraint usage_counters_pkey primary key (scope, period, period_start)
) with (fillfactor = 70);
comment on table public.usage_counters is
  'Use of one scope in one UTC day or month. Rows are always locked in this order: user (day, month), global (day, '
  'month).';
comment on column public.usage_counters.scope is 'global, or a user''s id.';
comment on column public.usage_counters.requests is
  'Admitted turns, without those that failed before they cost anything.';
comment on column public.usage_counters.spent_usd is 'Cost of finished turns, in US dollars.';
comment on column public.usage_counters.reserved_usd is 'Reserved by running turns, in US dollars; 0 when none runs.';

create index usage_counters_period_start_idx on public.usage_counters (period_start);

alter table public.usage_counters enable row level security;
revoke all on public.usage_counters from public, anon, authenticated, service_role;
grant select on public.usage_counters to authenticated;
grant select on public.usage_counters to service_role;

create policy usage_counters_select_own on public.usage_counters for select to authenticated
  using (scope = (select auth.uid())::text or (select private.is_admin()));
comment on policy usage_counters_select_own on public.usage_counters is
  'Users see their own use; admins see the global sum, too.';

create function private.user_caps(p_user_id uuid, p_is_anonymous boolean) returns public.usage_limits
  language sql stable security invoker set search_path = '' as $$
  select l from public.usage_limits as l
  where l.scope in (p_user_id::text, case when p_is_anonymous then 'anonymous' else 'default' end)
  order by l.scope = p_user_id::text desc limit 1
$$;
comment on function private.user_caps(uuid, boolean) is
  'The caps of a user: the user''s own row, else default or anonymous; a null cap is no cap.';
revoke execute on function private.user_caps from public, anon, authenticated, service_role;

create function private.scope_caps(p_scope text) returns public.usage_limits
  language sql stable security invoker set search_path = '' as $$
  select case when p_scope = 'global' then (select l from public.usage_limits as l where l.scope = 'global')
    else (select private.user_caps(u.id, coalesce(u.is_anonymous, false)) from auth.users as u where u.id =
      case when p_scope ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_scope::uuid end) end
$$;
comment on function private.scope_caps(text) is 'The caps of a counter''s scope; null when the user is deleted.';
revoke execute on function private.scope_caps from public, anon, authenticated, service_role;

create function private.current_counter(p_scope text, p_period text) returns public.usage_counters
  language sql stable security invoker set search_path = '' as $$
  select row(p_scope, p_period, p.start, coalesce(c.requests, 0), coalesce(c.input_tokens, 0),
    coalesce(c.output_tokens, 0), coalesce(c.spent_usd, 0), coalesce(c.reserved_usd, 0))::public.usage_counters
  from (select date_trunc(p_period, now() at time zone 'utc')::date as start) as p
  left join public.usage_counters as c
    on c.scope = p_scope and c.period = p_period and c.period_start = p.start
$$;
comment on function private.current_counter(text, text) is
  'A scope''s counter of the current period; zeros when it has none yet.';
revoke execute on function private.current_counter from public, anon, authenticated, service_role;

create function private.resets_at(p_period text, p_start date) returns timestamptz
  language sql immutable security invoker set search_path = ''
as $$ select (p_start + ('1 ' || p_period)::interval) at time zone 'utc' $$;
comment on function private.resets_at(text, date) is 'When the period that began on p_start ends, UTC.';
revoke execute on function private.resets_at from public, anon, authenticated, service_role;

create function private.limits_left(p_caps public.usage_limits, p_day public.usage_counters,
  p_month public.usage_counters)
  returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object(
    'requests_limit', p_caps.daily_requests,
    'requests_remaining', p_caps.daily_requests - p_day.requests,
    'requests_reset_at', private.resets_at('day', p_day.period_start),
    'budget_remaining_usd', least(p_caps.daily_cost_usd - p_day.spent_usd - p_day.reserved_usd,
                                  p_caps.monthly_cost_usd - p_month.spent_usd - p_month.reserved_usd))
$$;
comment on function private.limits_left(public.usage_limits, public.usage_counters, public.usage_counters) is
  'What is left of a user''s caps after this turn''s reservation; null = no cap.';
revoke execute on function private.limits_left from public, anon, authenticated, service_role;

create function private.current_limits(p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select private.limits_left(
    private.user_caps(p_user_id, coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false)),
    private.current_counter(p_user_id::text, 'day'), private.current_counter(p_user_id::text, 'month'))
$$;
comment on function private.current_limits(uuid) is 'What is left of a user''s caps, without a reservation.';
revoke execute on function private.current_limits from public, anon, authenticated, service_role;

create function public.my_limits() returns table (
  period text, period_start date, resets_at timestamptz, max_requests integer, requests integer,
  max_cost_usd numeric, spent_usd numeric, reserved_usd numeric)
  language sql stable security definer set search_path = '' as $$
  select c.period, c.period_start, private.resets_at(c.period, c.period_start),
    case when c.period = 'day' then caps.daily_requests end, c.requests,
    case when c.period = 'day' then caps.daily_cost_usd else caps.monthly_cost_usd end, c.spent_usd, c.reserved_usd
  from (values ('day'), ('month')) as p (name)
  cross join lateral private.current_counter((select auth.uid())::text, p.name) as c
  left join lateral private.user_caps((select auth.uid()),
    coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false)) as caps on true
  where (select auth.uid()) is not null
$$;
comment on function public.my_limits() is
  'The caller''s caps and use, one row for the day and one for the month (UTC); a null cap is no cap. Definer, '
  'because users cannot read usage_limits.';
revoke execute on function public.my_limits from public, anon, authenticated, service_role;
grant execute on function public.my_limits() to authenticated;

create function private.refuse_over_cap(
  p_row public.usage_counters, p_usd numeric, p_max_requests integer, p_max_usd numeric) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_is_global boolean := p_row.scope = 'global';
  v_facts jsonb := jsonb_build_object(
    'scope', case when p_row.scope = 'global' then 'global' else 'user' end, 'period', p_row.period,
    'resets_at', private.resets_at(p_row.period, p_row.period_start),
    'retry_after', ceil(extract(epoch from private.resets_at(p_row.period, p_row.period_start) - now())));
begin
  if p_max_requests is not null and p_row.requests >= p_max_requests then
    perform private.refuse('PT429', 'quota_exceeded', 'The ' || p_row.period || '''s requests are used up.',
      v_facts || case when v_is_global then '{}' else jsonb_build_object('limit', p_max_requests, 'used',
        p_row.requests) end);
  end if;
  -- One user must not see what all users spent.
  perform private.refuse('PT402', 'budget_exceeded', 'The ' || p_row.period || '''s budget does not cover this turn.',
    v_facts || case when v_is_global then '{}' else jsonb_build_object('limit_usd', p_max_usd,
      'spent_usd', p_row.spent_usd, 'reserved_usd', p_row.reserved_usd, 'needed_usd', p_usd) end);
end
$$;
comment on function private.refuse_over_cap(public.usage_counters, numeric, integer, numeric) is
  'Refuses with the cap that was reached, its use, and when it resets.';
revoke execute on function private.refuse_over_cap from public, anon, authenticated, service_role;

create function private.lock_counters(p_scope text, p_days date[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_months date[] := array(select distinct date_trunc('month', d.day)::date from unnest(p_days) as d (day));
begin
  insert into public.usage_counters (scope, period, period_start)
    select p_scope, 'day', d.day from (select distinct u.day from unnest(p_days) as u (day)) as d order by d.day
    on conflict on constraint usage_counters_pkey do nothing;
  perform 1 from public.usage_counters as c
    where c.scope = p_scope and c.period = 'day' and c.period_start = any (p_days) order by c.period_start for update;
  perform 1 from public.usage_counters as c
    where c.scope = p_scope and c.period = 'month' and c.period_start = any (v_months)
      order by c.period_start for update;
end
$$;
comment on function private.lock_counters(text, date[]) is
  'Locks a scope''s counters of several days, all days before all months, so that two turns at midnight cannot '
  'deadlock.';
revoke execute on function private.lock_counters from public, anon, authenticated, service_role;

create function private.reserve_in_scope(
  p_scope text, p_period text, p_start date, p_usd numeric, p_max_requests integer, p_max_usd numeric)
  returns public.usage_counters
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_row public.usage_counters;
begin
  -- A read followed by an update would let concurrent turns exceed the cap; one conditional update cannot. The second
  -- try follows the insert of a missing counter.
  for v_try in 1..2 loop
    update public.usage_counters as c
      set requests = c.requests + 1, reserved_usd = c.reserved_usd + p_usd
      where c.scope = p_scope and c.period = p_period and c.period_start = p_start
        and (p_max_requests is null or c.requests < p_max_requests)
        and (p_max_usd is null or c.spent_usd + c.reserved_usd + p_usd <= p_max_usd)
      returning * into v_row;
    if found then
      return v_row;
    end if;
    insert into public.usage_counters (scope, period, period_start) values (p_scope, p_period, p_start)
      on conflict on constraint usage_counters_pkey do nothing;
  end loop;
  select * into v_row from public.usage_counters as c
    where c.scope = p_scope and c.period = p_period and c.period_start = p_start;
  perform private.refuse_over_cap(v_row, p_usd, p_max_requests, p_max_usd);
  return null;
end
$$;
comment on function private.reserve_in_scope(text, text, date, numeric, integer, numeric) is
  'Counts one turn and reserves p_usd in one scope and period; refuses with quota_exceeded (429) or budget_exceeded '
  '(402).';
revoke execute on function private.reserve_in_scope from public, anon, authenticated, service_role;

create function private.hold_in_scope(p_scope text, p_period text, p_start date, p_usd numeric,
  p_max_usd numeric) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_row public.usage_counters;
begin
  update public.usage_counters as c set reserved_usd = c.reserved_usd + p_usd
    where c.scope = p_scope and c.period = p_period and c.period_start = p_start
      and (p_max_usd is null or c.spent_usd + c.reserved_usd + p_usd <= p_max_usd);
  if not found then
    select * into v_row from public.usage_counters as c
      where c.scope = p_scope and c.period = p_period and c.period_start = p_start;
    perform private.refuse_over_cap(v_row, p_usd, null, p_max_usd);
  end if;
end
$$;
comment on function private.hold_in_scope(text, text, date, numeric, numeric) is
  'Reserves p_usd more for a turn that is already counted; refuses with budget_exceeded (402).';
revoke execute on function private.hold_in_scope from public, anon, authenticated, service_role;

create function private.settle_in_scope(
  p_scope text, p_day date, p_release_usd numeric, p_spent_usd numeric, p_input bigint, p_output bigint,
    p_requests integer)
  returns void
  language sql volatile security invoker set search_path = '' as $$
  -- Two statements so that the day is always locked before the month.
  update public.usage_counters as c
    set reserved_usd = greatest(c.reserved_usd - p_release_usd, 0), spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'day' and c.period_start = p_day;
  update public.usage_counters as c
    set reserved_usd = greatest(c.reserved_usd - p_release_usd, 0), spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'month' and c.period_start = date_trunc('month', p_day)::date
$$;
comment on function private.settle_in_scope(text, date, numeric, numeric, bigint, bigint, integer) is
  'Releases a reservation and books the usage, in a scope''s day and month. A counter that holds less than is released '
  'becomes 0, so that a wrong counter fails neither a finish nor a sweep.';
revoke execute on function private.settle_in_scope from public, anon, authenticated, service_role;
