-- Purpose: cheaper models near a cost cap, and daily caps that follow a user's own use.
-- Affects: public.limit_changes, public.adapt_limits()
-- Access: chat_begin and find_insights call private.degrade(); the service adapts caps; users read their own changes,
-- admins all.

create function private.mean_price(p_pricing jsonb) returns numeric
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return 3 * (p_pricing ->> 'input')::numeric + (p_pricing ->> 'output')::numeric;
end
$$;
comment on function private.mean_price(jsonb) is
  'A price to compare models by, as policies do: three input tokens for each output token; null when unknown.';
revoke execute on function private.mean_price from public, anon, authenticated, service_role;

create function private.cheaper_chain(p_user_id uuid, p_alias text, p_first jsonb, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_price numeric := private.mean_price(p_first -> 'pricing');
begin
  return (
    select jsonb_agg(r.route order by r.place)
    from jsonb_array_elements(private.find_chain(p_user_id, p_alias, p_criteria)) with ordinality as r (route, place)
    where private.mean_price(r.route -> 'pricing') < v_price and r.route ->> 'open_until' is null
      and coalesce((r.route #>> '{capabilities,context_window}')::bigint, private.default_context_window())
        >= coalesce((p_criteria ->> 'context')::bigint, 0)
      -- Also supports_json, for which routing itself would take a model without it.
      and not exists (select from jsonb_array_elements_text(coalesce(p_criteria -> 'needs', '[]')) as n (ability)
        where (p_first -> 'capabilities' ->> n.ability)::boolean
          and not coalesce((r.route -> 'capabilities' ->> n.ability)::boolean, false)));
end
$$;
comment on function private.cheaper_chain(uuid, text, jsonb, jsonb) is
  'The routes of an alias that cost less than p_first and have all that the turn needs and p_first has; null when '
  'there is none.';
revoke execute on function private.cheaper_chain from public, anon, authenticated, service_role;

create function private.degrade(p_user_id uuid, p_resolved jsonb, p_own public.usage_limits,
  p_global public.usage_limits, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_limit public.usage_limits;
  v_first jsonb := (select r.route from jsonb_array_elements(p_resolved -> 'routes') with ordinality as r (route, place)
    order by r.route ->> 'open_until' is not null, r.place limit 1);
  v_routes jsonb;
begin
  -- Text for a client node must not go to a provider.
  if v_first ->> 'provider' = 'client' then
    return p_resolved;
  end if;
  foreach v_limit in array array[p_own, p_global] loop
    if v_limit.degrade_at is not null and private.used_share(
        case when v_limit.scope = 'global' then 'global' else p_user_id::text end, v_limit) >= v_limit.degrade_at then
      v_routes := coalesce(private.cheaper_chain(p_user_id, v_limit.degrade_to, coalesce(v_routes -> 0, v_first),
        p_criteria), v_routes);
    end if;
  end loop;
  return case when v_routes is null then p_resolved
    else p_resolved || jsonb_build_object('routes', v_routes, 'reason', 'degraded') end;
end
$$;
comment on function private.degrade(uuid, jsonb, public.usage_limits, public.usage_limits, jsonb) is
  'The result of resolve_routes(), with cheaper routes and the reason degraded when the user, or all users together, '
  'have used the share degrade_at of a cost cap. When both have, the cheaper alias serves. Unchanged when no route of '
  'the alias costs less and fits the turn, when the price is unknown, and for client nodes.';
revoke execute on function private.degrade from public, anon, authenticated, service_role;

create table public.limit_changes (
  id bigint generated always as identity constraint limit_changes_pkey primary key,
  user_id uuid not null constraint limit_changes_user_id_fkey references auth.users (id) on delete cascade,
  day date not null,
  old_daily_cost_usd numeric(18, 9),
  new_daily_cost_usd numeric(18, 9) not null,
  median_usd numeric(18, 9) not null,
  active_days integer not null,
  created_at timestamptz not null default now(),
  constraint limit_changes_user_id_day_key unique (user_id, day)
);
comment on table public.limit_changes is
  'Each change of an adaptive daily cap by adapt_limits(): at most one a user and UTC day.';
comment on column public.limit_changes.day is 'The UTC day of the change.';
comment on column public.limit_changes.old_daily_cost_usd is 'The cap before, in US dollars; null = there was none.';
comment on column public.limit_changes.new_daily_cost_usd is 'The cap from then on, in US dollars.';
comment on column public.limit_changes.median_usd is
  'The median US dollars of the active days before that day, of 28.';
comment on column public.limit_changes.active_days is 'Days of these 28 with a cost.';

alter table public.limit_changes enable row level security;
revoke all on public.limit_changes from public, anon, authenticated, service_role;
revoke all on sequence public.limit_changes_id_seq from public, anon, authenticated, service_role;
grant select on public.limit_changes to authenticated;
grant select on public.limit_changes to service_role;

create policy limit_changes_select_own on public.limit_changes for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy limit_changes_select_own on public.limit_changes is 'Users see their own changes.';
create policy limit_changes_select_admin on public.limit_changes for select to parley_admin using (true);
comment on policy limit_changes_select_admin on public.limit_changes is 'Admins see all.';

create function private.adapted_caps(p_today date) returns table (
  user_id uuid, old_usd numeric, new_usd numeric, median numeric, days integer)
  language sql stable security invoker set search_path = '' as $$
  with days as (
    select u.user_id, (u.hour at time zone 'utc')::date as day, sum(u.cost_usd) as usd
    from public.usage_limits as l join public.usage_hourly as u on u.user_id = case when l.is_adaptive
      then l.scope::uuid end
    where l.is_adaptive and u.hour >= (p_today - 28)::timestamp at time zone 'utc'
      and u.hour < p_today::timestamp at time zone 'utc'
    group by 1, 2 having sum(u.cost_usd) > 0
  ), medians as (
    select d.user_id, percentile_cont(0.5) within group (order by d.usd)::numeric as median, count(*)::integer as days
    from days as d group by d.user_id having count(*) >= 5
  )
  -- Only ids become texts: a plan may compare the rows of other scopes, whose names are no ids.
  select m.user_id, l.daily_cost_usd, c.usd, round(m.median, 9), m.days
  from medians as m join public.usage_limits as l on l.scope = m.user_id::text
  join auth.users as p on p.id = m.user_id
  cross join lateral (select greatest(l.adaptive_min_usd, least(l.adaptive_max_usd, round(3 * m.median, 4))) as usd)
    as c
  where c.usd is distinct from l.daily_cost_usd
    and not exists (select from public.limit_changes as h where h.user_id = m.user_id and h.day = p_today)
$$;
comment on function private.adapted_caps(date) is
  'Adaptive caps that should change on a UTC day: three times the median of the days with a cost, of the 28 before, '
  'within the bounds. A user with fewer than five such days, or with a change on that day, is left out.';
revoke execute on function private.adapted_caps from public, anon, authenticated, service_role;

create function public.adapt_limits(is_dry_run boolean default false) returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_today date := (now() at time zone 'utc')::date;
  v_changed integer;
begin
  if is_dry_run then
    return (select count(*) from private.adapted_caps(v_today));
  end if;
  with changed as (
    insert into public.limit_changes (user_id, day, old_daily_cost_usd, new_daily_cost_usd, median_usd, active_days)
      select a.user_id, v_today, a.old_usd, a.new_usd, a.median, a.days from private.adapted_caps(v_today) as a
      order by a.user_id
      on conflict on constraint limit_changes_user_id_day_key do nothing
      returning limit_changes.user_id, limit_changes.new_daily_cost_usd as usd
  )
  update public.usage_limits as l set daily_cost_usd = c.usd from changed as c where l.scope = c.user_id::text;
  get diagnostics v_changed = row_count;
  return v_changed;
end
$$;
comment on function public.adapt_limits(boolean) is
  'Sets the daily cost cap of each adaptive row of usage_limits to three times the median cost of the user''s active '
  'days of the 28 UTC days before today, within the bounds, and writes limit_changes. At most one change a user and '
  'day. Returns the number of changes; a dry run only counts them.';
revoke execute on function public.adapt_limits from public, anon, authenticated, service_role;
grant execute on function public.adapt_limits(boolean) to service_role;
