-- Purpose: one finished model turn each: the ledger's public face.
-- Affects: table public.chat_logs
-- Access: people read their own rows, admins all; only the ledger functions write, nobody updates or deletes.

create table public.chat_logs (
  id bigint generated always as identity constraint chat_logs_pkey primary key,
  turn_id uuid not null constraint chat_logs_turn_id_key unique,
  request_id text,
  user_id uuid constraint chat_logs_user_id_fkey references auth.users (id) on delete set null,
  conversation_id uuid constraint chat_logs_conversation_id_fkey
    references public.llm_conversations (id) on delete set null,
  endpoint text not null,
  status text not null constraint chat_logs_status_check
    check (status in ('completed', 'cancelled', 'partial', 'failed', 'abandoned')),
  question text,
  response text,
  tools_used jsonb not null default '[]' constraint chat_logs_tools_used_check check (jsonb_typeof(tools_used) = 'array'),
  input_tokens integer,
  output_tokens integer,
  cached_tokens integer,
  reasoning_tokens integer,
  usage_source text constraint chat_logs_usage_source_check check (usage_source in ('provider', 'partial', 'estimate')),
  cost_usd numeric(18, 9),
  model text,
  provider text,
  model_identifier text,
  requested_model text,
  agent_type text,
  domain_classification text,
  user_skill_assessment text,
  escalation_suggested boolean not null default false,
  escalation_metadata jsonb,
  context_size_tokens integer,
  duration_ms integer,
  ttft_ms integer,
  attempts jsonb not null default '[]',
  finish_reason text,
  error_code text,
  user_id_hash text,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);
comment on table public.chat_logs is 'One finished model turn; append-only, written by chat_finish and the sweeper.';
comment on column public.chat_logs.turn_id is 'The turn''s own id; unique, whatever the caller sent.';
comment on column public.chat_logs.request_id is 'X-Request-Id of the HTTP request, the caller''s own when it sent one.';
comment on column public.chat_logs.user_id is 'Null once the person is deleted.';
comment on column public.chat_logs.question is 'Redacted before it is written; null when content is not logged.';
comment on column public.chat_logs.response is 'Redacted before it is written; null when content is not logged or nothing was said.';
comment on column public.chat_logs.tools_used is 'Array of {name, ms, ok, …}.';
comment on column public.chat_logs.input_tokens is 'All prompt tokens, cached ones included; null when unknown.';
comment on column public.chat_logs.output_tokens is 'All generated tokens, reasoning included; null when unknown.';
comment on column public.chat_logs.usage_source is 'provider = its own final count; partial = its count before a cut; estimate = ours.';
comment on column public.chat_logs.cost_usd is 'US dollars; null when the model has no known price, never zero for it.';
comment on column public.chat_logs.model is 'The provider''s own name of the model that answered.';
comment on column public.chat_logs.context_size_tokens is 'Size of the prompt as the provider counted it; null when it did not.';
comment on column public.chat_logs.duration_ms is 'From the request''s arrival to the end of the answer, milliseconds.';
comment on column public.chat_logs.ttft_ms is 'From the request''s arrival to the first content, milliseconds; null when none came.';
comment on column public.chat_logs.attempts is 'Array of {identifier, ok, ms, error_code?, status?}, one per call of a provider.';
comment on column public.chat_logs.user_id_hash is 'Keyed hash of the person''s id; null when no pepper is configured.';
comment on column public.chat_logs.created_at is 'When the turn began; its UTC day is the day that is charged.';

create index chat_logs_user_id_created_at_idx on public.chat_logs (user_id, created_at desc);
create index chat_logs_conversation_id_idx on public.chat_logs (conversation_id);
create index chat_logs_created_at_idx on public.chat_logs (created_at desc);

alter table public.chat_logs enable row level security;
revoke all on public.chat_logs from public, anon, authenticated, service_role;
revoke all on sequence public.chat_logs_id_seq from public, anon, authenticated, service_role;
grant select on public.chat_logs to authenticated, service_role;

create policy chat_logs_select_own on public.chat_logs for select to authenticated
  using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy chat_logs_select_own on public.chat_logs is 'People see their own turns; admins see all.';
