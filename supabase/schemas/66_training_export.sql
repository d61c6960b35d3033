-- Purpose: turns with consent as training data, and a user's own data as JSON.
-- Affects: public.export_training_data(), public.export_training_page(), public.export_my_data()
-- Access: admins and the service read training data; each user exports their own data.

create function private.training_rows(p_from timestamptz, p_to timestamptz, p_after bigint, p_limit integer)
  returns table (id bigint, turn_id uuid, user_id uuid, conversation_id uuid, question text, response text, model text,
    rating smallint, created_at timestamptz)
  language sql stable security invoker set search_path = '' set enable_sort = off as $$
  select r.* from (
    -- Subqueries and a constant limit, and no sort, so that the plan walks along the primary key.
    select l.id, l.turn_id, l.user_id, l.conversation_id, l.question, l.response, l.model_identifier,
      (select private.rating_value(f.rating, f.sentiment) from public.feedback as f
        where f.turn_id = l.turn_id and f.user_id = l.user_id), l.created_at
    from public.chat_logs as l
    where l.id > coalesce(p_after, 0) and l.status = 'completed' and l.question <> '' and l.response <> ''
      and l.question not like 'enc:v1:%' and l.response not like 'enc:v1:%'
      and l.created_at >= coalesce(p_from, '-infinity') and l.created_at < coalesce(p_to, 'infinity')
      and (select p.allows_training from public.user_llm_profiles as p where p.user_id = l.user_id)
      and (select c.allows_training from public.llm_conversations as c where c.id = l.conversation_id)
        is distinct from false
      and private.authors_consent(l.conversation_id)
    order by l.id limit 1000) as r
  limit least(greatest(coalesce(p_limit, 1000), 1), 1000)
$$;
comment on function private.training_rows(timestamptz, timestamptz, bigint, integer) is
  'Completed turns in [p_from, p_to) with redacted text, of users who allow training, outside of conversations that '
  'their owner excludes or where another author does not consent, and without encrypted text; by id, after p_after. '
  'rating is that of the user who asked; see rating_value().';
revoke execute on function private.training_rows from public, anon, authenticated, service_role;

create function private.training_messages(p_question text, p_response text) returns jsonb
  language sql immutable security invoker set search_path = '' as $$
  select jsonb_build_array(jsonb_build_object('role', 'user', 'content', p_question),
    jsonb_build_object('role', 'assistant', 'content', p_response))
$$;
comment on function private.training_messages(text, text) is 'The messages of one example in OpenAI''s shape.';
revoke execute on function private.training_messages from public, anon, authenticated, service_role;

create function public.export_training_data("from" timestamptz default null, "to" timestamptz default null,
  after bigint default 0, "limit" integer default 1000)
  returns table (id bigint, messages jsonb, model text, rating smallint, created_at timestamptz)
  language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.is_admin() then
    perform private.refuse('PT403', 'forbidden', 'Only admins export training data.');
  end if;
  return query select r.id, private.training_messages(r.question, r.response), r.model, r.rating, r.created_at
    from private.training_rows("from", "to", after, "limit") as r;
end
$$;
comment on function public.export_training_data(timestamptz, timestamptz, bigint, integer) is
  'For admins: redacted questions and answers in [from, to) as messages, of users who set allows_training, without '
  'conversations whose owner excludes them or where another author does not consent. At most 1000 rows by id: '
  'pass the last id as after for the next. No row names a user. Definer, because not even admins read profiles.';
revoke execute on function public.export_training_data from public, anon, authenticated, service_role;
grant execute on function public.export_training_data(timestamptz, timestamptz, bigint, integer) to authenticated;

create function public.export_training_page(until timestamptz, after bigint default 0, max_rows integer default 1000)
  returns jsonb
  language sql stable security definer set search_path = '' as $$
  with page as materialized (
    select r.* from private.training_rows(null, until, after, max_rows) as r
  ), pairs as (
    select r.id, r.question, k.response as preferred, r.response as rejected
    from page as r cross join lateral (
      (select l.response from public.chat_logs as l
        where l.conversation_id = r.conversation_id and l.user_id = r.user_id and l.question = r.question
          and l.id > r.id and l.status = 'completed' and l.response <> r.response
          -- The answer of a turn that was regenerated is no longer in the conversation.
          and exists (select 1 from public.messages as m where m.turn_id = l.turn_id and m.role = 'assistant')
          and not exists (select 1 from public.messages as m where m.turn_id = r.turn_id and m.role = 'assistant')
        order by l.id desc limit 1)
      union all
      (select l.response from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
        left join public.llm_conversations as c on c.id = l.conversation_id
        where r.rating <= 2 and f.user_id = r.user_id and private.rating_value(f.rating, f.sentiment) >= 4
          and l.user_id = r.user_id
          and l.question = r.question and l.status = 'completed' and l.response <> r.response
          and c.allows_training is distinct from false and private.authors_consent(l.conversation_id)
        order by private.rating_value(f.rating, f.sentiment) desc, l.id desc limit 1)
      limit 1) as k
  )
  select jsonb_build_object(
    'next', case when (select count(*) from page) = least(greatest(max_rows, 1), 1000)
      then (select max(p.id) from page as p) end,
    'examples', (select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'turn_id', p.turn_id,
      'messages', private.training_messages(p.question, p.response)) order by p.id), '[]') from page as p),
    'pairs', (select coalesce(jsonb_agg(jsonb_build_object('question', q.question, 'preferred', q.preferred,
      'rejected', q.rejected) order by q.id), '[]') from pairs as q))
$$;
comment on function public.export_training_page(timestamptz, bigint, integer) is
  'One page of the export: examples by id, and pairs of a rejected and a preferred answer to the same question of the '
  'same user: the regenerated answer against the kept one, or rated 1 or 2 against 4 or 5. next is the id to pass as '
  'after; null on the last page. Definer, because profiles are not granted.';
revoke execute on function public.export_training_page from public, anon, authenticated, service_role;
grant execute on function public.export_training_page(timestamptz, bigint, integer) to service_role;

create function public.export_my_data(after jsonb default null, max_rows integer default 1000) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_max integer := least(greatest(coalesce(max_rows, 1000), 1), 1000);
  v_message_at timestamptz;
  v_message_id uuid;
  v_turn bigint;
  v_messages jsonb;
  v_turns jsonb;
  v jsonb := '{}';
begin
  v_message_at := coalesce((after ->> 'message_at')::timestamptz, '-infinity');
  v_message_id := coalesce((after ->> 'message_id')::uuid, '00000000-0000-0000-0000-000000000000');
  v_turn := coalesce((after ->> 'turn')::bigint, 0);
  if after is null then
    v := jsonb_build_object(
      'profile', (select to_jsonb(p) from public.user_llm_profiles as p where p.user_id = v_user_id),
      'conversations', (select coalesce(jsonb_agg(to_jsonb(c) order by c.started_at, c.id), '[]')
        from public.llm_conversations as c where c.user_id = v_user_id),
      'memberships', (select coalesce(jsonb_agg(to_jsonb(m) order by m.joined_at, m.conversation_id), '[]')
        from public.conversation_members as m where m.user_id = v_user_id),
      'feedback', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
        from public.feedback as f where f.user_id = v_user_id),
      'usage', (select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
        from public.usage_daily as d where d.user_id = v_user_id),
      'counters', (select coalesce(jsonb_agg(to_jsonb(n) order by n.period_start, n.period), '[]')
        from public.usage_counters as n where n.scope = v_user_id::text),
      'limits', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from public.my_limits() as l),
      'limit_changes', (select coalesce(jsonb_agg(to_jsonb(h) order by h.id), '[]')
        from public.limit_changes as h where h.user_id = v_user_id),
      'scores', (select coalesce(jsonb_agg(to_jsonb(s) order by s.created_at, s.turn_id), '[]')
        from public.turn_scores as s join public.chat_logs as l on l.turn_id = s.turn_id where l.user_id = v_user_id),
      'alerts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.id), '[]')
        from public.cost_alerts as a where a.scope = v_user_id::text),
      'nodes', (select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]')
        from (select k.id, k.name, k.base_url, k.has_key, k.models, k.created_at from public.client_nodes as k
          where k.owner_id = v_user_id) as n),
      'versions', (select coalesce(jsonb_agg(to_jsonb(m) || jsonb_build_object('answer', (
          select to_jsonb(a) from public.message_versions as a where a.turn_id = m.turn_id and a.role = 'assistant'))
          order by m.created_at, m.id), '[]')
        from public.message_versions as m where m.user_id = v_user_id),
      'files', (select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at, f.id), '[]')
        from (select k.id, k.conversation_id, k.media_type, k.name, k.pages, k.size_bytes, k.created_at
          from public.conversation_files as k where k.user_id = v_user_id) as f),
      'shares', (select coalesce(jsonb_agg(to_jsonb(s) order by s.created_at, s.id), '[]')
        from (select h.id, h.conversation_id, h.title, h.created_at, h.expires_at from public.conversation_shares as h
          where h.created_by = v_user_id) as s),
      'invitations', (select coalesce(jsonb_agg(to_jsonb(i) order by i.created_at, i.id), '[]')
        from (select n.id, n.conversation_id, n.email, n.created_at, n.expires_at
          from public.conversation_invitations as n where n.created_by = v_user_id) as i),
      'api_keys', (select coalesce(jsonb_agg(to_jsonb(k) order by k.created_at, k.id), '[]')
        from public.api_keys as k where k.user_id = v_user_id),
      'stored_answers', (select coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]')
        from public.ai_insights as i where i.user_id = v_user_id));
  end if;
  select jsonb_agg(to_jsonb(m) || jsonb_build_object('answer', (
      select to_jsonb(a) from public.messages as a where a.turn_id = m.turn_id and a.role = 'assistant'))
      order by m.created_at, m.id) into v_messages
    from (select q.* from public.messages as q
      where q.user_id = v_user_id and (q.created_at, q.id) > (v_message_at, v_message_id)
      order by q.created_at, q.id limit v_max) as m;
  select jsonb_agg(to_jsonb(t) order by t.id) into v_turns
    from (select l.* from public.chat_logs as l where l.user_id = v_user_id and l.id > v_turn
      order by l.id limit v_max) as t;
  return v || jsonb_build_object('messages', coalesce(v_messages, '[]'), 'turns', coalesce(v_turns, '[]'),
    'next', case when jsonb_array_length(v_messages) = v_max or jsonb_array_length(v_turns) = v_max
      then jsonb_build_object(
        'message_at', coalesce(v_messages -> -1 -> 'created_at', to_jsonb(v_message_at)),
        'message_id', coalesce(v_messages -> -1 -> 'id', to_jsonb(v_message_id)),
        'turn', coalesce((v_turns -> -1 ->> 'id')::bigint, v_turn)) end);
exception when invalid_text_representation or datetime_field_overflow or invalid_datetime_format
    or numeric_value_out_of_range then
  raise exception using errcode = 'PT422', message = 'after is next of an earlier answer, or null.',
    detail = '{"code": "validation_failed", "metadata": {"param": "after"}}';
end
$$;
comment on function public.export_my_data(jsonb, integer) is
  'Everything that Parley stores about the caller: profile, conversations, memberships, feedback, usage, counters, '
  'limits and their changes, scores of a judging model, alerts, nodes (without keys), hidden versions with their '
  'answers, files (read_file has their bytes), shares, invitations, API keys (without secrets), stored answers of '
  'presets, and a page of messages (each question with its answer) and of turns. Pass next as after until next is '
  'null; only the first page has the parts that are not paged.';
revoke execute on function public.export_my_data from public, anon, authenticated, service_role;
grant execute on function public.export_my_data(jsonb, integer) to authenticated;
