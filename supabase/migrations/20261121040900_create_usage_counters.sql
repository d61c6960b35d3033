-- Purpose: what a scope has used and holds reserved in a period; the gate every turn passes.
-- Affects: table public.usage_counters
-- Access: people read their own, admins all; only the ledger functions write.

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
  'Use of one scope in one UTC day or month. Rows are locked in one order everywhere: a person''s (day, month), then global (day, month).';
comment on column public.usage_counters.scope is 'global, or a person''s id.';
comment on column public.usage_counters.requests is 'Turns admitted; one that failed before it cost anything is given back.';
comment on column public.usage_counters.spent_usd is 'Booked cost of finished turns, US dollars.';
comment on column public.usage_counters.reserved_usd is 'Held by turns that run now, US dollars; 0 when none runs.';

alter table public.usage_counters enable row level security;
revoke all on public.usage_counters from public, anon, authenticated, service_role;
grant select on public.usage_counters to authenticated, service_role;

create policy usage_counters_select_own on public.usage_counters for select to authenticated
  using (scope = (select auth.uid())::text or (select private.is_admin()));
comment on policy usage_counters_select_own on public.usage_counters is 'One''s own use; the global sum is an admin''s to see.';
