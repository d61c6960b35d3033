-- Purpose: the entries by which costs of finished turns were corrected after a price was wrong.
-- Affects: public.cost_corrections
-- Access: admins and the service read; only reprice() writes.

create table public.cost_corrections (
  id bigint generated always as identity constraint cost_corrections_pkey primary key,
  run_id uuid not null,
  turn_id uuid not null,
  day date not null,
  model_identifier text,
  old_usd numeric(18, 9),
  new_usd numeric(18, 9) not null,
  delta_usd numeric(18, 9) not null generated always as (new_usd - coalesce(old_usd, 0)) stored,
  old_cached_usd numeric(18, 9),
  old_output_usd numeric(18, 9),
  old_reasoning_usd numeric(18, 9),
  prices jsonb not null constraint cost_corrections_prices_check check (jsonb_typeof(prices) = 'object'),
  corrected_by uuid constraint cost_corrections_corrected_by_fkey references auth.users (id) on delete set null,
  created_at timestamptz not null default now()
);
comment on table public.cost_corrections is
  'One correction of one turn''s cost. The first entry of a turn has the cost that chat_finish wrote; the sum of '
  'delta_usd is what all corrections changed. Append-only.';
comment on column public.cost_corrections.run_id is 'The call of reprice() that wrote the entry.';
comment on column public.cost_corrections.turn_id is 'As in chat_logs. No foreign key: entries outlive the log.';
comment on column public.cost_corrections.day is 'The UTC day whose counters follow, as in the ledger.';
comment on column public.cost_corrections.model_identifier is
  'The model that answered; client:<node> for a model of the user''s own node.';
comment on column public.cost_corrections.old_usd is 'US dollars before; null when the turn had no price.';
comment on column public.cost_corrections.old_cached_usd is
  'The three parts before: of cached input, of output without reasoning, of reasoning.';
comment on column public.cost_corrections.prices is 'The pricing used, by identifier of the model.';
comment on column public.cost_corrections.corrected_by is
  'The admin; null for the service, for the owner of the database, and once the account is deleted.';

create index cost_corrections_turn_id_idx on public.cost_corrections (turn_id);
create index cost_corrections_day_idx on public.cost_corrections (day);
create index cost_corrections_corrected_by_idx on public.cost_corrections (corrected_by)
  where corrected_by is not null;

alter table public.cost_corrections enable row level security;
revoke all on public.cost_corrections from public, anon, authenticated, service_role;
revoke all on sequence public.cost_corrections_id_seq from public, anon, authenticated, service_role;
grant select on public.cost_corrections to authenticated;
grant select on public.cost_corrections to service_role;

create policy cost_corrections_select_admin on public.cost_corrections for select to authenticated
  using ((select private.is_admin()));
comment on policy cost_corrections_select_admin on public.cost_corrections is 'Admins only.';
