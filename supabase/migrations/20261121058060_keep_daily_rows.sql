-- Purpose: a row of the roll-up goes only when it counts nothing at all.
-- Affects: function private.add_to_daily()
-- Access: called by the logs' triggers only.

create or replace function private.add_to_daily(p_changes public.usage_daily[]) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v public.usage_daily;
  v_row public.usage_daily;
begin
  -- One pass in the order of the key, so that two who change several rows wait for each other and never in a circle.
  -- Whoever is gone has no rows here: the foreign keys make theirs anonymous, in whichever order they come.
  for v in
    select 0, c.day, u.id, c.provider, c.model_identifier, c.agent_type, c.endpoint, sum(c.requests),
      sum(c.input_tokens), sum(c.output_tokens), sum(c.cached_tokens), sum(c.reasoning_tokens), sum(c.cost_usd),
      sum(c.unpriced_requests), sum(c.duration_ms_sum), sum(c.ttft_ms_sum), sum(c.ttft_count), sum(c.errors)
    from unnest(p_changes) as c left join auth.users as u on u.id = c.user_id
    group by u.id, c.day, c.provider, c.model_identifier, c.agent_type, c.endpoint
    having (sum(c.requests), sum(c.input_tokens), sum(c.output_tokens), sum(c.cached_tokens), sum(c.reasoning_tokens),
      sum(c.cost_usd), sum(c.unpriced_requests), sum(c.duration_ms_sum), sum(c.ttft_ms_sum), sum(c.ttft_count),
      sum(c.errors)) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    order by u.id, c.day, c.provider, c.model_identifier, c.agent_type, c.endpoint
  loop
    -- Nulls never conflict, so what is anonymous is looked for first.
    v.id := case when v.user_id is null then (
      select d.id from public.usage_daily as d
      where d.user_id is null and d.day = v.day and d.provider = v.provider and d.model_identifier = v.model_identifier
        and d.agent_type = v.agent_type and d.endpoint = v.endpoint
      order by d.id limit 1 for update) end;
    if v.id is not null then
      update public.usage_daily as d
        set requests = d.requests + v.requests, input_tokens = d.input_tokens + v.input_tokens,
            output_tokens = d.output_tokens + v.output_tokens, cached_tokens = d.cached_tokens + v.cached_tokens,
            reasoning_tokens = d.reasoning_tokens + v.reasoning_tokens, cost_usd = d.cost_usd + v.cost_usd,
            unpriced_requests = d.unpriced_requests + v.unpriced_requests,
            duration_ms_sum = d.duration_ms_sum + v.duration_ms_sum, ttft_ms_sum = d.ttft_ms_sum + v.ttft_ms_sum,
            ttft_count = d.ttft_count + v.ttft_count, errors = d.errors + v.errors
        where d.id = v.id returning d.* into v_row;
    else
      insert into public.usage_daily as d
        (day, user_id, provider, model_identifier, agent_type, endpoint, requests, input_tokens, output_tokens,
         cached_tokens, reasoning_tokens, cost_usd, unpriced_requests, duration_ms_sum, ttft_ms_sum, ttft_count, errors)
      values
        (v.day, v.user_id, v.provider, v.model_identifier, v.agent_type, v.endpoint, v.requests, v.input_tokens,
         v.output_tokens, v.cached_tokens, v.reasoning_tokens, v.cost_usd, v.unpriced_requests, v.duration_ms_sum,
         v.ttft_ms_sum, v.ttft_count, v.errors)
      on conflict on constraint usage_daily_dimensions_key do update
        set requests = d.requests + excluded.requests, input_tokens = d.input_tokens + excluded.input_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            cached_tokens = d.cached_tokens + excluded.cached_tokens,
            reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd = d.cost_usd + excluded.cost_usd,
            unpriced_requests = d.unpriced_requests + excluded.unpriced_requests,
            duration_ms_sum = d.duration_ms_sum + excluded.duration_ms_sum,
            ttft_ms_sum = d.ttft_ms_sum + excluded.ttft_ms_sum, ttft_count = d.ttft_count + excluded.ttft_count,
            errors = d.errors + excluded.errors
      returning d.* into v_row;
    end if;
    if (v_row.requests, v_row.input_tokens, v_row.output_tokens, v_row.cached_tokens, v_row.reasoning_tokens, v_row.cost_usd,
        v_row.unpriced_requests, v_row.duration_ms_sum, v_row.ttft_ms_sum, v_row.ttft_count, v_row.errors)
      = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) then
      delete from public.usage_daily as d where d.id = v_row.id;
    end if;
  end loop;
end
$$;
