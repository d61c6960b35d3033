-- Purpose: a turn's entry tells its agent, tools, domain, escalation and context; row and conversation keep them.
-- Affects: columns history_left_out of turns and chat_logs, chat_logs.domain_confidence, tokens of stale_costs; functions private.remember_answer(), write_log(), log_abandoned()
-- Access: called by chat_finish and sweep_turns only.

alter table private.turns add column history_left_out integer;
comment on column private.turns.history_left_out is 'Messages of the conversation that did not fit, as chat_begin counted them.';

alter table public.chat_logs add column domain_confidence numeric(4, 3)
  constraint chat_logs_domain_confidence_check check (domain_confidence between 0 and 1);
comment on column public.chat_logs.domain_confidence is 'How sure the classification is, 0 to 1; null without one.';
alter table public.chat_logs add column route_alias text;
alter table public.chat_logs add column route_arm text;
comment on column public.chat_logs.route_alias is 'The alias or policy that chose the model; null when a model was named, or nothing.';
comment on column public.chat_logs.route_arm is 'Identifier of the arm the turn was given to, whoever served it in the end; null without an alias.';
alter table public.chat_logs add column history_left_out integer;
comment on column public.chat_logs.history_left_out is
  'Messages of the conversation that the model was not shown because they did not fit; null for turns older than this count.';
comment on column public.chat_logs.tools_used is 'Array of {name, ms, ok, …}, without what went in and came out; empty once the person is forgotten.';
comment on column public.chat_logs.agent_type is 'The agent that spoke last.';
comment on column public.chat_logs.domain_classification is 'What the question was about; null when nobody asked.';
comment on column public.chat_logs.user_skill_assessment is
  'How skilled the person seemed in this turn; null when not assessed, and for whoever switched profiling off.';
comment on column public.chat_logs.escalation_metadata is 'Why and to whom the turn was handed on, redacted; null when it was not, or without words to keep.';
comment on column public.chat_logs.context_size_tokens is
  'Size of the last call''s prompt as its provider counted it, else of all calls'' together; null when none counted.';
comment on column public.llm_conversations.primary_agent is 'The agent that spoke last; written by chat_finish only.';
comment on column public.llm_conversations.agent_handoffs is 'How often one agent handed over to another; written by chat_finish only.';

create or replace function private.remember_answer(p_row private.turns, p_entry jsonb, p_cost numeric) returns uuid
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_message_id uuid;
begin
  if p_row.conversation_id is null then
    return null;
  end if;
  -- Steps without a word are an answer only when that is all there was to come: else the key is open for another try.
  if p_row.is_stored and (coalesce(p_entry ->> 'content', '') <> ''
      or (p_entry ->> 'status' = 'completed' and p_entry -> 'parts' <> 'null')) then
    insert into public.messages (id, conversation_id, user_id, role, content, parts, model_used, agent_type, turn_id, status)
      values (p_row.id, p_row.conversation_id, null, 'assistant', coalesce(p_entry ->> 'content', ''), nullif(p_entry -> 'parts', 'null'),
              p_entry ->> 'identifier', p_entry ->> 'agent_type', p_row.id,
              case when p_entry ->> 'status' = 'failed' then 'partial' else p_entry ->> 'status' end)
      on conflict (turn_id, role) where turn_id is not null do nothing
      returning id into v_message_id;
  end if;
  update public.llm_conversations as c
    set last_activity = now(), total_cost = c.total_cost + coalesce(p_cost, 0),
        total_tokens_used = c.total_tokens_used
          + coalesce((p_entry #>> '{usage,input_tokens}')::bigint, 0) + coalesce((p_entry #>> '{usage,output_tokens}')::bigint, 0),
        primary_agent = coalesce(left(p_entry ->> 'agent_type', 40), c.primary_agent),
        agent_handoffs = c.agent_handoffs + greatest(coalesce((p_entry ->> 'agent_handoffs')::integer, 0), 0)
    where c.id = p_row.conversation_id;
  return v_message_id;
end
$$;

create or replace function private.write_log(
  p_row private.turns, p_person uuid, p_entry jsonb, p_route jsonb, p_cost numeric) returns bigint
  language sql volatile security invoker set search_path = ''
as $$
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, response, tools_used,
     input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_source, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, domain_classification, domain_confidence, user_skill_assessment, escalation_suggested,
     escalation_metadata, context_size_tokens, history_left_out, duration_ms, ttft_ms, attempts,
     finish_reason, error_code, user_id_hash, metadata, created_at, route_alias, route_arm)
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
     p_row.routes #>> '{0,alias}', case when p_row.routes #> '{0,alias}' is not null then p_row.routes #>> '{0,identifier}' end)
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
        duration_ms = excluded.duration_ms, ttft_ms = excluded.ttft_ms, attempts = excluded.attempts,
        finish_reason = excluded.finish_reason, error_code = excluded.error_code, metadata = excluded.metadata,
        user_id_hash = excluded.user_id_hash,
        request_id = excluded.request_id, created_at = excluded.created_at
  returning l.id
$$;

alter table private.stale_costs add column input_tokens bigint not null default 0;
alter table private.stale_costs add column output_tokens bigint not null default 0;
comment on table private.stale_costs is
  'What attempts really used and cost that lost their lease, or ended before anything was said: each booked once, and added up in the log row.';

create or replace function private.log_abandoned(p_rows private.turns[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  -- Sorted as the roll-up's rows are, so that two sweeps wait for each other instead of in a circle.
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, cost_usd, input_tokens, output_tokens,
     model, provider, model_identifier, requested_model, agent_type, history_left_out, metadata, created_at, route_alias, route_arm)
  select r.id, case when u.id is not null then r.request_id end, u.id, c.id, r.endpoint, 'abandoned',
    case when u.id is not null then r.question end, e.cost_usd, e.input_tokens, e.output_tokens,
    r.routes #>> '{0,upstream_id}', r.routes #>> '{0,provider}', r.routes #>> '{0,identifier}',
    case when u.id is not null then r.requested_model end, r.agent_type, r.history_left_out, case when u.id is not null then r.metadata else '{}' end, r.started_at,
    r.routes #>> '{0,alias}', case when r.routes #> '{0,alias}' is not null then r.routes #>> '{0,identifier}' end
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
        route_alias = excluded.route_alias, route_arm = excluded.route_arm
$$;

comment on function public.chat_finish(jsonb) is
  'Settles a turn, however often it is called. entry: turn_id, worker_id, status, identifier?, content, response (redacted), parts?, '
  'usage {input_tokens, output_tokens, cached_tokens, reasoning_tokens, source}, finish_reason, error_code, attempts, tools_used?, '
  'agent_type, agent_handoffs?, domain_classification?, domain_confidence?, user_skill_assessment?, escalation_suggested?, escalation_metadata? (redacted), '
  'context_size_tokens?, history_left_out?, duration_ms, ttft_ms, user_id_hash?, metadata?. '
  'Returns outcome: settled | duplicate | stale | unknown, log_id, message_id, cost_usd.';
