-- Purpose: the log under the names and columns that dashboards and the seeds' queries use; never a second copy.
-- Affects: public.llm_interactions, public.ai_usage_logs, public.ai_usage_events, public.training_data
-- Access: users see their own turns, admins all, as in chat_logs; training_data has only turns with consent.

create view public.llm_interactions with (security_invoker = true) as
  select l.turn_id as id, l.conversation_id, l.created_at as timestamp, coalesce(l.agent_type, 'general') as agent_type,
    l.question as user_message, l.response as agent_response,
    jsonb_build_object('model', l.model_identifier,
      'tokens_used', coalesce(l.input_tokens::bigint + l.output_tokens, l.input_tokens, l.output_tokens),
      'cost', l.cost_usd, 'confidence', l.domain_confidence, 'domain_classification', l.domain_classification)
      as llm_metadata,
    l.rating::integer as user_satisfaction, l.duration_ms as response_time_ms, l.escalation_suggested,
    l.escalation_metadata, l.context_size_tokens, l.domain_classification, l.user_skill_assessment, l.user_id, l.status
  from public.chat_logs as l;
comment on view public.llm_interactions is
  'One row for each turn of the log. agent_type is general when no agent took the turn.';
comment on column public.llm_interactions.user_message is 'Redacted; null when content is not logged.';
comment on column public.llm_interactions.llm_metadata is
  '{model, tokens_used (input and output), cost (US dollars; null when unknown), confidence, domain_classification}.';
comment on column public.llm_interactions.user_satisfaction is
  'Rating 1 to 5 by the user who asked; null without one.';
revoke all on public.llm_interactions from public, anon, authenticated, service_role;
grant select on public.llm_interactions to authenticated;
grant select on public.llm_interactions to service_role;

create view public.ai_usage_logs with (security_invoker = true) as
  select l.id, l.user_id, l.conversation_id, l.model_identifier, l.endpoint, l.input_tokens as prompt_tokens,
    l.output_tokens as response_tokens,
    coalesce(l.input_tokens::bigint + l.output_tokens, l.input_tokens, l.output_tokens) as total_tokens,
    l.duration_ms as latency_ms, l.created_at
  from public.chat_logs as l;
comment on view public.ai_usage_logs is 'Tokens and time of each turn of the log; null when unknown.';
revoke all on public.ai_usage_logs from public, anon, authenticated, service_role;
grant select on public.ai_usage_logs to authenticated;
grant select on public.ai_usage_logs to service_role;

create view public.ai_usage_events with (security_invoker = true) as
  select l.turn_id as id, l.user_id, l.endpoint as event_type, l.status, l.model_identifier as model, l.provider,
    l.input_tokens, l.output_tokens, l.cost_usd, l.duration_ms as latency_ms, l.error_code, l.created_at
  from public.chat_logs as l;
comment on view public.ai_usage_events is
  'What each turn of the log used and cost, without text: for usage and billing. cost_usd is null when unknown.';
revoke all on public.ai_usage_events from public, anon, authenticated, service_role;
grant select on public.ai_usage_events to authenticated;
grant select on public.ai_usage_events to service_role;

create function private.authors_consent(p_conversation_id uuid) returns boolean
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return not exists (
    select 1 from public.messages as m left join public.user_llm_profiles as p on p.user_id = m.user_id
    where m.conversation_id = p_conversation_id and m.role = 'user' and p.allows_training is not true);
end
$$;
comment on function private.authors_consent(uuid) is
  'Whether every user whose words are in the conversation consents to training: an answer may repeat the words of each '
  'of them. True for no conversation.';
revoke execute on function private.authors_consent from public, anon, authenticated, service_role;

create function private.allows_training(p_user_id uuid, p_conversation_id uuid) returns boolean
  language sql stable security definer set search_path = '' as $$
  select (select private.is_admin()) and exists (
      select 1 from public.user_llm_profiles as p where p.user_id = p_user_id and p.allows_training)
    and not exists (
      select 1 from public.llm_conversations as c where c.id = p_conversation_id and not c.allows_training)
    and private.authors_consent(p_conversation_id)
$$;
comment on function private.allows_training(uuid, uuid) is
  'For admins: whether the user and all authors in the conversation consent to training, and its owner does not '
  'exclude it; false for others. Definer, because not even admins read profiles.';
revoke execute on function private.allows_training from public, anon, authenticated, service_role;
grant execute on function private.allows_training(uuid, uuid) to authenticated;

create view public.training_data with (security_invoker = true) as
  select l.turn_id as id, l.conversation_id, l.question as prompt, l.response, l.model_identifier as model,
    l.agent_type, l.rating, l.tools_used, l.duration_ms as latency_ms, l.input_tokens, l.output_tokens, l.created_at
  from public.chat_logs as l
  where l.status = 'completed' and l.question not like 'enc:v1:%' and l.response not like 'enc:v1:%'
    and (select private.is_admin()) and private.allows_training(l.user_id, l.conversation_id);
comment on view public.training_data is
  'For admins: redacted questions and answers of users who set allows_training, without conversations whose owner '
  'excludes them or where another author does not consent; with the rating by the user who asked. No row names a user.';
revoke all on public.training_data from public, anon, authenticated, service_role;
grant select on public.training_data to authenticated;
