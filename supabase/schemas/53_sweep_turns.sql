-- Purpose: closes turns of killed instances: keeps the question and releases the reservation.
-- Affects: public.sweep_turns()
-- Access: the service only; definer because write-ahead rows, logs and counters are not granted.

create function private.log_abandoned(p_rows private.turns[]) returns void
  language sql volatile security invoker set search_path = '' as $$
  -- Sorted like the rows of usage_hourly, so that two sweeps cannot deadlock.
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, cost_usd, input_tokens, output_tokens,
     model, provider, model_identifier, requested_model, agent_type, history_left_out, metadata, created_at,
     route_alias, route_arm, route_reason, unresolved_model, api_key_id, rating, cached_cost_usd, output_cost_usd,
     reasoning_cost_usd, asked_agent, history_shown, preset_version)
  select r.id, case when u.id is not null then r.request_id end, u.id, c.id, r.endpoint, 'abandoned',
    case when u.id is not null then r.question end, e.cost_usd, e.input_tokens, e.output_tokens,
    r.routes #>> '{0,upstream_id}', r.routes #>> '{0,provider}', r.routes #>> '{0,identifier}',
    case when u.id is not null then r.requested_model end, r.agent_type, r.history_left_out, case when u.id is not null
      then r.metadata else '{}' end, r.started_at,
    r.routes #>> '{0,alias}', case when r.routes #> '{0,alias}' is not null then r.routes #>> '{0,identifier}' end,
    r.route_reason, case when u.id is not null then private.unresolved_model(r) end,
    case when u.id is not null then r.api_key_id end,
    private.rating_of_turn(r.id, u.id), e.cached_cost_usd, e.output_cost_usd, e.reasoning_cost_usd,
    case when r.is_agent_asked then r.agent_type end, r.history_shown, r.preset_version
  from unnest(p_rows) as r
  left join auth.users as u on u.id = r.user_id and not r.is_forgotten
  left join public.llm_conversations as c on c.id = r.conversation_id and u.id is not null
  left join lateral (
    select sum(s.cost_usd) as cost_usd, sum(s.cached_cost_usd) as cached_cost_usd,
      sum(s.output_cost_usd) as output_cost_usd, sum(s.reasoning_cost_usd) as reasoning_cost_usd,
      least(sum(s.input_tokens), 2147483647)::integer as input_tokens,
      least(sum(s.output_tokens), 2147483647)::integer as output_tokens
    from private.lost_attempt_costs as s where s.turn_id = r.id having count(*) > 0) as e on true
  order by u.id, date_trunc('hour', r.started_at, 'UTC'), r.routes #>> '{0,provider}',
    r.routes #>> '{0,identifier}', r.agent_type, r.endpoint, r.id
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, cost_usd = excluded.cost_usd,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, usage_source = null,
        cached_tokens = null, reasoning_tokens = null, cache_write_tokens = null, duration_ms = null, ttft_ms = null,
        finish_reason = null, error_code = null,
        request_id = excluded.request_id,
        history_left_out = excluded.history_left_out, created_at = excluded.created_at,
        route_alias = excluded.route_alias, route_arm = excluded.route_arm,
        route_reason = excluded.route_reason, unresolved_model = excluded.unresolved_model,
        cached_cost_usd = excluded.cached_cost_usd, output_cost_usd = excluded.output_cost_usd,
        reasoning_cost_usd = excluded.reasoning_cost_usd, asked_agent = excluded.asked_agent,
        history_shown = excluded.history_shown, preset_version = excluded.preset_version
$$;
comment on function private.log_abandoned(private.turns[]) is
  'Writes one abandoned log row for each turn. Its cost is that of the attempts that were booked; null when there are '
  'none.';
revoke execute on function private.log_abandoned from public, anon, authenticated, service_role;

create function private.release_turns(p_scope text, p_rows private.turns[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v record;
begin
  for v in
    select s.day, k.slot, sum(s.reserved_usd) as held
    from unnest(p_rows) as s
    cross join lateral (
      select case p_scope when 'global' then private.global_slot(s.id) else 0 end::smallint as slot) as k
    where p_scope in (s.user_id::text, private.key_scope(s.api_key_id), 'global') group by s.day, k.slot
  loop
    if exists (select from public.usage_counter_slots as c where c.scope = p_scope and c.period = 'day'
        and c.period_start = v.day and c.slot = v.slot and c.reserved_usd < v.held) then
      raise warning 'the counters of scope % hold less than its turns reserve', p_scope;
    end if;
    perform private.settle_in_scope(p_scope, v.slot, v.day, v.held, 0, 0, 0, 0);
  end loop;
end
$$;
comment on function private.release_turns(text, private.turns[]) is
  'Releases the reservations of these turns in one scope, whose counters are locked. Warns when a counter holds less.';
revoke execute on function private.release_turns from public, anon, authenticated, service_role;

create function public.sweep_turns(max_rows integer default 500) returns integer
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_rows private.turns[];
  v_people uuid[];
  v_conversations uuid[];
  v_ids uuid[];
  v_is_nameless boolean;
  v record;
begin
  -- Only one sweep runs at a time, and none during delete_my_data: both change usage_hourly in two passes and could
  -- deadlock. A second sweep returns 0.
  if not pg_try_advisory_xact_lock(hashtextextended('private.sweep_turns', 0)) then
    return 0;
  end if;
  -- Rows that a deletion skipped because a finish had locked them.
  perform private.forget_turns(array(
    select r.id from private.forgotten_people as f join private.turns as r on r.user_id = f.user_id
    where not f.is_complete and not r.is_forgotten for update of r skip locked));
  update private.forgotten_people as f set is_complete = true
    where not f.is_complete
      and not exists (select 1 from private.turns as r where r.user_id = f.user_id and not r.is_forgotten);

  select array_agg(picked.r) into v_rows from (
    select r from private.turns as r
    where r.state = 'started' and r.lease_until < now()
    order by r.lease_until limit least(greatest(max_rows, 1), 5000) for update skip locked) as picked;
  -- Log rows refer to users and conversations. Turns of those that are being deleted are left for the next sweep,
  -- because the deletion may wait for a log row of this sweep.
  v_people := array(select u.id from auth.users as u
    where u.id in (select s.user_id from unnest(v_rows) as s) for key share skip locked);
  v_conversations := array(select c.id from public.llm_conversations as c
    where c.id in (select s.conversation_id from unnest(v_rows) as s) for key share skip locked);
  v_rows := array(
    select r from private.turns as r join unnest(v_rows) as s on s.id = r.id
    where (s.user_id = any (v_people) or not exists (select 1 from auth.users as u where u.id = s.user_id))
      and (s.conversation_id is null or s.conversation_id = any (v_conversations)
        or not exists (select 1 from public.llm_conversations as c where c.id = s.conversation_id))
    order by s.lease_until);
  -- Rows without a user first: a deletion that waits for a conversation has already changed such rows of usage_hourly.
  foreach v_is_nameless in array array[true, false] loop
    v_ids := array(select s.id from unnest(v_rows) as s
      where (s.is_forgotten or s.user_id <> all (v_people)) = v_is_nameless);
    continue when v_ids = '{}';
    update private.turns as r set state = 'expired', finished_at = now(), reserved_usd = 0 where r.id = any (v_ids);
    if v_is_nameless then
      perform private.forget_turns(v_ids);
    end if;
    perform private.log_abandoned(array(select r from private.turns as r where r.id = any (v_ids)));
    if not v_is_nameless then
      perform private.keep_lost_answers(array(
        select r from private.turns as r where r.id = any (v_ids) and r.is_resumable));
    end if;
  end loop;
  -- One lock order everywhere: turns, then users' counters sorted, the keys' sorted, then the global ones.
  -- Turn by turn (user, global,
  -- next user) would deadlock with a finish.
  for v in
    select g.scope, array_agg(distinct s.day) as days
    from unnest(v_rows) as s
    cross join lateral (values (s.user_id::text, 1), (private.key_scope(s.api_key_id), 2), ('global', 3))
      as g (scope, place)
    where g.scope is not null
    group by g.scope, g.place order by g.place, g.scope
  loop
    perform private.lock_counters(v.scope, v.days);
    perform private.release_turns(v.scope, v_rows);
  end loop;
  return coalesce(cardinality(v_rows), 0);
end
$$;
comment on function public.sweep_turns(integer) is
  'Closes up to max_rows turns whose lease has ended as abandoned and releases their reservations. The words of a '
  'resumable turn become a partial answer. Returns the '
  'number; 0 while another sweep or a deletion runs. Warns when a counter holds less than its turns reserve. A later '
  'finish still books its usage and answer.';
revoke execute on function public.sweep_turns from public, anon, authenticated, service_role;
grant execute on function public.sweep_turns(integer) to service_role;
