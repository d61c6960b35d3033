-- Purpose: corrects the costs of finished turns by the prices of the catalogue, after a price was wrong.
-- Affects: public.reprice()
-- Access: admins and the service; definer because logs, counters and write-ahead rows are not granted.

create type private.repriced_turn as (
  turn_id uuid, user_id uuid, api_key_id uuid, conversation_id uuid, day date, model text, before private.turn_price,
  after private.turn_price, lost jsonb, conversation_usd numeric, prices jsonb
);
comment on type private.repriced_turn is
  'A turn whose cost changes: its cost before and after, the changed rows of lost_attempt_costs as an array, what the '
  'total of its conversation changes by, and the pricing used by identifier. The attempts of after are null when the '
  'log row keeps its own.';

create function private.new_price(p_identifier text, p_models text[]) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (select m.pricing from public.llm_models as m
    where m.identifier = p_identifier and (p_models is null or p_identifier = any (p_models)));
end
$$;
comment on function private.new_price(text, text[]) is
  'The pricing of a model in the catalogue; null when it is unknown, or when p_models names other models only.';
revoke execute on function private.new_price from public, anon, authenticated, service_role;

create function private.kept_parts(p_usd numeric, p_identifier text, p_usage private.token_usage) returns numeric[]
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_parts numeric[] := private.cost_parts(
    coalesce(private.new_price(p_identifier, null), '{"input": 1, "output": 1}'), p_usage);
begin
  if v_parts[1] > 0 then
    return array[p_usd, round(v_parts[2] * p_usd / v_parts[1], 9), round(v_parts[3] * p_usd / v_parts[1], 9),
      round(v_parts[4] * p_usd / v_parts[1], 9)];
  end if;
  return array[p_usd, 0, 0, 0];
end
$$;
comment on function private.kept_parts(numeric, text, private.token_usage) is
  'cost_parts() of an attempt that keeps its cost beside one that does not. Its kinds are shared out by its price in '
  'the catalogue, else by tokens, because the price at that time is unknown.';
revoke execute on function private.kept_parts from public, anon, authenticated, service_role;

create function private.reprice_attempts(p_attempts jsonb, p_models text[], p_old private.turn_price)
  returns private.turn_price
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v private.turn_price;
  v_attempt jsonb;
  v_price jsonb;
  v_parts numeric[];
  v_is_changed boolean := false;
  v_is_whole boolean := true;
begin
  v.attempts := '[]';
  for v_attempt in select a.attempt from jsonb_array_elements(p_attempts) with ordinality as a (attempt, place)
      order by a.place loop
    if jsonb_typeof(v_attempt -> 'usage') = 'object' then
      v_price := private.new_price(v_attempt ->> 'identifier', p_models);
      if v_price is null then
        v_is_whole := false;
        v_parts := private.kept_parts((v_attempt ->> 'cost_usd')::numeric, v_attempt ->> 'identifier',
          private.read_usage(v_attempt -> 'usage'));
      else
        v_parts := private.cost_parts(v_price, private.read_usage(v_attempt -> 'usage'));
        v_is_changed := v_is_changed or v_parts[1] is distinct from (v_attempt ->> 'cost_usd')::numeric;
        v_attempt := v_attempt || jsonb_build_object('cost_usd', v_parts[1]);
      end if;
      v := private.add_cost(v, v_parts);
    end if;
    v.attempts := v.attempts || jsonb_build_array(v_attempt);
  end loop;
  v.is_metered := v_is_changed or v_is_whole and v.cost_usd is not null
    and (v.cached_cost_usd, v.output_cost_usd, v.reasoning_cost_usd)
      is distinct from (p_old.cached_cost_usd, p_old.output_cost_usd, p_old.reasoning_cost_usd);
  if not v.is_metered then
    p_old.attempts := p_attempts;
    p_old.is_metered := false;
    return p_old;
  end if;
  return v;
end
$$;
comment on function private.reprice_attempts(jsonb, text[], private.turn_price) is
  'The attempts and their cost by the new prices; is_metered is whether that differs from p_old, which is returned '
  'when it does not.';
revoke execute on function private.reprice_attempts from public, anon, authenticated, service_role;

create function private.price_less(p_all private.turn_price, p_part private.turn_price) returns private.turn_price
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  p_all.cost_usd := p_all.cost_usd - coalesce(p_part.cost_usd, 0);
  p_all.cached_cost_usd := p_all.cached_cost_usd - coalesce(p_part.cached_cost_usd, 0);
  p_all.output_cost_usd := p_all.output_cost_usd - coalesce(p_part.output_cost_usd, 0);
  p_all.reasoning_cost_usd := p_all.reasoning_cost_usd - coalesce(p_part.reasoning_cost_usd, 0);
  return p_all;
end
$$;
comment on function private.price_less(private.turn_price, private.turn_price) is 'What a part leaves of a cost.';
revoke execute on function private.price_less from public, anon, authenticated, service_role;

create function private.own_attempts(p_log public.chat_logs, p_lost_input bigint, p_lost_output bigint) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_log.attempts @? '$[*] ? (@.usage.type() == "object")' then
    return p_log.attempts;
  end if;
  return jsonb_build_array(jsonb_build_object('identifier', p_log.model_identifier, 'cost_usd', p_log.cost_usd, 'usage',
    jsonb_build_object('input_tokens', greatest(p_log.input_tokens - p_lost_input, 0),
      'output_tokens', greatest(p_log.output_tokens - p_lost_output, 0), 'cached_tokens', p_log.cached_tokens,
      'reasoning_tokens', p_log.reasoning_tokens, 'cache_write_tokens', p_log.cache_write_tokens)));
end
$$;
comment on function private.own_attempts(public.chat_logs, bigint, bigint) is
  'The attempts of a log row; one with the tokens of the row, less those of lost attempts, when none carries its '
  'usage.';
revoke execute on function private.own_attempts from public, anon, authenticated, service_role;

create function private.reprice_turn(p_log public.chat_logs, p_models text[]) returns private.repriced_turn
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v private.repriced_turn;
  v_row private.turns;
  v_lost private.lost_attempt_costs;
  v_before private.turn_price;  -- of the lost attempts
  v_after private.turn_price;
  v_old private.turn_price;
  v_new private.turn_price;
  v_attempts jsonb;
  v_all jsonb := '[]';
  v_input bigint := 0;
  v_output bigint := 0;
begin
  select * into v_row from private.turns as r where r.id = p_log.turn_id;
  v.lost := '[]';
  v.conversation_usd := 0;
  for v_lost in select * from private.lost_attempt_costs as s where s.turn_id = p_log.turn_id order by s.worker_id loop
    v_old := row(null, false, v_lost.cost_usd, v_lost.cached_cost_usd, v_lost.output_cost_usd,
      v_lost.reasoning_cost_usd);
    v_new := private.reprice_attempts(v_lost.attempts, p_models, v_old);
    if v_new.is_metered then
      v.lost := v.lost || jsonb_build_array(jsonb_build_object('worker_id', v_lost.worker_id) || to_jsonb(v_new));
      if v_lost.is_finish then
        v.conversation_usd := v.conversation_usd + v_new.cost_usd - coalesce(v_lost.cost_usd, 0);
      end if;
    end if;
    v_before := private.add_cost(v_before, array[v_old.cost_usd, v_old.cached_cost_usd, v_old.output_cost_usd,
      v_old.reasoning_cost_usd]);
    v_after := private.add_cost(v_after, array[v_new.cost_usd, v_new.cached_cost_usd, v_new.output_cost_usd,
      v_new.reasoning_cost_usd]);
    v_input := v_input + v_lost.input_tokens;
    v_output := v_output + v_lost.output_tokens;
    v_all := v_all || v_lost.attempts;
  end loop;
  v.before := row(p_log.attempts, false, p_log.cost_usd, p_log.cached_cost_usd, p_log.output_cost_usd,
    p_log.reasoning_cost_usd);
  v.after := v_after;
  -- Of a turn that failed, was abandoned or runs again, the log row has only what the lost attempts cost.
  if p_log.status <> 'abandoned' and coalesce(v_row.state, 'settled') = 'settled' then
    v_old := private.price_less(v.before, v_before);
    v_attempts := private.own_attempts(p_log, v_input, v_output);
    if v_attempts <> p_log.attempts then
      v_attempts := jsonb_set(v_attempts, '{0,cost_usd}', coalesce(to_jsonb(v_old.cost_usd), 'null'));
    end if;
    v_new := private.reprice_attempts(v_attempts, p_models, v_old);
    v.after := private.add_cost(v_after, array[v_new.cost_usd, v_new.cached_cost_usd, v_new.output_cost_usd,
      v_new.reasoning_cost_usd]);
    v.after.attempts := case when v_attempts = p_log.attempts then v_new.attempts end;
    v.after.is_metered := v_new.is_metered;
    v.conversation_usd := v.conversation_usd + coalesce(v_new.cost_usd, 0) - coalesce(v_old.cost_usd, 0);
    v_all := v_all || v_attempts;
  end if;
  if v.lost = '[]' and (v.after).is_metered is not true then
    return null;
  end if;
  v.turn_id := p_log.turn_id;
  v.user_id := coalesce(v_row.user_id, p_log.user_id);
  v.api_key_id := coalesce(v_row.api_key_id, p_log.api_key_id);
  v.conversation_id := p_log.conversation_id;
  v.day := coalesce(v_row.day, (p_log.created_at at time zone 'utc')::date);
  v.model := private.anonymised_model(p_log.model_identifier, v.user_id);
  v.prices := (select jsonb_object_agg(private.anonymised_model(a.attempt ->> 'identifier', v.user_id), p.price)
    from jsonb_array_elements(v_all) as a (attempt)
    cross join lateral private.new_price(a.attempt ->> 'identifier', p_models) as p (price)
    where p.price is not null and jsonb_typeof(a.attempt -> 'usage') = 'object');
  return v;
end
$$;
comment on function private.reprice_turn(public.chat_logs, text[]) is
  'How the new prices change the cost of a turn; null when they do not. A model without a new price keeps its cost.';
revoke execute on function private.reprice_turn from public, anon, authenticated, service_role;

create function private.repriced_turns(p_turn_ids uuid[], p_models text[]) returns private.repriced_turn[]
  language sql stable security invoker set search_path = '' as $$
  select coalesce(array_agg(t order by t.turn_id), '{}')
  from (select l from public.chat_logs as l where l.turn_id = any (p_turn_ids) offset 0) as s
  cross join lateral private.reprice_turn(s.l, p_models) as t where t.turn_id is not null
$$;
comment on function private.repriced_turns(uuid[], text[]) is 'reprice_turn() of several turns that change.';
revoke execute on function private.repriced_turns from public, anon, authenticated, service_role;

create function private.lock_for_repricing(p_turns private.repriced_turn[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- The order of a finish: write-ahead rows, users, conversations, log rows.
  perform 1 from private.turns as r where r.id in (select t.turn_id from unnest(p_turns) as t)
    order by r.id for update;
  perform 1 from auth.users as u where u.id in (select t.user_id from unnest(p_turns) as t)
    order by u.id for key share;
  perform 1 from public.llm_conversations as c
    where c.id in (select t.conversation_id from unnest(p_turns) as t) order by c.id for no key update;
  perform 1 from public.chat_logs as l where l.turn_id in (select t.turn_id from unnest(p_turns) as t)
    order by l.id for update;
end
$$;
comment on function private.lock_for_repricing(private.repriced_turn[]) is
  'Locks the rows of these turns, so that a finish, a retry or a deletion comes wholly before or after.';
revoke execute on function private.lock_for_repricing from public, anon, authenticated, service_role;

create function private.correct_counters(p_turns private.repriced_turn[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v record;
begin
  for v in
    select s.scope, array_agg(distinct t.day) as days, array_agg(distinct date_trunc('month', t.day)::date) as months
    from unnest(p_turns) as t
    cross join lateral (values (t.user_id::text, 1), (private.key_scope(t.api_key_id), 2), ('global', 3))
      as s (scope, place)
    where s.scope is not null group by s.scope, s.place order by s.place, s.scope
  loop
    perform 1 from public.usage_counter_slots as c
      where c.scope = v.scope and (c.period = 'day' and c.period_start = any (v.days)
        or c.period = 'month' and c.period_start = any (v.months))
      order by c.period, c.period_start, c.slot for update;
  end loop;
  perform private.take_shares_back(d.day) from (
    select t.day from unnest(p_turns) as t group by t.day order by t.day) as d;
  -- A counter that was reset holds less than its turns cost.
  update public.usage_counter_slots as c set spent_usd = greatest(c.spent_usd + d.usd, 0)
    from (
      select s.scope, s.slot, p.period, p.start, sum((t.after).cost_usd - coalesce((t.before).cost_usd, 0)) as usd
      from unnest(p_turns) as t
      cross join lateral (values (t.user_id::text, 0), (private.key_scope(t.api_key_id), 0),
        ('global', private.global_slot(t.turn_id)::integer)) as s (scope, slot)
      cross join lateral (values ('day', t.day), ('month', date_trunc('month', t.day)::date)) as p (period, start)
      group by 1, 2, 3, 4) as d
    where c.scope = d.scope and c.slot = d.slot and c.period = d.period and c.period_start = d.start;
end
$$;
comment on function private.correct_counters(private.repriced_turn[]) is
  'Adds the corrections to the counters of users, API keys and all users, of the days and months that were charged. '
  'The slots of the global caps give their shares back, so that the next turn compares the new sum with the cap.';
revoke execute on function private.correct_counters from public, anon, authenticated, service_role;

create function private.correct_costs(p_turns private.repriced_turn[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_run uuid := gen_random_uuid();
begin
  insert into public.cost_corrections (run_id, turn_id, day, model_identifier, old_usd, new_usd, old_cached_usd,
    old_output_usd, old_reasoning_usd, prices, corrected_by)
  select v_run, t.turn_id, t.day, t.model, (t.before).cost_usd, (t.after).cost_usd, (t.before).cached_cost_usd,
    (t.before).output_cost_usd, (t.before).reasoning_cost_usd, coalesce(t.prices, '{}'),
    (select u.id from auth.users as u where u.id = (select auth.uid()))
  from unnest(p_turns) as t;
  update private.lost_attempt_costs as s
    set cost_usd = e.cost_usd, cached_cost_usd = e.cached_cost_usd, output_cost_usd = e.output_cost_usd,
        reasoning_cost_usd = e.reasoning_cost_usd, attempts = e.attempts
    from unnest(p_turns) as t
    cross join lateral jsonb_to_recordset(t.lost) as e (worker_id uuid, attempts jsonb, cost_usd numeric,
      cached_cost_usd numeric, output_cost_usd numeric, reasoning_cost_usd numeric)
    where s.turn_id = t.turn_id and s.worker_id = e.worker_id;
  update public.llm_conversations as c set total_cost = greatest(c.total_cost + d.usd, 0)
    from (select t.conversation_id, sum(t.conversation_usd) as usd from unnest(p_turns) as t group by 1) as d
    where c.id = d.conversation_id and d.usd <> 0;
  -- One statement: its trigger brings the roll-up up to date.
  update public.chat_logs as l
    set cost_usd = (t.after).cost_usd, cached_cost_usd = (t.after).cached_cost_usd,
        output_cost_usd = (t.after).output_cost_usd, reasoning_cost_usd = (t.after).reasoning_cost_usd,
        attempts = coalesce((t.after).attempts, l.attempts)
    from unnest(p_turns) as t where l.turn_id = t.turn_id;
  perform private.correct_counters(p_turns);
  update public.ai_insights as i set cost_usd = (t.after).cost_usd  -- after the counters, as in finish_insight()
    from unnest(p_turns) as t where i.turn_id = t.turn_id;
end
$$;
comment on function private.correct_costs(private.repriced_turn[]) is
  'Writes the entries and corrects log rows, the roll-up, conversations, stored answers and counters. The rows are '
  'locked.';
revoke execute on function private.correct_costs from public, anon, authenticated, service_role;

create function public.reprice("from" timestamptz, "to" timestamptz, dry_run boolean default true,
  models text[] default null)
  returns table (day date, model text, turns bigint, newly_priced bigint, old_usd numeric, new_usd numeric,
    delta_usd numeric)
  language plpgsql volatile security definer set search_path = '' set statement_timeout = '120s'
  set lock_timeout = '10s' set jit = off as $$
declare
  v_span private.report_span;
  v_ids uuid[];
  v_turns private.repriced_turn[];
begin
  if not (coalesce(auth.jwt() ->> 'role', 'service_role') = 'service_role' or private.is_admin()) then
    perform private.refuse('PT403', 'forbidden', 'This is for admins.');
  elsif "from" is null or "to" is null or "from" = "to" then
    perform private.refuse_parameter('from', 'from and to are two times.');
  elsif dry_run is null then
    perform private.refuse_parameter('dry_run', 'dry_run is true or false.');
  elsif cardinality(models) > 100 or cardinality(models) = 0 then
    perform private.refuse_parameter('models', 'models has 1 to 100 identifiers, or is null.');
  end if;
  v_span := private.checked_span("from", "to", null, 93);
  v_ids := array(
    select l.turn_id from public.chat_logs as l
    where l.created_at >= (v_span).begins and l.created_at < (v_span).ends and l.saved_usd is null
      and (models is null or l.model_identifier = any (models) or exists (
        select from jsonb_array_elements(l.attempts || coalesce((select jsonb_agg(e.attempt)
          from private.lost_attempt_costs as s cross join lateral jsonb_array_elements(s.attempts) as e (attempt)
          where s.turn_id = l.turn_id), '[]')) as a (attempt) where a.attempt ->> 'identifier' = any (models)))
    limit 50001);
  if cardinality(v_ids) > 50000 then
    perform private.refuse_parameter('from', 'This span has more than 50000 turns: ask for a shorter one.');
  end if;
  if not dry_run then
    -- One at a time, and not beside a sweep or a deletion, which change usage_hourly in two passes.
    perform pg_advisory_xact_lock(hashtextextended('private.sweep_turns', 0));
  end if;
  v_turns := private.repriced_turns(v_ids, models);
  if not dry_run and v_turns <> '{}' then
    perform private.lock_for_repricing(v_turns);
    v_turns := private.repriced_turns(array(select t.turn_id from unnest(v_turns) as t), models);
    perform private.correct_costs(v_turns);
  end if;
  return query
    select t.day, t.model, count(*), count(*) filter (where (t.before).cost_usd is null),
      coalesce(sum((t.before).cost_usd), 0), sum((t.after).cost_usd),
      sum((t.after).cost_usd) - coalesce(sum((t.before).cost_usd), 0)
    from unnest(v_turns) as t group by t.day, t.model order by t.day, t.model;
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.reprice(timestamptz, timestamptz, boolean, text[]) is
  'Corrects the costs of turns in the half-open span by the prices that the catalogue has now; by default a dry run, '
  'which changes nothing. Returns for each UTC day and model how many turns change, how many of them had no price, and '
  'US dollars before, after and between. Each change is a row of cost_corrections. Log rows, usage_hourly and all '
  'reports, conversations, and the counters of users, API keys and all users change in the same transaction; running '
  'it again changes nothing. A model without a price in the catalogue, or beside the list models, keeps its cost; so '
  'do turns that retention deleted, hits of stored answers and what these saved. A turn that still runs is charged '
  'by its price at admission: run this again after it. usage_source stays. At most 93 days and 50000 turns (422). For '
  'admins; definer, because the ledger is not granted.';
revoke execute on function public.reprice from public, anon, authenticated, service_role;
grant execute on function public.reprice(timestamptz, timestamptz, boolean, text[]) to authenticated, service_role;
