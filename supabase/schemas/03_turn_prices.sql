-- Purpose: what a turn cost, as a whole and by kind of token.
-- Affects: type private.turn_price and functions in private
-- Access: the ledger functions only.

create type private.turn_price as (
  attempts jsonb, is_metered boolean, cost_usd numeric, cached_cost_usd numeric, output_cost_usd numeric,
  reasoning_cost_usd numeric
);
comment on type private.turn_price is
  'The attempts of a turn, whether any carries its usage, and the cost in US dollars: of all, of cached input, of '
  'output without reasoning, and of reasoning. What these leave is the cost of uncached input, writing a cache '
  'included. Null without a price.';

create function private.cost_parts(p_pricing jsonb, p_usage private.token_usage) returns numeric[]
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_rate jsonb := p_pricing;
  v_input_rate numeric;
  v_output_rate numeric;
  v_cached_rate numeric;
  v_written_rate numeric;
  v_input integer := coalesce(p_usage.input_tokens, 0);
  v_cached integer := coalesce(p_usage.cached_tokens, 0);
  v_written integer := coalesce(p_usage.cache_write_tokens, 0);
  v_output integer := coalesce(p_usage.output_tokens, 0);
  v_reasoning integer := least(coalesce(p_usage.reasoning_tokens, 0), v_output);
begin
  if p_pricing ? 'tiers' then
    v_rate := private.rate_of(p_pricing, v_input);
  end if;
  v_input_rate := v_rate ->> 'input';
  v_output_rate := v_rate ->> 'output';
  v_cached_rate := coalesce((v_rate ->> 'cached_input')::numeric, v_input_rate);
  v_written_rate := coalesce((v_rate ->> 'cache_write')::numeric, v_input_rate);
  return array[  -- the first as by turn_cost()
    round(((v_input - v_cached - v_written) * v_input_rate + v_written * v_written_rate + v_cached * v_cached_rate
      + v_output * v_output_rate) / 1000000, 9),
    round(v_cached * v_cached_rate / 1000000, 9), round((v_output - v_reasoning) * v_output_rate / 1000000, 9),
    round(v_reasoning * v_output_rate / 1000000, 9)];
end
$$;
comment on function private.cost_parts(jsonb, private.token_usage) is
  'US dollars: of all tokens, of cached input, of output without reasoning, of reasoning; nulls without a price.';
revoke execute on function private.cost_parts from public, anon, authenticated, service_role;

create function private.read_usage(p_usage jsonb) returns private.token_usage
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v private.token_usage;
  v_is_odd boolean;
begin
  begin
    v := jsonb_populate_record(null::private.token_usage, p_usage);
    v_is_odd := least(v.input_tokens, v.output_tokens, v.cached_tokens, v.reasoning_tokens, v.cache_write_tokens) < 0
      or coalesce(v.cached_tokens, 0) + coalesce(v.cache_write_tokens, 0) > coalesce(v.input_tokens, 0);
  exception when numeric_value_out_of_range or invalid_text_representation then
    v_is_odd := true;
  end;
  if v_is_odd then
    v := jsonb_populate_record(null::private.token_usage, private.clamp_usage(p_usage));
  end if;
  return v;
end
$$;
comment on function private.read_usage(jsonb) is 'The usage as a record, with counts as by clamp_usage().';
revoke execute on function private.read_usage from public, anon, authenticated, service_role;

create function private.price_turn(p_routes jsonb, p_attempts jsonb, p_pricing jsonb, p_usage private.token_usage)
  returns private.turn_price
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v private.turn_price;
  v_attempt jsonb;
  v_parts numeric[];
begin
  v.attempts := '[]';
  v.is_metered := false;
  if jsonb_typeof(p_attempts) = 'array' then
    for v_place in 0 .. jsonb_array_length(p_attempts) - 1 loop
      v_attempt := (p_attempts -> v_place) - 'cost_usd';
      if jsonb_typeof(v_attempt -> 'usage') = 'object' then
        v.is_metered := true;
        v_parts := private.cost_parts(private.route_of(p_routes, v_attempt ->> 'identifier') -> 'pricing',
          private.read_usage(v_attempt -> 'usage'));
        v := private.add_cost(v, v_parts);
        v_attempt := v_attempt || jsonb_build_object('cost_usd', v_parts[1]);
      end if;
      v.attempts := v.attempts || jsonb_build_array(v_attempt);
    end loop;
  end if;
  -- If no attempt carries its usage, the usage of the whole turn counts.
  if not v.is_metered then
    v := private.add_cost(v, private.cost_parts(p_pricing, p_usage));
  end if;
  return v;
end
$$;
comment on function private.price_turn(jsonb, jsonb, jsonb, private.token_usage) is
  'The attempts, each with its cost_usd by the pricing of its route, and the cost of the turn. cost_usd of an attempt '
  'is missing without usage and null without a price.';
revoke execute on function private.price_turn from public, anon, authenticated, service_role;

create function private.priced_attempts(p_price private.turn_price, p_identifier text, p_usage private.token_usage)
  returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case when p_price.is_metered then p_price.attempts
    else jsonb_build_array(jsonb_build_object('identifier', p_identifier, 'usage', to_jsonb(p_usage),
      'cost_usd', p_price.cost_usd)) end;
end
$$;
comment on function private.priced_attempts(private.turn_price, text, private.token_usage) is
  'The attempts with their costs; one attempt with the usage of the whole turn when none carries its own.';
revoke execute on function private.priced_attempts from public, anon, authenticated, service_role;

create function private.add_cost(p_price private.turn_price, p_parts numeric[]) returns private.turn_price
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_parts[1] is not null then
    p_price.cost_usd := coalesce(p_price.cost_usd, 0) + p_parts[1];
    p_price.cached_cost_usd := coalesce(p_price.cached_cost_usd, 0) + coalesce(p_parts[2], 0);
    p_price.output_cost_usd := coalesce(p_price.output_cost_usd, 0) + coalesce(p_parts[3], 0);
    p_price.reasoning_cost_usd := coalesce(p_price.reasoning_cost_usd, 0) + coalesce(p_parts[4], 0);
  end if;
  return p_price;
end
$$;
comment on function private.add_cost(private.turn_price, numeric[]) is
  'The price with cost_parts() added; unchanged when these are null.';
revoke execute on function private.add_cost from public, anon, authenticated, service_role;
