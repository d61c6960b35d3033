-- Purpose: what a turn costs, what a person may use, and the reservation that holds under any concurrency.
-- Affects: functions private.turn_cost(), caps_of(), resets_at(), reserve_in(), settle_in(), limits_left(); public.my_limits()
-- Access: the ledger's own; signed-in people call my_limits().

create function private.turn_cost(p_pricing jsonb, p_input bigint, p_output bigint, p_cached bigint default 0) returns numeric
  language sql immutable security invoker set search_path = ''
as $$
  with rate as (
    select coalesce(
      (select t.tier from jsonb_array_elements(p_pricing -> 'tiers') as t (tier)
       where (t.tier ->> 'above_input_tokens')::bigint < p_input
       order by (t.tier ->> 'above_input_tokens')::bigint desc limit 1), p_pricing) as r)
  select round((
      (p_input - p_cached) * (r ->> 'input')::numeric
      + p_cached * coalesce(r ->> 'cached_input', r ->> 'input')::numeric
      + p_output * (r ->> 'output')::numeric) / 1000000, 9)
  from rate
$$;
comment on function private.turn_cost(jsonb, bigint, bigint, bigint) is
  'USD for a turn by its route''s pricing, input including cached tokens; null when the price is unknown.';

create function private.estimate_tokens(p_text text) returns integer
  language sql immutable security invoker set search_path = ''
as $$ select (octet_length(p_text) + 2) / 3 + 4 $$;
comment on function private.estimate_tokens(text) is
  'Cautious estimate for cutting history: a token per three bytes and four around each message.';

create function private.most_tokens(p_text text) returns integer
  language sql immutable security invoker set search_path = ''
as $$ select octet_length(p_text) + 16 $$;
comment on function private.most_tokens(text) is
  'What a message can cost at most, for reserving: no tokenizer makes more than a token of a byte; sixteen around each message.';

create function private.caps_of(p_user_id uuid, p_is_anonymous boolean) returns public.usage_limits
  language sql stable security invoker set search_path = ''
as $$
  select l from public.usage_limits as l
  where l.scope in (p_user_id::text, case when p_is_anonymous then 'anonymous' else 'default' end)
  order by l.scope = p_user_id::text desc limit 1
$$;
comment on function private.caps_of(uuid, boolean) is 'The row that binds this person: their own, else the one for everyone like them; null = no cap.';

create function private.reserve_in(
  p_scope text, p_period text, p_start date, p_usd numeric, p_max_requests integer, p_max_usd numeric)
  returns public.usage_counters
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_row public.usage_counters;
begin
  -- Read-then-act admits too many; one conditional update admits exactly the cap. The second try is for the row's first use.
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
comment on function private.reserve_in(text, text, date, numeric, integer, numeric) is
  'Counts one turn and holds p_usd in one scope and period, or refuses with quota_exceeded (429) or budget_exceeded (402).';

create function private.resets_at(p_period text, p_start date) returns timestamptz
  language sql immutable security invoker set search_path = ''
as $$ select (p_start + ('1 ' || p_period)::interval) at time zone 'utc' $$;
comment on function private.resets_at(text, date) is 'When the period that began on p_start ends, UTC.';

create function private.refuse_over_cap(
  p_row public.usage_counters, p_usd numeric, p_max_requests integer, p_max_usd numeric) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_is_global boolean := p_row.scope = 'global';
  v_facts jsonb := jsonb_build_object(
    'scope', case when p_row.scope = 'global' then 'global' else 'user' end, 'period', p_row.period,
    'resets_at', private.resets_at(p_row.period, p_row.period_start),
    'retry_after', ceil(extract(epoch from private.resets_at(p_row.period, p_row.period_start) - now())));
begin
  if p_max_requests is not null and p_row.requests >= p_max_requests then
    perform private.refuse('PT429', 'quota_exceeded', 'The ' || p_row.period || '''s requests are used up.',
      v_facts || case when v_is_global then '{}' else jsonb_build_object('limit', p_max_requests, 'used', p_row.requests) end);
  end if;
  -- What others have spent together is not for one caller to see.
  perform private.refuse('PT402', 'budget_exceeded', 'The ' || p_row.period || '''s budget does not cover this turn.',
    v_facts || case when v_is_global then '{}' else jsonb_build_object('limit_usd', p_max_usd,
      'spent_usd', p_row.spent_usd, 'reserved_usd', p_row.reserved_usd, 'needed_usd', p_usd) end);
end
$$;
comment on function private.refuse_over_cap(public.usage_counters, numeric, integer, numeric) is
  'Says which cap was reached, how much of it is used, and when it resets.';

create function private.settle_in(
  p_scope text, p_day date, p_release_usd numeric, p_spent_usd numeric, p_input bigint, p_output bigint, p_requests integer)
  returns void
  language sql volatile security invoker set search_path = ''
as $$
  -- Two statements so that the day is always locked before the month.
  update public.usage_counters as c
    set reserved_usd = c.reserved_usd - p_release_usd, spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'day' and c.period_start = p_day;
  update public.usage_counters as c
    set reserved_usd = c.reserved_usd - p_release_usd, spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'month' and c.period_start = date_trunc('month', p_day)::date
$$;
comment on function private.settle_in(text, date, numeric, numeric, bigint, bigint, integer) is
  'Releases a reservation and books what was used, in a scope''s day and month.';

create function private.limits_left(p_caps public.usage_limits, p_day public.usage_counters, p_month public.usage_counters)
  returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'requests_limit', p_caps.daily_requests,
    'requests_remaining', p_caps.daily_requests - p_day.requests,
    'requests_reset_at', private.resets_at('day', p_day.period_start),
    'budget_remaining_usd', least(p_caps.daily_cost_usd - p_day.spent_usd - p_day.reserved_usd,
                                  p_caps.monthly_cost_usd - p_month.spent_usd - p_month.reserved_usd))
$$;
comment on function private.limits_left(public.usage_limits, public.usage_counters, public.usage_counters) is
  'What a person has left after this turn''s reservation; null = no cap.';

create function private.counter_now(p_scope text, p_period text) returns public.usage_counters
  language sql stable security invoker set search_path = ''
as $$
  select row(p_scope, p_period, p.start, coalesce(c.requests, 0), coalesce(c.input_tokens, 0),
    coalesce(c.output_tokens, 0), coalesce(c.spent_usd, 0), coalesce(c.reserved_usd, 0))::public.usage_counters
  from (select date_trunc(p_period, now() at time zone 'utc')::date as start) as p
  left join public.usage_counters as c
    on c.scope = p_scope and c.period = p_period and c.period_start = p.start
$$;
comment on function private.counter_now(text, text) is 'A scope''s counter of the current period, zeros when it has none yet.';

create function public.my_limits() returns table (
  period text, period_start date, resets_at timestamptz, max_requests integer, requests integer,
  max_cost_usd numeric, spent_usd numeric, reserved_usd numeric)
  language sql stable security definer set search_path = ''
as $$
  select c.period, c.period_start, private.resets_at(c.period, c.period_start),
    case when c.period = 'day' then caps.daily_requests end, c.requests,
    case when c.period = 'day' then caps.daily_cost_usd else caps.monthly_cost_usd end, c.spent_usd, c.reserved_usd
  from (values ('day'), ('month')) as p (name)
  cross join lateral private.counter_now((select auth.uid())::text, p.name) as c
  left join lateral private.caps_of((select auth.uid()),
    coalesce(((select auth.jwt()) ->> 'is_anonymous')::boolean, false)) as caps on true
  where (select auth.uid()) is not null
$$;
comment on function public.my_limits() is
  'The caller''s caps and use, one row for the day and one for the month (UTC); null cap = none. Definer, because caps of others are hidden.';

revoke execute on function private.turn_cost(jsonb, bigint, bigint, bigint), private.estimate_tokens(text),
  private.most_tokens(text),
  private.caps_of(uuid, boolean), private.reserve_in(text, text, date, numeric, integer, numeric),
  private.resets_at(text, date), private.refuse_over_cap(public.usage_counters, numeric, integer, numeric),
  private.settle_in(text, date, numeric, numeric, bigint, bigint, integer),
  private.limits_left(public.usage_limits, public.usage_counters, public.usage_counters),
  private.counter_now(text, text), public.my_limits()
  from public, anon, authenticated, service_role;
grant execute on function public.my_limits() to authenticated;
