-- Purpose: reserves the cost of a further model request of a running turn.
-- Affects: public.chat_extend()
-- Access: the service only; definer because write-ahead rows and counters are not granted.

create function public.chat_extend(extension jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s'
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_extension private.turn_extension := private.read_turn_extension(extension);
  v_row private.turns;
  v_caps public.usage_limits;
  v_global public.usage_limits;
  v_usd numeric := 0;
  v_user text;
  v_slot smallint;
  v_month date;
  v_detail text;
begin
  select * into v_row from private.turns as r where r.id = v_extension.turn_id for update;
  if not found or v_row.state <> 'started' or v_row.worker_id is distinct from v_extension.worker_id
    -- No further model request is made for a deleted user.
    or v_row.is_forgotten or not exists (select 1 from auth.users as u where u.id = v_row.user_id) then
    return jsonb_build_object('outcome', 'closed');
  end if;
  -- The next request may use any route, so the most expensive one counts, as in chat_begin.
  for v_place in 0 .. jsonb_array_length(v_row.routes) - 1 loop
    v_usd := greatest(v_usd, private.highest_cost(v_row.routes -> v_place -> 'pricing', v_extension.input_tokens,
      (v_row.routes -> v_place ->> 'max_output_tokens')::bigint));
  end loop;
  v_user := v_row.user_id::text;
  v_slot := private.global_slot(v_row.id);
  v_month := date_trunc('month', v_row.day)::date;
  v_caps := private.user_caps(v_row.user_id,
    coalesce((select u.is_anonymous from auth.users as u where u.id = v_row.user_id), false));
  select * into v_global from public.usage_limits where scope = 'global';
  begin
    perform private.reserve_in_scope(v_user, 0::smallint, 'day', v_row.day, 0, v_usd, null, v_caps.daily_cost_usd);
    perform private.reserve_in_scope(v_user, 0::smallint, 'month', v_month, 0, v_usd, null, v_caps.monthly_cost_usd);
    if v_row.api_key_id is not null then
      perform private.reserve_for_key(v_row.api_key_id, v_row.day, 0, v_usd);
    end if;
    perform private.reserve_in_scope('global', v_slot, 'day', v_row.day, 0, v_usd, v_global.daily_requests,
      v_global.daily_cost_usd);
    perform private.reserve_in_scope('global', v_slot, 'month', v_month, 0, v_usd, null, v_global.monthly_cost_usd);
  exception when sqlstate 'PT402' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return jsonb_build_object('outcome', 'refused') || v_detail::jsonb;
  end;
  update private.turns as r
    set reserved_usd = r.reserved_usd + v_usd,
        lease_until = greatest(r.lease_until, now() + make_interval(secs => v_extension.lease_seconds))
    where r.id = v_row.id;
  return jsonb_build_object('outcome', 'extended', 'reserved_usd', v_row.reserved_usd + v_usd);
end
$$;
comment on function public.chat_extend(jsonb) is
  'Reserves the cost of a further model request of a running turn. extension: turn_id, worker_id, input_tokens '
  '(upper bound), lease_seconds?. Returns outcome: extended; refused (with code and metadata; nothing more is '
  'reserved); closed (the turn has ended or another worker holds it).';
revoke execute on function public.chat_extend from public, anon, authenticated, service_role;
grant execute on function public.chat_extend(jsonb) to service_role;
