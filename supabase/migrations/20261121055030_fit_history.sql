-- Purpose: history falls away in whole turns, what is left out is counted, and in a group each speaker has a name.
-- Affects: functions private.recent_history(), plan_turn() (replaced), display_name(), speakers()
-- Access: called by chat_begin only.

drop function private.plan_turn(jsonb, uuid, jsonb);
drop function private.recent_history(uuid, bigint, uuid);

create function private.display_name(p_metadata jsonb) returns text
  language sql immutable security invoker set search_path = ''
as $$
  select n.name from (
    -- Control, direction and zero-width characters, line ends and colons would let a name be more than a name.
    select k.place, rtrim(left(btrim(regexp_replace(left(p_metadata ->> k.key, 600),
      '[\s:\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+', ' ', 'g')), 60)) as name
    from (values (1, 'name'), (2, 'full_name')) as k (place, key)
    where jsonb_typeof(p_metadata -> k.key) = 'string') as n
  -- Nobody calls themselves what only we call somebody.
  where n.name <> '' and n.name !~ '@' and n.name !~ '\(\d+\)$' and n.name !~* '^(person \d+|former member)$'
  order by n.place limit 1
$$;
comment on function private.display_name(jsonb) is
  'What somebody calls themselves, as one line of at most 60 characters; null when they do not, or by an e-mail address or like one of our own.';

create function private.speakers(p_conversation_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with members as (
    select m.user_id, row_number() over (order by m.joined_at, m.user_id) as place
    from public.conversation_members as m where m.conversation_id = p_conversation_id
  ), named as (
    select m.user_id, m.place, coalesce(private.display_name(u.raw_user_meta_data), 'Person ' || m.place) as name
    from members as m join auth.users as u on u.id = m.user_id
    where (select count(*) from members) > 1
  ), told as (
    select n.user_id, n.name, row_number() over (partition by lower(n.name) order by n.place) as nth from named as n
  )
  select jsonb_object_agg(t.user_id, t.name || case when t.nth > 1 then ' (' || t.nth || ')' else '' end) from told as t
$$;
comment on function private.speakers(uuid) is
  'Object of user id to the name by which the model hears of them, no two alike; null in a conversation of one person.';

create function private.recent_history(
  p_conversation_id uuid, p_user_id uuid, p_speakers jsonb, p_max_tokens bigint, p_turn_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with newest as (
    select m.id, m.role, m.content, m.created_at, coalesce(m.turn_id, m.id) as turn_id, m.turn_id is null as is_alone,
      case when m.role = 'user' and (p_speakers is not null or m.user_id is distinct from p_user_id)
        then coalesce(p_speakers ->> m.user_id::text, 'Former member') end as name
    from public.messages as m
    where m.conversation_id = p_conversation_id and coalesce(m.turn_id <> p_turn_id, true)  -- either may be null
    order by m.created_at desc, m.id desc limit 1000
  ), turns as (
    select n.turn_id, max(n.created_at) as ended_at,
      sum((octet_length(n.content) + coalesce(octet_length(n.name) + 2, 0) + 2) / 3 + 4) as tokens  -- as estimate_tokens()
    from newest as n group by n.turn_id
    -- An answer whose question is beyond the limit, or was forgotten, is half a turn.
    having bool_or(n.role = 'user' or n.is_alone)
  ), fitting as (
    select t.turn_id, sum(t.tokens) over (order by t.ended_at desc, t.turn_id desc) as tokens_so_far from turns as t
  ), shown as (
    select n.* from newest as n join fitting as f on f.turn_id = n.turn_id where f.tokens_so_far <= p_max_tokens
  )
  select jsonb_build_object(
    'messages', (select coalesce(jsonb_agg(jsonb_build_object('role', s.role, 'content', s.content)
        || case when s.name is null then '{}' else jsonb_build_object('name', s.name) end order by s.created_at, s.id), '[]')
      from shown as s),
    'left_out', case when (select count(*) from newest) < 1000 then (select count(*) from newest)
      else (select count(*) from public.messages as m where m.conversation_id = p_conversation_id)
        - (select count(*) from public.messages as m where m.turn_id = p_turn_id) end
      - (select count(*) from shown))
$$;
comment on function private.recent_history(uuid, uuid, jsonb, bigint, uuid) is
  '{messages, left_out}: the newest turns that fit into the token budget (of the newest 1000 messages), oldest first, without the '
  'turn itself; a question and its answer stay or go together. left_out counts the messages of the conversation that are not shown.';

create function private.plan_turn(p_routes jsonb, p_conversation_id uuid, p_user_id uuid, p_turn jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_context bigint := coalesce((p_routes #>> '{0,capabilities,context_window}')::bigint, 8192);
  -- In bytes, as the function counts them; tools only where a model of the chain can use them.
  v_prompt bigint := least(greatest(coalesce((p_turn ->> 'prompt_tokens')::integer, 0), 0), 1000000)
    + case when jsonb_path_exists(p_routes, '$[*].capabilities.supports_tools ? (@ == true)')
        then least(greatest(coalesce((p_turn ->> 'tool_tokens')::integer, 0), 0), 1000000) else 0 end;
  v_speakers jsonb := private.speakers(p_conversation_id);
  v_said text := concat_ws(': ', v_speakers ->> p_user_id::text, p_turn ->> 'message');
  v_new_tokens bigint := private.estimate_tokens(v_said) + v_prompt / 3;
  v_routes jsonb;
  v_history jsonb;
  v_input bigint;
  v_most bigint;
begin
  select jsonb_agg(e.route || jsonb_build_object('max_output_tokens',
      greatest(1, least(coalesce((p_turn ->> 'max_tokens')::bigint, 4096),
        (e.route #>> '{capabilities,max_output_tokens}')::bigint,
        (e.route #>> '{capabilities,context_window}')::bigint / 2))) order by e.place)
    into v_routes from jsonb_array_elements(p_routes) with ordinality as e (route, place);
  -- Half of the cautious estimate is still more than a tokenizer makes of the plainest prose.
  if v_new_tokens / 2 > v_context then
    perform private.refuse('PT422', 'context_exceeded', 'The message is longer than this model can read.',
      jsonb_build_object('context_window', v_context));
  end if;
  -- What tools will tell needs room, too.
  v_history := private.recent_history(p_conversation_id, p_user_id, v_speakers,
    least(v_context - (v_routes #>> '{0,max_output_tokens}')::bigint - v_new_tokens,
      case when jsonb_path_exists(p_routes, '$[0].capabilities.supports_tools ? (@ == true)') and p_turn -> 'tool_tokens' is not null
        then v_context / 2 end),
    (p_turn ->> 'turn_id')::uuid);
  select v_new_tokens + coalesce(sum(private.estimate_tokens(h.said)), 0),
      private.most_tokens(v_said) + v_prompt + coalesce(sum(private.most_tokens(h.said)), 0)
    into v_input, v_most
    from (select concat_ws(': ', m ->> 'name', m ->> 'content') as said from jsonb_array_elements(v_history -> 'messages') as m) as h;
  -- A fallback that cannot read what the first choice can would only refuse it.
  select jsonb_agg(e.route order by e.place) into v_routes
    from jsonb_array_elements(v_routes) with ordinality as e (route, place)
    where e.place = 1 or coalesce(v_input <= (e.route #>> '{capabilities,context_window}')::bigint, true);
  -- The reservation covers the dearest model of the chain at full output and as many input tokens as the text has bytes;
  -- an unknown price cannot be reserved.
  return (select jsonb_build_object('routes', v_routes, 'history', v_history -> 'messages',
      'history_left_out', v_history -> 'left_out', 'speaker', v_speakers ->> p_user_id::text,
      'participants', greatest(1, (select count(*) from public.conversation_members as m where m.conversation_id = p_conversation_id)),
      'input_tokens_estimate', v_input,
      'reserve_usd', coalesce(max(private.turn_cost(r -> 'pricing', v_most, (r ->> 'max_output_tokens')::bigint)), 0),
      'least_usd', min(private.turn_cost(r -> 'pricing', v_input, 1)))
    from jsonb_array_elements(v_routes) as r);
end
$$;
comment on function private.plan_turn(jsonb, uuid, uuid, jsonb) is
  '{routes with max_output_tokens, history, history_left_out, speaker, participants, input_tokens_estimate, reserve_usd, least_usd}.';

revoke execute on function private.display_name(jsonb), private.speakers(uuid),
  private.recent_history(uuid, uuid, jsonb, bigint, uuid), private.plan_turn(jsonb, uuid, uuid, jsonb)
  from public, anon, authenticated, service_role;
