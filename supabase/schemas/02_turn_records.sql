-- Purpose: the parameters of chat_begin, chat_extend and chat_finish as records, with defaults and limits applied.
-- Affects: types private.turn_request, private.turn_extension, private.token_usage, private.turn_result, and their
-- readers
-- Access: the ledger functions only.

create type private.turn_request as (
  turn_id uuid, worker_id uuid, request_id text, endpoint text, message text, question text, conversation_id text,
  client_id text, channel_id text, thread_ts text, model text, requested_model text, agent text, asked_agent text,
  agent_models jsonb, needs jsonb, providers jsonb, defaults jsonb, max_tokens bigint, prompt_tokens integer,
  tool_tokens integer, idempotency_key text, body_hash text, metadata jsonb, question_id text, message_id text,
  regenerate boolean, store boolean, log_words boolean, strict_model boolean, dry_run boolean, lease_seconds integer,
  api_key_id uuid, resumable boolean, seed text, preset_version text, files jsonb, file_tokens bigint,
  max_file_tokens bigint
);
comment on type private.turn_request is
  'The parameter of chat_begin, whose comment explains the attributes. api_key_id is set from the claims, file_tokens '
  'and max_file_tokens from the files.';

create type private.turn_extension as (turn_id uuid, worker_id uuid, input_tokens bigint, lease_seconds integer);
comment on type private.turn_extension is 'The parameter of chat_extend, whose comment explains the attributes.';

create type private.token_usage as (
  input_tokens integer, output_tokens integer, cached_tokens integer, reasoning_tokens integer, source text,
  cache_write_tokens integer
);
comment on type private.token_usage is
  'Tokens of a turn. cached_tokens and cache_write_tokens are parts of input_tokens, reasoning_tokens of '
  'output_tokens; null when unknown.';

create type private.turn_result as (
  turn_id uuid, worker_id uuid, status text, identifier text, content text, has_content boolean, response text,
  parts jsonb, usage private.token_usage, finish_reason text, error_code text, attempts jsonb, agent_type text,
  agent_handoffs integer, tools_used jsonb, domain_classification text, domain_confidence numeric,
  user_skill_assessment text, escalation_suggested boolean, escalation_metadata jsonb, context_size_tokens integer,
  history_left_out integer, duration_ms integer, ttft_ms integer, user_id_hash text
);
comment on type private.turn_result is 'The parameter of chat_finish, whose comment explains the attributes.';

create function private.read_turn_request(p_turn jsonb) returns private.turn_request
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_max_lease integer := least(greatest(private.setting('lease_seconds', 360), 60), 900);
  v private.turn_request := jsonb_populate_record(null::private.turn_request, p_turn);
begin
  v.dry_run := coalesce(v.dry_run, false);
  v.store := coalesce(v.store, true) and not v.dry_run;
  v.resumable := coalesce(v.resumable, false) and v.store;
  v.log_words := coalesce(v.log_words, false);
  v.strict_model := coalesce(v.strict_model, false);
  v.regenerate := coalesce(v.regenerate, false);
  v.request_id := left(v.request_id, 64);
  v.endpoint := private.internal_name(v.endpoint, 64, 'chat');
  if char_length(v.idempotency_key) not between 1 and 255 then
    perform private.refuse('PT422', 'validation_failed', 'An idempotency key has 1 to 255 characters.');
  end if;
  v.body_hash := left(v.body_hash, 200);
  v.question := left(v.question, 200000);
  v.client_id := left(v.client_id, 200);
  v.channel_id := left(v.channel_id, 200);
  v.thread_ts := left(v.thread_ts, 200);
  v.model := left(v.model, 300);
  v.requested_model := left(v.requested_model, 300);
  v.question_id := left(v.question_id, 200);
  v.message_id := left(v.message_id, 200);
  v.needs := case jsonb_typeof(v.needs) when 'array' then v.needs else '[]' end;
  v.providers := case jsonb_typeof(v.providers) when 'array' then v.providers end;
  v.defaults := case jsonb_typeof(v.defaults) when 'array' then v.defaults else '[]' end;
  v.prompt_tokens := least(greatest(coalesce(v.prompt_tokens, 0), 0), private.max_prompt_tokens());
  v.tool_tokens := least(greatest(v.tool_tokens, 0), private.max_prompt_tokens());
  -- chat renews the lease of a resumable turn while it runs.
  v.lease_seconds := least(greatest(coalesce(v.lease_seconds, v_max_lease), case when v.resumable then 20 else 60 end),
    v_max_lease);
  v.metadata := coalesce(v.metadata, '{}');
  v.seed := left(v.seed, 200);
  v.preset_version := left(v.preset_version, 40);
  v.files := case when jsonb_typeof(v.files) = 'array' and v.files <> '[]' then v.files end;
  v.file_tokens := 0;
  v.max_file_tokens := 0;
  if not v.dry_run and (jsonb_typeof(v.metadata) <> 'object' or octet_length(v.metadata::text) > 16384) then
    perform private.refuse('PT422', 'validation_failed', 'metadata is an object of at most 16 KB.');
  end if;
  return v;
end
$$;
comment on function private.read_turn_request(jsonb) is
  'The parameter of chat_begin as a record. Long texts are cut, counts are clamped, missing flags get their '
  'defaults. A dry run is not stored. tool_tokens stays null when the caller sends none. Refuses metadata that is no '
  'object or over 16 KB, and keys that are empty or over 255 characters.';
revoke execute on function private.read_turn_request from public, anon, authenticated, service_role;

create function private.read_turn_extension(p_extension jsonb) returns private.turn_extension
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v private.turn_extension := jsonb_populate_record(null::private.turn_extension, p_extension);
begin
  v.input_tokens := greatest(v.input_tokens, 0);
  v.lease_seconds := least(greatest(coalesce(v.lease_seconds, 0), 0), 900);
  return v;
end
$$;
comment on function private.read_turn_extension(jsonb) is
  'The parameter of chat_extend as a record, with counts of at least 0 and a lease of at most 900 seconds.';
revoke execute on function private.read_turn_extension from public, anon, authenticated, service_role;

create function private.read_turn_result(p_entry jsonb) returns private.turn_result
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v private.turn_result;
  v_is_odd boolean;
begin
  begin
    v := jsonb_populate_record(null::private.turn_result, p_entry);
    v_is_odd := least(v.duration_ms, v.ttft_ms, v.context_size_tokens, v.history_left_out, (v.usage).input_tokens,
        (v.usage).output_tokens, (v.usage).cached_tokens, (v.usage).reasoning_tokens, (v.usage).cache_write_tokens,
        v.agent_handoffs) < 0
      or not v.domain_confidence between 0 and 1 or greatest(v.duration_ms, v.ttft_ms) > 86400000
      or (coalesce((v.usage).cached_tokens, 0) + coalesce((v.usage).cache_write_tokens, 0))
        > coalesce((v.usage).input_tokens, 0) or v.agent_handoffs > 1000;
  exception when numeric_value_out_of_range or invalid_text_representation or datatype_mismatch
      or invalid_parameter_value then
    v_is_odd := true;
  end;
  if v_is_odd then  -- clamping costs more than all the rest, and functions send no such counts
    v := jsonb_populate_record(null::private.turn_result, p_entry || jsonb_build_object(
      'usage', coalesce(private.clamp_usage(p_entry -> 'usage'), '{}'),
      'duration_ms', private.clamp_count(p_entry -> 'duration_ms', 86400000),
      'ttft_ms', private.clamp_count(p_entry -> 'ttft_ms', 86400000),
      'context_size_tokens', private.clamp_count(p_entry -> 'context_size_tokens'),
      'history_left_out', private.clamp_count(p_entry -> 'history_left_out'),
      'agent_handoffs', private.clamp_count(p_entry -> 'agent_handoffs', 1000),
      'domain_confidence', least(greatest((p_entry ->> 'domain_confidence')::numeric, 0), 1)));
  end if;
  v.content := coalesce(v.content, '');
  v.has_content := coalesce(v.has_content, v.content <> '');
  v.agent_handoffs := coalesce(v.agent_handoffs, 0);
  v.tools_used := case jsonb_typeof(v.tools_used) when 'array' then v.tools_used else '[]' end;
  v.escalation_suggested := coalesce(v.escalation_suggested, false);
  return v;
end
$$;
comment on function private.read_turn_result(jsonb) is
  'The parameter of chat_finish as a record. Counts are clamped to the ranges of their columns, so that every turn can '
  'be settled; a missing content is empty.';
revoke execute on function private.read_turn_result from public, anon, authenticated, service_role;
