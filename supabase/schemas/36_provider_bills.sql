-- Purpose: what providers say that a day cost, beside what the ledger says.
-- Affects: public.provider_bills, private.bill_reads
-- Access: admins and the service read; only store_bills() and import_bills() write.

create table public.provider_bills (
  provider text not null constraint provider_bills_provider_check check (provider ~ '^[a-z][a-z0-9_-]{0,39}$'),
  day date not null,
  model text not null constraint provider_bills_model_check check (char_length(model) <= 200),
  input_tokens bigint constraint provider_bills_input_tokens_check check (input_tokens >= 0),
  cached_tokens bigint constraint provider_bills_cached_tokens_check check (cached_tokens >= 0),
  output_tokens bigint constraint provider_bills_output_tokens_check check (output_tokens >= 0),
  cost_usd numeric(18, 9),
  source text not null constraint provider_bills_source_check check (source in ('api', 'csv')),
  updated_at timestamptz not null default now(),
  constraint provider_bills_pkey primary key (provider, day, model)
);
comment on table public.provider_bills is 'What a provider charged for a model on a UTC day, by its own figures.';
comment on column public.provider_bills.model is 'The provider''s name; empty for what it charges for no model.';
comment on column public.provider_bills.input_tokens is
  'All prompt tokens, cached ones included, as in chat_logs; null when the provider does not say.';
comment on column public.provider_bills.cost_usd is
  'US dollars; negative for a credit; null when the provider does not say.';
comment on column public.provider_bills.source is 'api: the step bills of refresh read it. csv: import_bills().';

alter table public.provider_bills enable row level security;
revoke all on public.provider_bills from public, anon, authenticated, service_role;
grant select on public.provider_bills to authenticated;
grant select on public.provider_bills to service_role;

create policy provider_bills_select_admin on public.provider_bills for select to authenticated
  using ((select private.is_admin()));
comment on policy provider_bills_select_admin on public.provider_bills is 'Admins only.';

create table private.bill_reads (
  provider text constraint bill_reads_pkey primary key,
  read_at timestamptz not null default now()
);
comment on table private.bill_reads is 'When the step bills last read a provider''s figures.';

alter table private.bill_reads enable row level security;
revoke all on private.bill_reads from public, anon, authenticated, service_role;
