-- Purpose: turns whose function died are closed: the question stays, the money goes back.
-- Affects: functions public.sweep_turns(), private.log_abandoned()
-- Access: the service only; definer because write-ahead rows, logs and counters are granted to nobody.

create function private.log_abandoned(p_rows private.turns[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  -- Sorted as the roll-up's rows are, so that two sweeps wait for each other instead of in a circle.
  insert into public.chat_logs as l
    (turn_id, request_id, user_id, conversation_id, endpoint, status, question, cost_usd, model, provider,
     model_identifier, requested_model, agent_type, metadata, created_at)
  select r.id, r.request_id, u.id, c.id, r.endpoint, 'abandoned', case when u.id is not null then r.question end,
    (select sum(s.cost_usd) from private.stale_costs as s where s.turn_id = r.id),
    r.routes #>> '{0,upstream_id}', r.routes #>> '{0,provider}', r.routes #>> '{0,identifier}', r.requested_model,
    r.agent_type, case when u.id is not null then r.metadata else '{}' end, r.started_at
  from unnest(p_rows) as r
  left join auth.users as u on u.id = r.user_id and not r.is_forgotten
  left join public.llm_conversations as c on c.id = r.conversation_id and u.id is not null
  order by r.user_id, r.day, r.id
  on conflict on constraint chat_logs_turn_id_key do update
    set status = excluded.status, question = excluded.question, cost_usd = excluded.cost_usd, created_at = excluded.created_at
$$;
comment on function private.log_abandoned(private.turns[]) is
  'One abandoned log row per turn; its cost is what dead attempts are known to have spent, null when nothing is known.';

create function public.sweep_turns(max_rows integer default 500) returns integer
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_rows private.turns[];
  v record;
begin
  -- One sweep at a time: a row that is written anew and one that is changed reach the roll-up in two passes, and two
  -- sweeps could meet there in a circle. Whoever comes second has nothing to do.
  if not pg_try_advisory_xact_lock(hashtextextended('private.sweep_turns', 0)) then
    return 0;
  end if;
  select array_agg(picked.r) into v_rows from (
    select r from private.turns as r
    where r.state = 'started' and r.lease_until < now()
    order by r.lease_until limit least(greatest(max_rows, 1), 5000) for update skip locked) as picked;
  if v_rows is null then
    return 0;
  end if;
  update private.turns as r
    set state = 'expired', finished_at = now(), reserved_usd = 0
    from unnest(v_rows) as s where r.id = s.id;
  perform private.log_abandoned(v_rows);
  perform private.forget_turns(array(
    select s.id from unnest(v_rows) as s where not exists (select 1 from auth.users as u where u.id = s.user_id)));
  -- One lock order everywhere: requests, then the persons' counters sorted, then the global ones. Walking request by
  -- request (one person, global, the next person) would deadlock with a finish.
  for v in select s.user_id::text as scope, s.day, sum(s.reserved_usd) as held from unnest(v_rows) as s
           group by s.user_id, s.day order by s.user_id::text, s.day loop
    perform private.settle_in(v.scope, v.day, v.held, 0, 0, 0, 0);
  end loop;
  for v in select s.day, sum(s.reserved_usd) as held from unnest(v_rows) as s group by s.day order by s.day loop
    perform private.settle_in('global', v.day, v.held, 0, 0, 0, 0);
  end loop;
  return cardinality(v_rows);
end
$$;
comment on function public.sweep_turns(integer) is
  'Closes up to max_rows turns whose lease has ended as abandoned and releases what they held; returns how many, 0 while another sweep works. '
  'A finish that comes later still books its usage and answer.';

revoke execute on function private.log_abandoned(private.turns[]), public.sweep_turns(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.sweep_turns(integer) to service_role;
