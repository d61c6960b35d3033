-- Purpose: circuit state of a provider or node, shared by all instances through the two ledger calls.
-- Affects: table public.provider_health
-- Access: admins read; only the ledger functions write.

create table public.provider_health (
  provider_key text constraint provider_health_pkey primary key,
  failures integer not null default 0,
  open_until timestamptz,
  reason text,
  updated_at timestamptz not null default now()
);
comment on table public.provider_health is 'How a provider (or client:<node>) has fared lately; a missing row is a healthy one.';
comment on column public.provider_health.failures is 'Failures in a row since the last success.';
comment on column public.provider_health.open_until is 'No call goes there before this time; null = calls go.';
comment on column public.provider_health.reason is 'Error code of the last failure; null after a success.';

alter table public.provider_health enable row level security;
revoke all on public.provider_health from public, anon, authenticated, service_role;
grant select on public.provider_health to authenticated, service_role;

create policy provider_health_select_admin on public.provider_health for select to authenticated
  using ((select private.is_admin()));
comment on policy provider_health_select_admin on public.provider_health is 'Operators only.';
