-- Purpose: caps on what may be used.
-- Affects: table public.usage_limits
-- Access: admins read and write; people see their own effective caps through my_limits().

create table public.usage_limits (
  scope text constraint usage_limits_pkey primary key constraint usage_limits_scope_check
    check (scope in ('global', 'default', 'anonymous') or scope ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
  daily_requests integer constraint usage_limits_daily_requests_check check (daily_requests >= 0),
  daily_cost_usd numeric(18, 9) constraint usage_limits_daily_cost_usd_check check (daily_cost_usd >= 0),
  monthly_cost_usd numeric(18, 9) constraint usage_limits_monthly_cost_usd_check check (monthly_cost_usd >= 0),
  updated_at timestamptz not null default now()
);
comment on table public.usage_limits is
  'A cap. global bounds everyone together; a person''s own row replaces default (or anonymous, for people without an account) as a whole.';
comment on column public.usage_limits.scope is 'global, default, anonymous, or a person''s id.';
comment on column public.usage_limits.daily_requests is 'Turns per UTC day; null = no cap.';
comment on column public.usage_limits.daily_cost_usd is 'US dollars per UTC day, reservations included; null = no cap.';
comment on column public.usage_limits.monthly_cost_usd is 'US dollars per UTC month, reservations included; null = no cap.';

create trigger usage_limits_touch before update on public.usage_limits
  for each row execute function private.touch_updated_at();

alter table public.usage_limits enable row level security;
revoke all on public.usage_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.usage_limits to authenticated;
grant select on public.usage_limits to service_role;

create policy usage_limits_select_admin on public.usage_limits for select to authenticated
  using ((select private.is_admin()));
create policy usage_limits_insert_admin on public.usage_limits for insert to authenticated
  with check ((select private.is_admin()));
create policy usage_limits_update_admin on public.usage_limits for update to authenticated
  using ((select private.is_admin())) with check ((select private.is_admin()));
create policy usage_limits_delete_admin on public.usage_limits for delete to authenticated
  using ((select private.is_admin()));
comment on policy usage_limits_select_admin on public.usage_limits is 'Caps of others are nobody''s business but an admin''s.';

insert into public.usage_limits (scope, daily_requests, daily_cost_usd, monthly_cost_usd) values
  ('global', null, 50, 500),
  ('default', 500, 5, 50),
  ('anonymous', 20, 0.20, 1);
