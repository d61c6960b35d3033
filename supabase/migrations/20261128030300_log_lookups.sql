-- Purpose: a log row says why its model served, and which name could not be found, so that failed lookups can be counted.
-- Affects: columns public.chat_logs.route_reason, unresolved_model; functions private.unresolved_name(), unresolved_model(), write_log(),
--   log_abandoned(), forget_words(), public.lookup_failures()
-- Access: rows as before; lookup_failures for signed-in people over the rows they may read: admins all, others their own.

alter table public.chat_logs
  add column route_reason text constraint chat_logs_route_reason_check check (char_length(route_reason) <= 40),
  add column unresolved_model text constraint chat_logs_unresolved_model_check check (char_length(unresolved_model) <= 300);
comment on column public.chat_logs.route_reason is
  'Why this model served: requested, conversation_default, profile, agent or default; model_replaced: the model asked for is '
  'retired and its successor served; model_not_found: there is no such model and the default served. Null for rows before '
  'this column.';
comment on column public.chat_logs.unresolved_model is
  'The name that could not be found, where route_reason is model_not_found or model_replaced: the request''s (redacted), else the '
  'conversation''s or profile''s. Null otherwise, for a name that does not look like a model''s, and for people who were forgotten.';

create function private.unresolved_name(p_reason text, p_requested text, p_conversation_default text, p_preferred text) returns text
  language sql immutable security invoker set search_path = ''
as $$
  -- The names of a conversation and a profile were not redacted: only what has a model name's characters is logged.
  select case when p_reason in ('model_not_found', 'model_replaced') then coalesce(left(p_requested, 300),
    substring(p_conversation_default from '^[[:alnum:]][[:alnum:]:._/+-]{0,149}$'),
    substring(p_preferred from '^[[:alnum:]][[:alnum:]:._/+-]{0,149}$')) end
$$;
comment on function private.unresolved_name(text, text, text, text) is
  'The model name whose lookup failed, given why the route was chosen; null when none failed.';

create function private.unresolved_model(p_row private.turns) returns text
  language sql stable security invoker set search_path = ''
as $$
  select case when p_row.route_reason in ('model_not_found', 'model_replaced') then private.unresolved_name(
    p_row.route_reason, p_row.requested_model,
    (select c.default_model from public.llm_conversations as c where c.id = p_row.conversation_id),
    (select p.preferred_model from public.user_llm_profiles as p where p.user_id = p_row.user_id)) end
$$;
comment on function private.unresolved_model(private.turns) is
  'The model name whose lookup failed in this turn; null when none failed.';

create or replace function private.write_log(
  p_row private.turns, p_person uuid, p_entry jsonb, p_route jsonb, p_cost numeric) returns bigint
  language sql volatile security invoker set search_path = ''
as $$
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response, tools_used,
     input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_source, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, domain_classification, domain_confidence, user_skill_assessment, escalation_suggested,
     escalation_metadata, context_size_tokens, history_left_out, duration_ms, ttft_ms, attempts,
     finish_reason, error_code, user_id_hash, metadata, created_at, route_alias, route_arm,
     route_reason, unresolved_model)
  values
    (p_row.id, p_row.request_id, p_person, p_row.conversation_id, p_row.endpoint, p_entry ->> 'status',
     case when p_person is not null then p_row.question end,
     case when p_person is not null and p_row.is_stored then p_entry ->> 'response' end,
     case when p_person is not null and jsonb_typeof(p_entry -> 'tools_used') = 'array' then p_entry -> 'tools_used' else '[]' end,
     (p_entry #>> '{usage,input_tokens}')::integer, (p_entry #>> '{usage,output_tokens}')::integer,
     (p_entry #>> '{usage,cached_tokens}')::integer, (p_entry #>> '{usage,reasoning_tokens}')::integer,
     p_entry #>> '{usage,source}', p_cost, p_route ->> 'upstream_id', p_route ->> 'provider',
     p_route ->> 'identifier', p_row.requested_model, coalesce(p_entry ->> 'agent_type', p_row.agent_type),
     p_entry ->> 'domain_classification', (p_entry ->> 'domain_confidence')::numeric,
     case when not exists (select 1 from public.user_llm_profiles as p where p.user_id = p_person and not p.is_profiling_enabled)
       then p_entry ->> 'user_skill_assessment' end,
     coalesce((p_entry ->> 'escalation_suggested')::boolean, false),
     case when p_person is not null and p_row.is_stored then nullif(p_entry -> 'escalation_metadata', 'null') end,
     coalesce((p_entry ->> 'context_size_tokens')::integer,
       case when p_entry #>> '{usage,source}' <> 'estimate' then (p_entry #>> '{usage,input_tokens}')::integer end),
     coalesce((p_entry ->> 'history_left_out')::integer, p_row.history_left_out),
     (p_entry ->> 'duration_ms')::integer, (p_entry ->> 'ttft_ms')::integer,
     coalesce(nullif(p_entry -> 'attempts', 'null'), '[]'),
     p_entry ->> 'finish_reason', p_entry ->> 'error_code', p_entry ->> 'user_id_hash',
     p_row.metadata || coalesce(nullif(p_entry -> 'metadata', 'null'), '{}'), p_row.started_at,
     p_row.routes #>> '{0,alias}', case when p_row.routes #> '{0,alias}' is not null then p_row.routes #>> '{0,identifier}' end,
     p_row.route_reason, case when p_person is not null then private.unresolved_model(p_row) end)
  -- A late or repeated attempt knows better than the sweeper, a failure or a hang-up before the first word.
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, response = excluded.response, tools_used = excluded.tools_used,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cached_tokens = excluded.cached_tokens, reasoning_tokens = excluded.reasoning_tokens,
        usage_source = excluded.usage_source, cost_usd = excluded.cost_usd, model = excluded.model,
        provider = excluded.provider, model_identifier = excluded.model_identifier,
        agent_type = excluded.agent_type, domain_classification = excluded.domain_classification,
        domain_confidence = excluded.domain_confidence,
        user_skill_assessment = excluded.user_skill_assessment, escalation_suggested = excluded.escalation_suggested,
        escalation_metadata = excluded.escalation_metadata, context_size_tokens = excluded.context_size_tokens,
        history_left_out = excluded.history_left_out, route_alias = excluded.route_alias, route_arm = excluded.route_arm,
        route_reason = excluded.route_reason, unresolved_model = excluded.unresolved_model,
        duration_ms = excluded.duration_ms, ttft_ms = excluded.ttft_ms, attempts = excluded.attempts,
        finish_reason = excluded.finish_reason, error_code = excluded.error_code, metadata = excluded.metadata,
        user_id_hash = excluded.user_id_hash,
        request_id = excluded.request_id, created_at = excluded.created_at
  returning l.id
$$;

create or replace function private.log_abandoned(p_rows private.turns[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  -- Sorted as the roll-up's rows are, so that two sweeps wait for each other instead of in a circle.
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, cost_usd, input_tokens, output_tokens,
     model, provider, model_identifier, requested_model, agent_type, history_left_out, metadata, created_at, route_alias, route_arm,
     route_reason, unresolved_model)
  select r.id, case when u.id is not null then r.request_id end, u.id, c.id, r.endpoint, 'abandoned',
    case when u.id is not null then r.question end, e.cost_usd, e.input_tokens, e.output_tokens,
    r.routes #>> '{0,upstream_id}', r.routes #>> '{0,provider}', r.routes #>> '{0,identifier}',
    case when u.id is not null then r.requested_model end, r.agent_type, r.history_left_out, case when u.id is not null then r.metadata else '{}' end, r.started_at,
    r.routes #>> '{0,alias}', case when r.routes #> '{0,alias}' is not null then r.routes #>> '{0,identifier}' end,
    r.route_reason, case when u.id is not null then private.unresolved_model(r) end
  from unnest(p_rows) as r
  left join auth.users as u on u.id = r.user_id and not r.is_forgotten
  left join public.llm_conversations as c on c.id = r.conversation_id and u.id is not null
  left join lateral (
    select sum(s.cost_usd) as cost_usd, least(sum(s.input_tokens), 2147483647)::integer as input_tokens,
      least(sum(s.output_tokens), 2147483647)::integer as output_tokens
    from private.stale_costs as s where s.turn_id = r.id having count(*) > 0) as e on true
  order by r.user_id, r.day, r.id
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, cost_usd = excluded.cost_usd,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, usage_source = null,
        cached_tokens = null, reasoning_tokens = null, duration_ms = null, ttft_ms = null, finish_reason = null, error_code = null,
        request_id = excluded.request_id,
        history_left_out = excluded.history_left_out, created_at = excluded.created_at,
        route_alias = excluded.route_alias, route_arm = excluded.route_arm,
        route_reason = excluded.route_reason, unresolved_model = excluded.unresolved_model
$$;

create or replace function private.forget_words(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update public.chat_logs as l
    set user_id = null, question = null, response = null, request_id = null, requested_model = null,
        unresolved_model = null,
        conversation_id = null, user_id_hash = null, escalation_metadata = null, tools_used = '[]', metadata = '{}',
        model = case when private.unnamed_model(l.model_identifier, p_user_id) is not distinct from l.model_identifier then l.model end,
        model_identifier = private.unnamed_model(l.model_identifier, p_user_id),
        route_arm = private.unnamed_model(l.route_arm, p_user_id), attempts = private.unnamed_attempts(l.attempts, p_user_id)
    where l.user_id = p_user_id;
  update public.usage_daily as d  -- what purged rows had counted
    set user_id = null, model_identifier = private.unnamed_model(d.model_identifier, p_user_id) where d.user_id = p_user_id;
  delete from private.spool_quarantine as q where q.user_id = p_user_id
$$;

create function public.lookup_failures(from_day date default null, to_day date default null) returns table (
  day date, asked_model text, route_reason text, turns bigint, people bigint, last_at timestamptz)
  language sql stable security invoker set search_path = ''
as $$
  select (l.created_at at time zone 'utc')::date, l.unresolved_model, l.route_reason, count(*), count(distinct l.user_id),
    max(l.created_at)
  from public.chat_logs as l
  where l.route_reason in ('model_not_found', 'model_replaced')
    and l.created_at >= coalesce(from_day, (now() at time zone 'utc')::date - 7) at time zone 'utc'
    and l.created_at < (coalesce(to_day, (now() at time zone 'utc')::date) + 1) at time zone 'utc'
  group by 1, 2, 3 order by 1 desc, 4 desc, 2
$$;
comment on function public.lookup_failures(date, date) is
  'Turns whose model was unknown or retired, by UTC day and asked name, most turns first; the last 7 days and today, if none are given. '
  'asked_model is null where the name is not kept; people counts those who still have an account.';

create index chat_logs_route_reason_created_at_idx on public.chat_logs (created_at)
  where route_reason in ('model_not_found', 'model_replaced');

revoke execute on function private.unresolved_name(text, text, text, text), private.unresolved_model(private.turns),
  public.lookup_failures(date, date) from public, anon, authenticated, service_role;
grant execute on function public.lookup_failures(date, date) to authenticated, service_role;
