-- Purpose: the cache of structured answers, the leases of answers that are being computed, and keyed responses.
-- Affects: public.ai_insights, private.insight_leases, private.insight_replays
-- Access: users read their own entries and public ones, admins all; only the functions of assist write.

create table public.ai_insights (
  id bigint generated always as identity constraint ai_insights_pkey primary key,
  cache_key text not null constraint ai_insights_cache_key_key unique,
  kind text not null,
  scope text not null constraint ai_insights_scope_check check (scope in ('user', 'public')),
  user_id uuid constraint ai_insights_user_id_fkey references auth.users (id) on delete cascade,
  input jsonb,
  output jsonb not null,
  model text not null,
  prompt_version text not null,
  turn_id uuid not null,
  cost_usd numeric(18, 9),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  constraint ai_insights_scope_user_id_check check ((scope = 'user') = (user_id is not null))
);
comment on table public.ai_insights is 'A validated answer of a preset that is served again until it expires.';
comment on column public.ai_insights.cache_key is
  'SHA-256 of the input hash, the model and the scope. The input hash covers preset, version, schema, sampling '
  'parameters, input and locale.';
comment on column public.ai_insights.kind is 'The preset.';
comment on column public.ai_insights.scope is
  'public: every user may get the answer, because its input has nothing personal and no user''s own node '
  'wrote it. user: only user_id may.';
comment on column public.ai_insights.user_id is 'Null for a public entry, which has no owner.';
comment on column public.ai_insights.input is 'Without the options of the request; null when content is not logged.';
comment on column public.ai_insights.model is 'Identifier of the model that answered.';
comment on column public.ai_insights.turn_id is 'The turn that computed the answer, as in chat_logs. No foreign key.';
comment on column public.ai_insights.cost_usd is
  'US dollars that the answer cost, and that each hit saves; null when unknown, never zero.';
comment on column public.ai_insights.expires_at is
  'From then on the answer is stale. It is served for another tenth of its time while one caller renews it.';

create index ai_insights_user_id_idx on public.ai_insights (user_id) where user_id is not null;
create index ai_insights_expires_at_idx on public.ai_insights (expires_at);

alter table public.ai_insights enable row level security;
revoke all on public.ai_insights from public, anon, authenticated, service_role;
revoke all on sequence public.ai_insights_id_seq from public, anon, authenticated, service_role;
grant select on public.ai_insights to authenticated;
grant select on public.ai_insights to service_role;

create policy ai_insights_select_own on public.ai_insights for select to authenticated
  using (scope = 'public' or user_id = (select auth.uid()));
comment on policy ai_insights_select_own on public.ai_insights is 'Users see their own entries and public ones.';
create policy ai_insights_select_admin on public.ai_insights for select to parley_admin using (true);
comment on policy ai_insights_select_admin on public.ai_insights is 'Admins see all.';

create table private.insight_leases (
  cache_key text constraint insight_leases_pkey primary key,
  holder_id uuid not null,
  lease_until timestamptz not null,
  fence bigint not null default 1,
  insight_id bigint,
  error_code text
);
comment on table private.insight_leases is
  'Who computes the answer of a key, and until when. After the end: the answer, or why there is none.';
comment on column private.insight_leases.holder_id is 'The turn of the holder.';
comment on column private.insight_leases.fence is
  'Increases with every holder, so that an earlier holder stores nothing and waiters know whose result they await.';
comment on column private.insight_leases.insight_id is
  'The entry that the holder stored. A fallback''s answer has another key. Null before the end and after a failure.';
comment on column private.insight_leases.error_code is
  'The provider''s failure, which those who wait get as well; null otherwise, and then the next one computes.';

alter table private.insight_leases enable row level security;
revoke all on private.insight_leases from public, anon, authenticated, service_role;

create table private.insight_replays (
  turn_id uuid constraint insight_replays_pkey primary key
    constraint insight_replays_turn_id_fkey references private.turns (id) on delete cascade,
  output jsonb not null,
  model text not null,
  cost_usd numeric(18, 9)
);
comment on table private.insight_replays is
  'The answers of requests with an idempotency key, verbatim; deleted with the write-ahead row or the owner''s text.';
comment on column private.insight_replays.cost_usd is
  'US dollars of the first request: 0 for a hit, null when unknown.';

alter table private.insight_replays enable row level security;
revoke all on private.insight_replays from public, anon, authenticated, service_role;
