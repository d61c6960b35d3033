-- Purpose: a finish begins its person's profile, and says who met a model's faults.
-- Affects: function public.chat_finish()
-- Access: the service only; definer because logs and counters are granted to nobody.

create or replace function public.chat_finish(entry jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_row private.turns;
  v_route jsonb;
  v_usage jsonb := coalesce(private.whole_usage(entry -> 'usage'), '{}');
  v_input bigint := coalesce((v_usage ->> 'input_tokens')::bigint, 0);
  v_output bigint := coalesce((v_usage ->> 'output_tokens')::bigint, 0);
  v_person uuid;
  v_cost numeric;
  v_earlier record;
  v_release numeric;
  v_is_refunded boolean;
  v_is_said boolean;
  v_is_open boolean;
  v_message_id uuid;
  v_log_id bigint;
begin
  select * into v_row from private.turns as r where r.id = (entry ->> 'turn_id')::uuid for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  entry := entry || jsonb_build_object('usage', v_usage, 'duration_ms', private.whole(entry -> 'duration_ms', 86400000),
    'ttft_ms', private.whole(entry -> 'ttft_ms', 86400000), 'context_size_tokens', private.whole(entry -> 'context_size_tokens'),
    'history_left_out', private.whole(entry -> 'history_left_out'));
  if v_row.is_forgotten and v_row.state <> 'started' then
    entry := private.unnamed_entry(entry, v_row.user_id);
  end if;
  select r.route into v_route from jsonb_array_elements(v_row.routes) as r (route)
    where r.route ->> 'identifier' = coalesce(entry ->> 'identifier', v_row.routes #>> '{0,identifier}') limit 1;
  entry := entry || jsonb_build_object('attempts', private.price_attempts(v_row.routes, entry -> 'attempts'));
  v_cost := case when private.is_metered(entry -> 'attempts')
    then (select sum((a.attempt ->> 'cost_usd')::numeric) from jsonb_array_elements(entry -> 'attempts') as a (attempt))
    else private.turn_cost(v_route -> 'pricing', v_input, v_output, coalesce((v_usage ->> 'cached_tokens')::bigint, 0)) end;
  if (entry ->> 'worker_id')::uuid is distinct from v_row.worker_id then
    return jsonb_build_object('cost_usd', v_cost,
      'outcome', private.book_stale(v_row, (entry ->> 'worker_id')::uuid, v_cost, v_input, v_output));
  end if;
  if v_row.state in ('settled', 'failed') then
    return (select jsonb_build_object('outcome', 'duplicate', 'log_id', l.id, 'cost_usd', l.cost_usd)
            from public.chat_logs as l where l.turn_id = v_row.id);
  end if;

  -- A turn that failed before it used anything is given back to the person's day.
  v_is_refunded := entry ->> 'status' = 'failed' and v_output = 0 and coalesce(v_cost, 0) = 0 and v_row.state = 'started';
  v_release := case when v_row.state = 'started' then v_row.reserved_usd else 0 end;
  select sum(s.cost_usd) as cost_usd, sum(s.input_tokens) as input_tokens, sum(s.output_tokens) as output_tokens
    into v_earlier from private.stale_costs as s where s.turn_id = v_row.id;

  -- Whoever was deleted or forgotten meanwhile: the money is booked, the words are not. The order is a deletion's own: the
  -- person, the conversation, the log row. The write-ahead row before them is skipped by a deletion of the person.
  select u.id into v_person from auth.users as u where u.id = v_row.user_id and not v_row.is_forgotten for key share;
  if v_person is null then
    entry := private.unnamed_entry(entry - 'user_id_hash' - 'metadata', v_row.user_id);
    update private.turns as r set state = 'expired' where r.id = v_row.id;
    perform private.forget_turns(array[v_row.id]);
    select * into v_row from private.turns as r where r.id = v_row.id;
    v_route := (select r.route from jsonb_array_elements(v_row.routes) as r (route)
      where r.route ->> 'identifier' = private.unnamed_model(v_route ->> 'identifier', v_row.user_id) limit 1);
    v_row.conversation_id := null;
  else
    select c.id into v_row.conversation_id from public.llm_conversations as c
      where c.id = v_row.conversation_id for no key update;
  end if;
  perform private.begin_profile(v_person);
  -- What earlier attempts used and cost is in the counters, so it stands in the row as well.
  v_log_id := private.write_log(v_row, v_person, entry || jsonb_build_object(
      'context_size_tokens', coalesce(nullif(entry -> 'context_size_tokens', 'null'),
        case when v_usage ->> 'source' <> 'estimate' then v_usage -> 'input_tokens' end),
      'usage', v_usage || case when v_earlier.input_tokens is null then '{}' else jsonb_build_object(
        'input_tokens', least(v_input + v_earlier.input_tokens, 2147483647),
        'output_tokens', least(v_output + v_earlier.output_tokens, 2147483647)) end),
    v_route, case when v_cost is null and v_earlier.cost_usd is null then null
      else coalesce(v_cost, 0) + coalesce(v_earlier.cost_usd, 0) end);
  v_message_id := private.remember_answer(v_row, entry || jsonb_build_object('identifier', v_route ->> 'identifier'), v_cost);
  -- A turn in which nothing was said may be asked again with its key; what it used and cost stays with it. Words that may not be
  -- kept were said all the same.
  v_is_said := coalesce((entry ->> 'said')::boolean, coalesce(entry ->> 'content', '') <> '');
  v_is_open := not v_is_said and entry ->> 'status' <> 'completed';
  if v_is_open then
    insert into private.stale_costs as s (turn_id, worker_id, cost_usd, input_tokens, output_tokens)
      values (v_row.id, v_row.worker_id, v_cost, v_input, v_output)
      on conflict on constraint stale_costs_pkey do update
        set cost_usd = coalesce(s.cost_usd + excluded.cost_usd, s.cost_usd, excluded.cost_usd),
            input_tokens = s.input_tokens + excluded.input_tokens, output_tokens = s.output_tokens + excluded.output_tokens;
  end if;
  update private.turns as r
    set state = case when v_is_open then 'failed' else 'settled' end, finished_at = now(), reserved_usd = 0
    where r.id = v_row.id;
  perform private.note_health(entry -> 'attempts', v_row.started_at, v_person);
  -- One lock order everywhere: the turn's row, the person's counters, the global counters last.
  perform private.settle_in(v_row.user_id::text, v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output,
    -v_is_refunded::integer);
  perform private.settle_in('global', v_row.day, v_release, coalesce(v_cost, 0), v_input, v_output, -v_is_refunded::integer);
  return jsonb_build_object('outcome', 'settled', 'log_id', v_log_id, 'message_id', v_message_id, 'cost_usd', v_cost);
end
$$;
