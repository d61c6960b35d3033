-- Purpose: the write-ahead row of a turn: reservation, idempotency record, lease and fencing token.
-- Affects: private.turns, private.lost_attempt_costs, public.open_turns()
-- Access: no client role; the ledger functions write; signed-in users and the service call open_turns().

create table private.turns (
  id uuid constraint turns_pkey primary key,
  user_id uuid not null,
  conversation_id uuid,
  request_id text,
  endpoint text not null,
  idempotency_key text,
  body_hash text,
  state text not null default 'started',
  worker_id uuid not null,
  lease_until timestamptz not null,
  tries integer not null default 1,
  question text,
  is_stored boolean not null default true,
  requested_model text,
  agent_type text,
  routes jsonb not null default '[]',
  route_reason text,
  metadata jsonb not null default '{}',
  day date not null default (now() at time zone 'utc')::date,
  reserved_usd numeric(18, 9) not null default 0,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  is_forgotten boolean not null default false,
  history_left_out integer,
  replaces uuid,
  is_thin boolean not null default false,
  api_key_id uuid,
  is_resumable boolean not null default false,
  stopped_at timestamptz,
  is_agent_asked boolean not null default false,
  history_shown integer,
  preset_version text
) with (fillfactor = 70);
comment on table private.turns is
  'An admitted turn, written by chat_begin before any model request, so that it is known when the instance is killed.';
comment on column private.turns.user_id is
  'The user whose counters hold the reservation. No foreign key, here and on conversation_id: chat_finish and '
  'deletions lock in different orders, and the reservation must be released even when the user is gone.';
comment on column private.turns.state is 'started, settled, failed or expired.';
comment on column private.turns.worker_id is
  'Fencing token of the attempt that holds the lease. For a finish with another token, only the cost is booked.';
comment on column private.turns.lease_until is
  'When another attempt may take over the turn, or the sweep may close it, if it has not finished.';
comment on column private.turns.tries is 'Attempts that have held the lease.';
comment on column private.turns.question is 'Redacted. Kept so that an abandoned turn still has its question.';
comment on column private.turns.is_stored is
  'Whether text is kept: redacted in the log, and verbatim in the conversation when the turn has one.';
comment on column private.turns.routes is 'The route and its fallbacks, with the prices at admission.';
comment on column private.turns.day is
  'The UTC day whose counters, and those of its month, are charged, even when the turn ends after midnight.';
comment on column private.turns.is_forgotten is
  'The user was deleted, or asked to delete their text: no text of this turn is written any more.';
comment on column private.turns.history_left_out is
  'Messages of the conversation that did not fit, as counted by chat_begin.';
comment on column private.turns.replaces is
  'The earliest turn that this one replaces once it has an answer; null for an ordinary turn.';
comment on column private.turns.is_thin is
  'Settled, and without what the log row has too; with a key, routes has the one route that a replay names.';
comment on column private.turns.api_key_id is
  'The API key of the request, whose counters hold the reservation, too; null for an access token.';
comment on column private.turns.is_resumable is
  'The turn goes on when its client hangs up; chat keeps its stream in private.turn_pieces and renews its short lease.';
comment on column private.turns.stopped_at is
  'When a user stopped this resumable turn; chat learns it from keep_piece. Null for the others.';
comment on column private.turns.is_agent_asked is 'Whether the request named agent_type.';
comment on column private.turns.history_shown is 'Messages of the conversation that fitted, as counted by chat_begin.';
comment on column private.turns.preset_version is 'For the log row; null for turns without a preset.';

create unique index turns_user_id_idempotency_key_idx
  on private.turns (user_id, idempotency_key) where idempotency_key is not null;
create index turns_lease_until_idx on private.turns (lease_until) where state = 'started';
create index turns_finished_at_idx on private.turns (finished_at) where state = 'settled' and not is_thin;
create index turns_user_id_idx on private.turns (user_id);
create index turns_conversation_id_idx on private.turns (conversation_id)
  where state = 'started' and conversation_id is not null;
create index turns_user_id_lease_until_idx on private.turns (user_id, lease_until) where state = 'started';

alter table private.turns enable row level security;
revoke all on private.turns from public, anon, authenticated, service_role;

create table private.lost_attempt_costs (
  turn_id uuid not null constraint lost_attempt_costs_turn_id_fkey references private.turns (id) on delete cascade,
  worker_id uuid not null,
  cost_usd numeric(18, 9),
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  created_at timestamptz not null default now(),
  cached_cost_usd numeric(18, 9),
  output_cost_usd numeric(18, 9),
  reasoning_cost_usd numeric(18, 9),
  attempts jsonb not null default '[]',
  is_finish boolean not null default false,
  constraint lost_attempt_costs_pkey primary key (turn_id, worker_id)
);
comment on table private.lost_attempt_costs is
  'Usage and cost of attempts that lost their lease or ended without content. Each is booked once and added to the '
  'log row.';
comment on column private.lost_attempt_costs.cost_usd is
  'Null when the route had no known price, as are its three parts, which are those of chat_logs.';
comment on column private.lost_attempt_costs.attempts is
  'The model requests with their usage and cost, by which reprice() finds their new cost; see priced_attempts().';
comment on column private.lost_attempt_costs.is_finish is
  'Whether the turn ended with it, so that the total of the conversation includes it.';

alter table private.lost_attempt_costs enable row level security;
revoke all on private.lost_attempt_costs from public, anon, authenticated, service_role;

create function public.open_turns() returns table (
  turn_id uuid, user_id uuid, conversation_id uuid, endpoint text, route text, reserved_usd numeric,
  started_at timestamptz, lease_until timestamptz)
  language sql stable security definer set search_path = '' as $$
  select r.id, r.user_id, r.conversation_id, r.endpoint, r.routes #>> '{0,identifier}', r.reserved_usd,
    r.started_at, r.lease_until
  from private.turns as r
  where r.state = 'started' and (coalesce(auth.jwt() ->> 'role', 'service_role') = 'service_role'
    or private.is_admin()
    or (r.user_id = (select auth.uid()) and not private.is_app()))
  order by r.started_at
$$;
comment on function public.open_turns() is
  'Admitted turns that have not finished, without their text: of the whole deployment for the service and admins, the '
  'user''s own for others. When lease_until has passed, the instance of the turn was killed. Definer, because '
  'write-ahead rows are not granted.';
revoke execute on function public.open_turns from public, anon, authenticated, service_role;
grant execute on function public.open_turns() to authenticated, service_role;
