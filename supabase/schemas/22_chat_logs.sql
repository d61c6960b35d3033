-- Purpose: the log: one row for each finished turn.
-- Affects: public.chat_logs, public.lookup_failures()
-- Access: users read their own rows, admins all; only the ledger functions write.

-- Each check costs time in every turn. The ledger's functions, which alone write rows, keep the other columns in their
-- ranges.
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
  tools_used jsonb not null default '[]' constraint chat_logs_tools_used_check
    check (jsonb_typeof(tools_used) = 'array'),
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
  domain_confidence numeric(4, 3),
  route_alias text,
  route_arm text,
  history_left_out integer,
  route_reason text,
  unresolved_model text,
  created_at timestamptz not null default now(),
  api_key_id uuid,
  rating smallint,
  cached_cost_usd numeric(18, 9),
  output_cost_usd numeric(18, 9),
  reasoning_cost_usd numeric(18, 9),
  asked_agent text,
  history_shown integer,
  cache_write_tokens integer,
  preset_version text,
  saved_usd numeric(18, 9)
);
comment on table public.chat_logs is
  'One finished turn, written by chat_finish and sweep_turns. reprice() corrects its cost, with a row of '
  'cost_corrections for each change.';
comment on column public.chat_logs.turn_id is 'The turn''s own id; unique.';
comment on column public.chat_logs.request_id is 'X-Request-Id of the HTTP request.';
comment on column public.chat_logs.user_id is 'Null once the user is deleted.';
comment on column public.chat_logs.question is
  'Redacted before it is written, and encrypted with LOG_CONTENT=encrypted; null when content is not logged.';
comment on column public.chat_logs.response is
  'Redacted before it is written, and encrypted with LOG_CONTENT=encrypted; null when content is not logged or the '
  'answer is empty.';
comment on column public.chat_logs.tools_used is
  'Array of {name, ms, ok, …}, without arguments and results; empty once the user is deleted.';
comment on column public.chat_logs.input_tokens is 'All prompt tokens, cached ones included; null when unknown.';
comment on column public.chat_logs.cache_write_tokens is
  'Prompt tokens that the provider wrote to its cache, at a price of their own; null when unknown.';
comment on column public.chat_logs.output_tokens is 'All generated tokens, reasoning included; null when unknown.';
comment on column public.chat_logs.usage_source is
  'provider = its final count; partial = its count before an early end, or with an estimate or a bound of ours; '
  'estimate = counted here.';
comment on column public.chat_logs.cost_usd is 'US dollars; null when the model has no known price, never zero.';
comment on column public.chat_logs.model is 'The provider''s own name of the model that answered.';
comment on column public.chat_logs.agent_type is 'The agent of the answer.';
comment on column public.chat_logs.domain_classification is 'Subject of the question; null when it was not classified.';
comment on column public.chat_logs.user_skill_assessment is
  'The user''s skill as assessed in this turn; null when not assessed or when profiling is off.';
comment on column public.chat_logs.escalation_metadata is
  'Reason and target of the escalation, redacted; null without escalation or stored text.';
comment on column public.chat_logs.context_size_tokens is
  'Prompt size of the last model request as its provider counted it, else of all requests together; null when none '
  'was counted.';
comment on column public.chat_logs.duration_ms is
  'Milliseconds from the arrival of the request to the end of the answer.';
comment on column public.chat_logs.ttft_ms is
  'Milliseconds from the arrival of the request to the first content; null without content.';
comment on column public.chat_logs.attempts is
  'Array of {identifier, ok, ms, error_code?, status?}, one for each model request.';
comment on column public.chat_logs.user_id_hash is 'Keyed hash of the user''s id; null when no pepper is configured.';
comment on column public.chat_logs.created_at is 'When the turn began. Its UTC day is the day that is charged.';
comment on column public.chat_logs.domain_confidence is 'Confidence of the classification, 0 to 1; null without one.';
comment on column public.chat_logs.route_alias is 'The alias or policy that chose the model; null when none did.';
comment on column public.chat_logs.route_arm is
  'Identifier of the arm that the turn was assigned to, even when a fallback served; null without an alias.';
comment on column public.chat_logs.history_left_out is
  'Messages of the conversation that did not fit into the prompt; null when unknown.';
comment on column public.chat_logs.route_reason is
  'Why this model served: requested, conversation_default, profile, agent or default; model_replaced: a successor '
  'served for a retired model; model_not_found: the name is unknown and the default served. Null when unknown.';
comment on column public.chat_logs.unresolved_model is
  'The name that could not be found when route_reason is model_not_found or model_replaced: from the request '
  '(redacted), else from the conversation or profile. Null otherwise, for text that does not look like a model name, '
  'and for deleted users.';
comment on column public.chat_logs.api_key_id is
  'The API key of the request; null for an access token, and once the user is deleted. No foreign key, because '
  'keys are deleted before logs.';
comment on column public.chat_logs.rating is
  'The rating by the user who asked, kept by a trigger of feedback: 1 to 5, else 5 for a positive and 1 for a negative '
  'sentiment; null without one. It stays when the user is deleted.';
comment on column public.chat_logs.cached_cost_usd is
  'The part of cost_usd for cached input. What the three parts leave is the cost of uncached input. Null without cost.';
comment on column public.chat_logs.output_cost_usd is 'The part of cost_usd for output without reasoning.';
comment on column public.chat_logs.reasoning_cost_usd is 'The part of cost_usd for reasoning.';
comment on column public.chat_logs.asked_agent is 'The agent that the request named; null when it named none.';
comment on column public.chat_logs.history_shown is
  'Messages of the conversation that fitted into the prompt; null when unknown.';
comment on column public.chat_logs.preset_version is
  'Version of the preset''s prompt; null for turns without a preset.';
comment on column public.chat_logs.saved_usd is
  'US dollars that a hit of the cache saved, 0 when unknown; null for every turn that is no hit.';

create index chat_logs_user_id_created_at_idx on public.chat_logs (user_id, created_at desc, id desc);
create index chat_logs_conversation_id_idx on public.chat_logs (conversation_id) where conversation_id is not null;
create index chat_logs_created_at_idx on public.chat_logs (created_at desc);
create index chat_logs_route_alias_created_at_idx on public.chat_logs (route_alias, created_at)
  where route_alias is not null;
create index chat_logs_route_reason_created_at_idx on public.chat_logs (created_at)
  where route_reason in ('model_not_found', 'model_replaced');
create index chat_logs_endpoint_created_at_idx on public.chat_logs (endpoint, created_at desc)
  where endpoint like 'assist.%';
create index chat_logs_rating_created_at_idx on public.chat_logs (created_at)
  include (user_id, rating, duration_ms, context_size_tokens, history_shown, history_left_out) where rating is not null;
create index chat_logs_tools_used_created_at_idx on public.chat_logs (created_at) where tools_used <> '[]';
create index chat_logs_escalation_created_at_idx on public.chat_logs (created_at) where escalation_suggested;

alter table public.chat_logs enable row level security;
revoke all on public.chat_logs from public, anon, authenticated, service_role;
revoke all on sequence public.chat_logs_id_seq from public, anon, authenticated, service_role;
grant select on public.chat_logs to authenticated;
grant select on public.chat_logs to service_role;

create policy chat_logs_select_own on public.chat_logs for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy chat_logs_select_own on public.chat_logs is 'Users see their own turns.';
create policy chat_logs_select_admin on public.chat_logs for select to parley_admin using (true);
comment on policy chat_logs_select_admin on public.chat_logs is 'Admins see all.';

create function public.lookup_failures(from_day date default null, to_day date default null) returns table (
  day date, asked_model text, route_reason text, turns bigint, people bigint, last_at timestamptz)
  language sql stable security invoker set search_path = '' as $$
  select (l.created_at at time zone 'utc')::date, l.unresolved_model, l.route_reason, count(*),
    count(distinct l.user_id),
    max(l.created_at)
  from public.chat_logs as l
  where l.route_reason in ('model_not_found', 'model_replaced')
    and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 7)::timestamp at time zone 'utc'
    and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1)::timestamp at time zone 'utc'
  group by 1, 2, 3 order by 1 desc, 4 desc, 2
$$;
comment on function public.lookup_failures(date, date) is
  'Turns whose model name was unknown or retired, by UTC day and name, most turns first; by default the last 7 days '
  'and today. asked_model is null where the name is not kept; people counts users who still have an account.';
revoke execute on function public.lookup_failures from public, anon, authenticated, service_role;
grant execute on function public.lookup_failures(date, date) to authenticated, service_role;
