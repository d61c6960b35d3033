-- Purpose: the write-ahead row of a turn: reservation, idempotency record, lease and fencing token in one.
-- Affects: tables private.turns, private.stale_costs
-- Access: granted to nobody; chat_begin and chat_finish work on them as definer.

create table private.turns (
  id uuid constraint turns_pkey primary key,
  user_id uuid not null,
  conversation_id uuid,
  request_id text,
  endpoint text not null,
  idempotency_key text constraint turns_idempotency_key_check check (char_length(idempotency_key) between 1 and 255),
  body_hash text,
  state text not null default 'started'
    constraint turns_state_check check (state in ('started', 'settled', 'failed', 'expired')),
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
  finished_at timestamptz
) with (fillfactor = 70);
comment on table private.turns is 'One admitted turn from chat_begin on; survives a killed function.';
comment on column private.turns.user_id is
  'Whose counters hold the reservation. No foreign key, here and on conversation_id: a deletion would lock this row after '
  'the conversation, chat_finish locks it before, and the money must find its way back even when the person is gone.';
comment on column private.turns.worker_id is 'Fencing token: the attempt that holds the lease; another one''s finish books its cost and touches nothing else.';
comment on column private.turns.lease_until is 'End of the reservation when nobody finishes.';
comment on column private.turns.tries is 'How many attempts have held the lease.';
comment on column private.turns.question is 'Redacted; kept so that a turn whose function died still has its question.';
comment on column private.turns.routes is 'The route and its fallbacks with the prices that were in force at admission.';
comment on column private.turns.day is 'UTC day, and by it the month, that is charged, even when the turn ends after midnight.';

create unique index turns_user_id_idempotency_key_idx
  on private.turns (user_id, idempotency_key) where idempotency_key is not null;
create index turns_lease_until_idx on private.turns (lease_until) where state = 'started';

create table private.stale_costs (
  turn_id uuid not null constraint stale_costs_turn_id_fkey references private.turns (id) on delete cascade,
  worker_id uuid not null,
  cost_usd numeric(18, 9) not null,
  created_at timestamptz not null default now(),
  constraint stale_costs_pkey primary key (turn_id, worker_id)
);
comment on table private.stale_costs is 'What attempts that lost their lease really cost, each booked once.';

alter table private.turns enable row level security;
alter table private.stale_costs enable row level security;
revoke all on private.turns, private.stale_costs from public, anon, authenticated, service_role;
