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
  updated_at timestamptz not null default now(),
  requests_per_minute integer constraint usage_limits_requests_per_minute_check
    check (requests_per_minute is null or (requests_per_minute between 1 and 1000 and scope <> 'global')),
  degrade_at numeric(4, 3) constraint usage_limits_degrade_at_check check (degrade_at > 0 and degrade_at < 1),
  degrade_to text constraint usage_limits_degrade_to_check check (degrade_to ~ '^[a-z][a-z0-9-]{0,39}$'),
  is_adaptive boolean not null default false,
  adaptive_min_usd numeric(18, 9),
  adaptive_max_usd numeric(18, 9),
  constraint usage_limits_degrade_check check ((degrade_at is null) = (degrade_to is null)),
  constraint usage_limits_adaptive_check check (not is_adaptive or (scope not in ('global', 'default', 'anonymous')
    and adaptive_min_usd is not null and adaptive_max_usd is not null)),
  constraint usage_limits_adaptive_bounds_check check (adaptive_min_usd > 0 and adaptive_min_usd <= adaptive_max_usd)
);
comment on table public.usage_limits is
  'Caps. global bounds all users together. A user''s own row replaces default (or anonymous) as a whole.';
comment on column public.usage_limits.scope is 'global, default, anonymous, or a user''s id.';
comment on column public.usage_limits.daily_requests is 'Turns per UTC day; null = no cap.';
comment on column public.usage_limits.daily_cost_usd is 'US dollars per UTC day, reservations included; null = no cap.';
comment on column public.usage_limits.monthly_cost_usd is
  'US dollars per UTC month, reservations included; null = no cap.';
comment on column public.usage_limits.requests_per_minute is
  'Turns of a user within any 60 seconds, 1 to 1000; null = no limit. Always null for global.';
comment on column public.usage_limits.degrade_at is
  'Share of a cost cap, reservations included, from which turns go to degrade_to; above 0, below 1; null = never.';
comment on column public.usage_limits.degrade_to is
  'The alias or policy whose cheaper model serves from degrade_at on; null without degrade_at.';
comment on column public.usage_limits.is_adaptive is
  'Whether refresh sets daily_cost_usd from the user''s own use, within the bounds. Only for a user''s own row.';
comment on column public.usage_limits.adaptive_min_usd is 'The lowest daily_cost_usd that refresh may set.';
comment on column public.usage_limits.adaptive_max_usd is 'The highest daily_cost_usd that refresh may set.';

create index usage_limits_degrade_idx on public.usage_limits (scope) where degrade_at is not null;

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

create table public.usage_counter_slots (
  scope text not null,
  period text not null,
  period_start date not null,
  slot smallint not null default 0,
  requests integer not null default 0,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  spent_usd numeric(18, 9) not null default 0,
  reserved_usd numeric(18, 9) not null default 0,
  share_requests integer not null default 0,
  share_usd numeric(18, 9) not null default 0,
  constraint usage_counter_slots_pkey primary key (scope, period, period_start, slot)
) with (fillfactor = 50);
comment on table public.usage_counter_slots is
  'Use of one scope in one UTC day or month: one slot for a user, 16 for all users together, so that turns of '
  'different users do not wait for one row. Locked in this order: user (day, month), API key (day, '
  'month), global (days, months), slots ascending.';
comment on column public.usage_counter_slots.scope is 'global, a user''s id, or key: and an API key''s id.';
comment on column public.usage_counter_slots.period is 'day or month.';
comment on column public.usage_counter_slots.slot is
  '0 for users and keys; global_slot() of the turn for the scope global.';
comment on column public.usage_counter_slots.requests is
  'Admitted turns, without those that failed before they cost anything.';
comment on column public.usage_counter_slots.spent_usd is 'Cost of finished turns, in US dollars.';
comment on column public.usage_counter_slots.reserved_usd is
  'Reserved by running turns, in US dollars; 0 when none runs.';
comment on column public.usage_counter_slots.share_requests is
  'Turns that this slot may count before the global cap is shared out again; the shares never add up to more than '
  'the cap. Unused without a cap and for users.';
comment on column public.usage_counter_slots.share_usd is 'The same for US dollars spent and reserved.';

-- A B-tree would sometimes be taken for the updates of a turn, which need the primary key.
create index usage_counter_slots_period_start_idx on public.usage_counter_slots using brin (period_start)
  with (autosummarize = on);

alter table public.usage_counter_slots enable row level security;
revoke all on public.usage_counter_slots from public, anon, authenticated, service_role;
grant select on public.usage_counter_slots to authenticated;
grant select on public.usage_counter_slots to service_role;

create policy usage_counter_slots_select_own on public.usage_counter_slots for select to authenticated
  using (scope = (select auth.uid())::text);
comment on policy usage_counter_slots_select_own on public.usage_counter_slots is 'Users see their own use.';
create policy usage_counter_slots_select_admin on public.usage_counter_slots for select to parley_admin using (true);
comment on policy usage_counter_slots_select_admin on public.usage_counter_slots is
  'Admins see all, and the global sum.';

create view public.usage_counters with (security_invoker = true) as
  select c.scope, c.period, c.period_start, sum(c.requests)::integer as requests,
    sum(c.input_tokens)::bigint as input_tokens, sum(c.output_tokens)::bigint as output_tokens,
    sum(c.spent_usd)::numeric(18, 9) as spent_usd, sum(c.reserved_usd)::numeric(18, 9) as reserved_usd
  from public.usage_counter_slots as c group by c.scope, c.period, c.period_start;
comment on view public.usage_counters is
  'Use of one scope (global, a user''s id, or key:<id> for an API key) in one UTC day or month: turns, tokens, US '
  'dollars spent by finished turns and reserved by running ones. The sum of usage_counter_slots.';
revoke all on public.usage_counters from public, anon, authenticated, service_role;
grant select on public.usage_counters to authenticated;
grant select on public.usage_counters to service_role;

create function private.reset_counter() returns trigger
  language plpgsql security invoker set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    delete from public.usage_counter_slots as c
      where c.scope = old.scope and c.period = old.period and c.period_start = old.period_start;
    return old;
  end if;
  raise exception using errcode = '42501', message = 'Only the ledger writes counters.';
end
$$;
comment on function private.reset_counter() is
  'Trigger: a deletion, for which only the owner of the database has the privilege, deletes all slots. Without the '
  'trigger PostgreSQL would call any write to this view impossible (500), not forbidden (403).';
revoke execute on function private.reset_counter from public, anon, authenticated, service_role;

create trigger usage_counters_reset instead of insert or update or delete on public.usage_counters
  for each row execute function private.reset_counter();

create function private.share_out_again() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if 'global' in (old.scope, new.scope) then
    -- Waits for all running turns, also for one that is inserting slots, and makes later ones wait for the new caps.
    lock table public.usage_counter_slots in share row exclusive mode;
    update public.usage_counter_slots as c set share_requests = 0, share_usd = 0
      where c.scope = 'global' and (c.share_requests <> 0 or c.share_usd <> 0);
  end if;
  return null;
end
$$;
comment on function private.share_out_again() is
  'Trigger: after a change of the global caps no slot has a share, so that the next turn shares the new cap out. '
  'Definer, because usage_counter_slots is not granted.';
revoke execute on function private.share_out_again from public, anon, authenticated, service_role;

create trigger usage_limits_share_out_again after insert or update or delete on public.usage_limits
  for each row execute function private.share_out_again();

create function private.global_slot(p_turn_id uuid) returns smallint
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return get_byte(uuid_send(p_turn_id), 15) % 16;  -- the last byte is random in every version of uuid in use
end
$$;
comment on function private.global_slot(uuid) is 'The slot of the global counters that counts this turn: 0 to 15.';
revoke execute on function private.global_slot from public, anon, authenticated, service_role;

create function private.user_caps(p_user_id uuid, p_is_anonymous boolean) returns public.usage_limits
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    select l from public.usage_limits as l
    where l.scope in (p_user_id::text, case when p_is_anonymous then 'anonymous' else 'default' end)
    order by l.scope = p_user_id::text desc limit 1);
end
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

create function private.current_counter(p_scope text, p_period text) returns public.usage_counter_slots
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_start date := date_trunc(p_period, now() at time zone 'utc')::date;
  v_row public.usage_counter_slots;
begin
  select * into v_row from public.usage_counter_slots as c
    where c.scope = p_scope and c.period = p_period and c.period_start = v_start and c.slot = 0;
  return case when found then v_row
    else row(p_scope, p_period, v_start, 0, 0, 0, 0, 0, 0, 0, 0)::public.usage_counter_slots end;
end
$$;
comment on function private.current_counter(text, text) is
  'A user''s counter of the current period; zeros when there is none yet.';
revoke execute on function private.current_counter from public, anon, authenticated, service_role;

create function private.resets_at(p_period text, p_start date) returns timestamptz
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return (p_start + ('1 ' || p_period)::interval) at time zone 'utc';
end
$$;
comment on function private.resets_at(text, date) is 'When the period that began on p_start ends, UTC.';
revoke execute on function private.resets_at from public, anon, authenticated, service_role;

create function private.limits_left(p_caps public.usage_limits, p_day public.usage_counter_slots,
  p_month public.usage_counter_slots)
  returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return jsonb_build_object(
    'requests_limit', p_caps.daily_requests,
    'requests_remaining', p_caps.daily_requests - p_day.requests,
    'requests_reset_at', private.resets_at('day', p_day.period_start),
    'budget_remaining_usd', least(p_caps.daily_cost_usd - p_day.spent_usd - p_day.reserved_usd,
                                  p_caps.monthly_cost_usd - p_month.spent_usd - p_month.reserved_usd));
end
$$;
comment on function private.limits_left(public.usage_limits, public.usage_counter_slots, public.usage_counter_slots) is
  'What is left of a user''s caps after this turn''s reservation; null = no cap.';
revoke execute on function private.limits_left from public, anon, authenticated, service_role;

create function private.current_limits(p_user_id uuid) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return private.limits_left(
    private.user_caps(p_user_id, coalesce(auth.jwt() @> '{"is_anonymous": true}', false)),
    private.current_counter(p_user_id::text, 'day'), private.current_counter(p_user_id::text, 'month'));
end
$$;
comment on function private.current_limits(uuid) is 'What is left of a user''s caps, without a reservation.';
revoke execute on function private.current_limits from public, anon, authenticated, service_role;

create table private.minute_windows (
  user_id uuid constraint minute_windows_pkey primary key
    constraint minute_windows_user_id_fkey references auth.users (id) on delete cascade,
  admitted_at timestamptz[] not null
) with (fillfactor = 50);
comment on table private.minute_windows is
  'When the last turns of a user with requests_per_minute were admitted, oldest first. Written under the lock of the '
  'user''s counter.';
alter table private.minute_windows enable row level security;
revoke all on private.minute_windows from public, anon, authenticated, service_role;

create function private.admit_in_minute(p_user_id uuid, p_max integer) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  -- Not now(): a transaction that began earlier may get the lock later.
  v_now timestamptz := clock_timestamp();
  v_times timestamptz[] := (select array_agg(t.at order by t.at) from private.minute_windows as w
    cross join lateral unnest(w.admitted_at) as t (at)
    where w.user_id = p_user_id and t.at > v_now - interval '1 minute');
  v_used integer := coalesce(cardinality(v_times), 0);
  v_resets_at timestamptz;
begin
  if v_used >= p_max then
    -- A lower limit than before may leave more turns in the window than it has places.
    v_resets_at := v_times[v_used - p_max + 1] + interval '1 minute';
    perform private.refuse('PT429', 'quota_exceeded', 'The minute''s requests are used up.',
      jsonb_build_object('scope', 'user', 'period', 'minute', 'resets_at', v_resets_at, 'limit', p_max,
        'used', v_used, 'retry_after', ceil(extract(epoch from v_resets_at - v_now))));
  end if;
  insert into private.minute_windows as w (user_id, admitted_at) values (p_user_id, v_times || v_now)
    on conflict on constraint minute_windows_pkey do update set admitted_at = excluded.admitted_at;
end
$$;
comment on function private.admit_in_minute(uuid, integer) is
  'Counts a turn in the user''s last 60 seconds, or refuses it (429) with the seconds until the oldest one leaves '
  'them. The caller holds the lock of the user''s counter.';
revoke execute on function private.admit_in_minute from public, anon, authenticated, service_role;

create function private.used_share(p_scope text, p_limit public.usage_limits) returns numeric
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    select max((u.usd) / m.cap)
    from (values ('day', p_limit.daily_cost_usd), ('month', p_limit.monthly_cost_usd)) as m (period, cap)
    cross join lateral (select sum(c.spent_usd + c.reserved_usd) as usd from public.usage_counter_slots as c
      where c.scope = p_scope and c.period = m.period
        and c.period_start = date_trunc(m.period, now() at time zone 'utc')::date) as u
    where m.cap > 0);
end
$$;
comment on function private.used_share(text, public.usage_limits) is
  'The larger share that a scope has used of its cost caps of the day and the month, reservations included; null '
  'without use or without such a cap.';
revoke execute on function private.used_share from public, anon, authenticated, service_role;

create function private.my_minute(p_user_id uuid, p_max integer) returns table (resets_at timestamptz, used integer)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return query
    with places as (
      select t.at, row_number() over (order by t.at desc) as place from private.minute_windows as w
      cross join lateral unnest(w.admitted_at) as t (at)
      where w.user_id = p_user_id and t.at > now() - interval '1 minute')
    select coalesce(max(p.at) filter (where p.place = p_max), min(p.at)) + interval '1 minute', count(*)::integer
    from places as p;
end
$$;
comment on function private.my_minute(uuid, integer) is
  'Turns of a user''s last 60 seconds, and when the next place is free; null when all are.';
revoke execute on function private.my_minute from public, anon, authenticated, service_role;

create function public.my_limits() returns table (
  period text, period_start date, resets_at timestamptz, max_requests integer, requests integer,
  max_cost_usd numeric, spent_usd numeric, reserved_usd numeric, degrade_at numeric, degrade_to text,
  is_degraded boolean)
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_caps public.usage_limits;
begin
  if v_user_id is null or private.is_app() then
    return;
  end if;
  v_caps := private.user_caps(v_user_id, coalesce(auth.jwt() @> '{"is_anonymous": true}', false));
  return query
    select c.period, c.period_start, private.resets_at(c.period, c.period_start),
      case when c.period = 'day' then v_caps.daily_requests end, c.requests, m.cap, c.spent_usd, c.reserved_usd,
      v_caps.degrade_at, v_caps.degrade_to,
      coalesce((c.spent_usd + c.reserved_usd) / nullif(m.cap, 0) >= v_caps.degrade_at, false)
    from (values ('day', v_caps.daily_cost_usd), ('month', v_caps.monthly_cost_usd)) as m (period, cap)
    cross join lateral private.current_counter(v_user_id::text, m.period) as c
    union all
    select 'minute', null, w.resets_at, v_caps.requests_per_minute, w.used, null, null, null, null, null, false
    from private.my_minute(v_user_id, v_caps.requests_per_minute) as w where v_caps.requests_per_minute is not null;
end
$$;
comment on function public.my_limits() is
  'The caller''s caps and use, one row for the day and one for the month (UTC); a null cap is no cap. With '
  'requests_per_minute also a row for the last 60 seconds: resets_at is when the next place is free, null when all '
  'are. is_degraded: turns go to degrade_to because of this cap. Definer, because users cannot read usage_limits.';
revoke execute on function public.my_limits from public, anon, authenticated, service_role;
grant execute on function public.my_limits() to authenticated;

create function private.refuse_over_cap(
  p_row public.usage_counter_slots, p_requests integer, p_usd numeric, p_max_requests integer, p_max_usd numeric)
  returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_scope text := case when p_row.scope = 'global' then 'global' when p_row.scope like 'key:%' then 'key'
    else 'user' end;
  v_is_global boolean := v_scope = 'global';
  v_resets_at timestamptz := private.resets_at(p_row.period, p_row.period_start);
  v_facts jsonb := jsonb_build_object(
    'scope', v_scope, 'period', p_row.period, 'resets_at', v_resets_at,
    'retry_after', ceil(extract(epoch from v_resets_at - now())));
begin
  if p_requests > 0 and p_row.requests >= p_max_requests then
    perform private.refuse('PT429', 'quota_exceeded', 'The ' || p_row.period || '''s requests are used up.',
      v_facts || case when v_is_global then '{}' else jsonb_build_object('limit', p_max_requests, 'used',
        p_row.requests) end);
  end if;
  if p_row.spent_usd + p_row.reserved_usd + p_usd > p_max_usd then
    -- One user must not see what all users spent.
    perform private.refuse('PT402', 'budget_exceeded', 'The ' || p_row.period || '''s budget ' ||
        case when v_scope = 'key' then 'of this API key ' else '' end || 'does not cover this turn.',
      v_facts || case when v_is_global then '{}' else jsonb_build_object('limit_usd', p_max_usd,
        'spent_usd', p_row.spent_usd, 'reserved_usd', p_row.reserved_usd, 'needed_usd', p_usd) end);
  end if;
end
$$;
comment on function private.refuse_over_cap(public.usage_counter_slots, integer, numeric, integer, numeric) is
  'Refuses p_requests more turns and p_usd more US dollars over a cap, with its scope (user, key or global), '
  'its use and when it resets: '
  'quota_exceeded (429) or budget_exceeded (402). Returns when they fit.';
revoke execute on function private.refuse_over_cap from public, anon, authenticated, service_role;

create function private.lock_counters(p_scope text, p_days date[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_slots integer := case when p_scope = 'global' then 15 else 0 end;
  v_months date[] := array(select distinct date_trunc('month', d.day)::date from unnest(p_days) as d (day));
begin
  insert into public.usage_counter_slots (scope, period, period_start, slot)
    select p_scope, k.period, k.start, s.slot
    from (select 'day' as period, unnest(p_days) as start union select 'month', unnest(v_months)) as k
    cross join generate_series(0, v_slots) as s (slot)
    order by k.period, k.start, s.slot
    on conflict on constraint usage_counter_slots_pkey do nothing;
  perform 1 from public.usage_counter_slots as c
    where c.scope = p_scope and (c.period = 'day' and c.period_start = any (p_days)
      or c.period = 'month' and c.period_start = any (v_months))
    order by c.period, c.period_start, c.slot for update;
end
$$;
comment on function private.lock_counters(text, date[]) is
  'Locks all slots of a scope''s counters of several days and their months, all days before all months, so that two '
  'turns at midnight cannot deadlock.';
revoke execute on function private.lock_counters from public, anon, authenticated, service_role;

create function private.share_out(p_slot smallint, p_period text, p_start date, p_requests integer, p_usd numeric)
  returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_total public.usage_counter_slots := row('global', p_period, p_start, 0, 0, 0, 0, 0, 0, 0, 0);
  v_max_requests integer;
  v_max_usd numeric;
begin
  insert into public.usage_counter_slots (scope, period, period_start, slot)
    select 'global', p_period, p_start, s.slot from generate_series(0, 15) as s (slot) order by s.slot
    on conflict on constraint usage_counter_slots_pkey do nothing;
  perform 1 from public.usage_counter_slots as c
    where c.scope = 'global' and c.period = p_period and c.period_start = p_start order by c.slot for update;
  -- Read under the locks: a change of the caps takes them, too.
  select case when p_period = 'day' then l.daily_requests end,
      case when p_period = 'day' then l.daily_cost_usd else l.monthly_cost_usd end
    into v_max_requests, v_max_usd from public.usage_limits as l where l.scope = 'global';
  select sum(c.requests), sum(c.spent_usd), sum(c.reserved_usd)
    into v_total.requests, v_total.spent_usd, v_total.reserved_usd from public.usage_counter_slots as c
    where c.scope = 'global' and c.period = p_period and c.period_start = p_start;
  perform private.refuse_over_cap(v_total, p_requests, p_usd, v_max_requests, v_max_usd);
  -- This turn's slot gets what the turn needs; all slots get an equal part of what is left then.
  update public.usage_counter_slots as c
    set share_requests = coalesce(c.requests + (v_max_requests - v_total.requests - p_requests) / 16
          + case when c.slot = p_slot then p_requests else 0 end, 2147483647),
        share_usd = coalesce(c.spent_usd + c.reserved_usd
          + trunc((v_max_usd - v_total.spent_usd - v_total.reserved_usd - p_usd) / 16, 9)
          + case when c.slot = p_slot then p_usd else 0 end, 999999999)
    where c.scope = 'global' and c.period = p_period and c.period_start = p_start;
end
$$;
comment on function private.share_out(smallint, text, date, integer, numeric) is
  'Shares what is left of the global caps out among the slots, with room for this turn in its slot; refuses when the '
  'sum of all slots leaves none.';
revoke execute on function private.share_out from public, anon, authenticated, service_role;

create function private.take_shares_back(p_day date) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  update public.usage_counter_slots as c set share_usd = 0
    where c.scope = 'global' and (c.period = 'day' and c.period_start = p_day
      or c.period = 'month' and c.period_start = date_trunc('month', p_day)::date);
end
$$;
comment on function private.take_shares_back(date) is
  'Called when more is booked than was reserved: no slot has a share in US dollars of this day and its month, so that '
  'the next turn compares the sum with the caps. All slots of both are locked before.';
revoke execute on function private.take_shares_back from public, anon, authenticated, service_role;

create function private.update_counter(
  p_scope text, p_slot smallint, p_period text, p_start date, p_requests integer, p_usd numeric,
  p_max_requests integer, p_max_usd numeric, p_is_shared boolean)
  returns public.usage_counter_slots
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_row public.usage_counter_slots;
begin
  -- A read followed by an update would let concurrent turns exceed the cap; one conditional update cannot.
  update public.usage_counter_slots as c
    set requests = c.requests + p_requests, reserved_usd = c.reserved_usd + p_usd
    where c.scope = p_scope and c.period = p_period and c.period_start = p_start and c.slot = p_slot
      and (p_requests = 0 or p_max_requests is null
        or c.requests < case when p_is_shared then c.share_requests else p_max_requests end)
      and (p_max_usd is null or c.spent_usd + c.reserved_usd + p_usd
        <= case when p_is_shared then c.share_usd else p_max_usd end)
    returning * into v_row;
  return v_row;
end
$$;
comment on function private.update_counter(
  text, smallint, text, date, integer, numeric, integer, numeric, boolean) is
  'Counts and reserves in one slot when the cap, or the slot''s share of it, has room; a row of nulls otherwise.';
revoke execute on function private.update_counter from public, anon, authenticated, service_role;

create function private.reserve_in_scope(
  p_scope text, p_slot smallint, p_period text, p_start date, p_requests integer, p_usd numeric,
  p_max_requests integer, p_max_usd numeric)
  returns public.usage_counter_slots
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_is_shared boolean := p_scope = 'global' and (p_max_requests is not null or p_max_usd is not null);
  v_row public.usage_counter_slots;
begin
  -- The second try follows the insert of a missing counter, the sharing of a global cap, or another turn's release. It
  -- succeeds, because its row is locked.
  for v_try in 1..2 loop
    if v_is_shared then
      begin
        v_row := private.update_counter(p_scope, p_slot, p_period, p_start, p_requests, p_usd, p_max_requests,
          p_max_usd, true);
        if v_row.scope is null then
          raise exception using errcode = 'PTSUB';
        end if;
      exception when sqlstate 'PTSUB' then
        -- An update that waited and then found no room keeps its lock, and share_out() locks all slots in their order:
        -- two such turns would deadlock. The end of this block releases the lock.
        null;
      end;
    else
      v_row := private.update_counter(p_scope, p_slot, p_period, p_start, p_requests, p_usd, p_max_requests, p_max_usd,
        false);
    end if;
    if v_row.scope is not null then
      return v_row;
    end if;
    if v_is_shared then
      perform private.share_out(p_slot, p_period, p_start, p_requests, p_usd);
    else
      insert into public.usage_counter_slots (scope, period, period_start, slot)
        values (p_scope, p_period, p_start, p_slot) on conflict on constraint usage_counter_slots_pkey do nothing;
      select * into v_row from public.usage_counter_slots as c
        where c.scope = p_scope and c.period = p_period and c.period_start = p_start and c.slot = p_slot for update;
      perform private.refuse_over_cap(v_row, p_requests, p_usd, p_max_requests, p_max_usd);
    end if;
  end loop;
  raise exception 'the counter of scope % is neither over its cap nor below it', p_scope;
end
$$;
comment on function private.reserve_in_scope(text, smallint, text, date, integer, numeric, integer, numeric) is
  'Counts p_requests turns and reserves p_usd in one scope and period; refuses with quota_exceeded (429) or '
  'budget_exceeded (402). p_requests is 0 for a turn that is already counted.';
revoke execute on function private.reserve_in_scope from public, anon, authenticated, service_role;

create function private.settle_in_scope(
  p_scope text, p_slot smallint, p_day date, p_release_usd numeric, p_spent_usd numeric, p_input bigint,
  p_output bigint, p_requests integer)
  returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- Two statements, so that the day is always locked before the month.
  update public.usage_counter_slots as c
    set reserved_usd = greatest(c.reserved_usd - p_release_usd, 0), spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'day' and c.period_start = p_day and c.slot = p_slot;
  update public.usage_counter_slots as c
    set reserved_usd = greatest(c.reserved_usd - p_release_usd, 0), spent_usd = c.spent_usd + p_spent_usd,
        input_tokens = c.input_tokens + p_input, output_tokens = c.output_tokens + p_output,
        requests = c.requests + p_requests
    where c.scope = p_scope and c.period = 'month' and c.period_start = date_trunc('month', p_day)::date
      and c.slot = p_slot;
end
$$;
comment on function private.settle_in_scope(text, smallint, date, numeric, numeric, bigint, bigint, integer) is
  'Releases a reservation and books the usage, in a scope''s day and month. A counter that holds less than is released '
  'becomes 0, so that a wrong counter fails neither a finish nor a sweep.';
revoke execute on function private.settle_in_scope from public, anon, authenticated, service_role;
