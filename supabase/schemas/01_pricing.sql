-- Purpose: the shape of prices and capabilities, what a turn costs, and how many tokens a text may be.
-- Affects: functions in private
-- Access: the ledger only; check constraints of llm_models call the is_… functions with the role of the writer.

create function private.is_price(p_price jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$ select jsonb_typeof(p_price) = 'number' and p_price::numeric between 0 and 1000000 $$;
comment on function private.is_price(jsonb) is
  'Whether the value is a price in US dollars per million tokens; null for null.';
revoke execute on function private.is_price from public, anon, authenticated, service_role;
grant execute on function private.is_price(jsonb) to authenticated, service_role;

create function private.is_rate(p_rate jsonb) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select coalesce(jsonb_typeof(p_rate) = 'object' and private.is_price(p_rate -> 'input')
    and private.is_price(p_rate -> 'output')
    and coalesce(private.is_price(p_rate -> 'cached_input'), true)
    and coalesce(private.is_price(p_rate -> 'cache_write'), true), false)
$$;
comment on function private.is_rate(jsonb) is
  'Whether the value has prices for input and output, and valid prices for cached input and for writing a cache, if '
  'any.';
revoke execute on function private.is_rate from public, anon, authenticated, service_role;
grant execute on function private.is_rate(jsonb) to authenticated, service_role;

create function private.is_pricing(p_pricing jsonb) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select private.is_rate(p_pricing) and case jsonb_typeof(coalesce(p_pricing -> 'tiers', '[]')) when 'array'
    then not exists (
    select 1 from jsonb_array_elements(coalesce(p_pricing -> 'tiers', '[]')) as t (tier)
    where not private.is_rate(t.tier) or coalesce(t.tier ->> 'above_input_tokens' !~ '^[0-9]{1,12}$', true))
      else false end
$$;
comment on function private.is_pricing(jsonb) is 'Whether turn_cost() can use the value as pricing.';
revoke execute on function private.is_pricing from public, anon, authenticated, service_role;
grant execute on function private.is_pricing(jsonb) to authenticated, service_role;

create function private.is_capabilities(p_capabilities jsonb) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select not exists (
    select 1 from jsonb_each(p_capabilities) as c (name, value)
    where (c.name in ('context_window', 'max_output_tokens') and c.value::text !~ '^[1-9][0-9]{0,8}$')
       or (c.name like 'supports\_%' and jsonb_typeof(c.value) <> 'boolean'))
$$;
comment on function private.is_capabilities(jsonb) is
  'Whether token counts are positive whole numbers and supports_… values are booleans.';
revoke execute on function private.is_capabilities from public, anon, authenticated, service_role;
grant execute on function private.is_capabilities(jsonb) to authenticated, service_role;

create function private.turn_cost(p_pricing jsonb, p_input bigint, p_output bigint, p_cached bigint
  default 0, p_written bigint default 0) returns numeric
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_rate jsonb := p_pricing;
begin
  if p_pricing ? 'tiers' then
    v_rate := coalesce(
      (select t.tier from jsonb_array_elements(p_pricing -> 'tiers') as t (tier)
       where (t.tier ->> 'above_input_tokens')::bigint < p_input
       order by (t.tier ->> 'above_input_tokens')::bigint desc limit 1), p_pricing);
  end if;
  return round((
      (p_input - p_cached - p_written) * (v_rate ->> 'input')::numeric
      + p_written * coalesce(v_rate ->> 'cache_write', v_rate ->> 'input')::numeric
      + p_cached * coalesce(v_rate ->> 'cached_input', v_rate ->> 'input')::numeric
      + p_output * (v_rate ->> 'output')::numeric) / 1000000, 9);
end
$$;
comment on function private.turn_cost(jsonb, bigint, bigint, bigint, bigint) is
  'Cost in USD at this pricing. Input includes the tokens that were read from a cache and written to one. Null when '
  'the price is unknown.';
revoke execute on function private.turn_cost from public, anon, authenticated, service_role;

create function private.highest_cost(p_pricing jsonb, p_input bigint, p_output bigint) returns numeric
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return greatest(private.turn_cost(p_pricing, p_input, p_output),
    private.turn_cost(p_pricing, p_input, p_output, 0, p_input));
end
$$;
comment on function private.highest_cost(jsonb, bigint, bigint) is
  'The most that a request can cost in USD, which is more when the provider writes the prompt to its cache. Null when '
  'the price is unknown.';
revoke execute on function private.highest_cost from public, anon, authenticated, service_role;

create function private.estimate_tokens(p_text text) returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return (octet_length(p_text) + 2) / 3 + 4;
end
$$;
comment on function private.estimate_tokens(text) is
  'A cautious estimate in tokens, by which history is cut: one for three bytes, and four for each message.';
revoke execute on function private.estimate_tokens from public, anon, authenticated, service_role;

create function private.token_upper_bound(p_text text) returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return octet_length(p_text) + 16;
end
$$;
comment on function private.token_upper_bound(text) is
  'The most tokens that a message can have, for reservations: one for each byte, and sixteen for each message.';
revoke execute on function private.token_upper_bound from public, anon, authenticated, service_role;

create function private.default_context_window() returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return 8192;
end
$$;
comment on function private.default_context_window() is 'Tokens assumed for a model whose context window is unknown.';
revoke execute on function private.default_context_window from public, anon, authenticated, service_role;

create function private.default_max_tokens() returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return 4096;
end
$$;
comment on function private.default_max_tokens() is 'Output tokens reserved for a turn that sets no max_tokens.';
revoke execute on function private.default_max_tokens from public, anon, authenticated, service_role;

create function private.max_prompt_tokens() returns integer
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return 1000000;
end
$$;
comment on function private.max_prompt_tokens() is
  'The most tokens of a system prompt, and of tools, that a reservation covers; a larger number is cut to this one.';
revoke execute on function private.max_prompt_tokens from public, anon, authenticated, service_role;

create function private.price_text(p_pricing jsonb) returns text
  language sql immutable security invoker set search_path = '' as $$
  select case when p_pricing is null then 'unknown'
    else format('%s/%s USD', p_pricing ->> 'input', p_pricing ->> 'output') end
$$;
comment on function private.price_text(jsonb) is
  'Price of input and output per million tokens, as text for change lists.';
revoke execute on function private.price_text from public, anon, authenticated, service_role;

create function private.max_output(p_capabilities jsonb, p_max_tokens bigint) returns bigint
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return greatest(1, least(coalesce(p_max_tokens, private.default_max_tokens()),
    (p_capabilities ->> 'max_output_tokens')::bigint, (p_capabilities ->> 'context_window')::bigint / 2));
end
$$;
comment on function private.max_output(jsonb, bigint) is
  'Most output tokens of a model for a turn that asks for p_max_tokens: at most half of its context window.';
revoke execute on function private.max_output from public, anon, authenticated, service_role;

create function private.route_of(p_routes jsonb, p_identifier text) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  for v_place in 0 .. jsonb_array_length(p_routes) - 1 loop
    if p_routes -> v_place ->> 'identifier' = p_identifier then
      return p_routes -> v_place;
    end if;
  end loop;
  return null;
end
$$;
comment on function private.route_of(jsonb, text) is 'The first route with this identifier; null when there is none.';
revoke execute on function private.route_of from public, anon, authenticated, service_role;

create function private.price_attempts(p_routes jsonb, p_attempts jsonb) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_attempt jsonb;
  v_usage jsonb;
  v_priced jsonb := '[]';
begin
  if jsonb_typeof(p_attempts) is distinct from 'array' then
    return v_priced;
  end if;
  for v_place in 0 .. jsonb_array_length(p_attempts) - 1 loop
    v_attempt := (p_attempts -> v_place) - 'cost_usd';
    v_usage := private.clamp_usage(v_attempt -> 'usage');
    if v_usage is not null then
      v_attempt := v_attempt || jsonb_build_object('cost_usd', private.turn_cost(
        private.route_of(p_routes, v_attempt ->> 'identifier') -> 'pricing',
        coalesce((v_usage ->> 'input_tokens')::bigint, 0), coalesce((v_usage ->> 'output_tokens')::bigint, 0),
        coalesce((v_usage ->> 'cached_tokens')::bigint, 0),
        coalesce((v_usage ->> 'cache_write_tokens')::bigint, 0)));
    end if;
    v_priced := v_priced || jsonb_build_array(v_attempt);
  end loop;
  return v_priced;
end
$$;
comment on function private.price_attempts(jsonb, jsonb) is
  'The attempts, each with its cost_usd by the pricing of its route. cost_usd is missing without usage and null '
  'without a price.';
revoke execute on function private.price_attempts from public, anon, authenticated, service_role;

create function private.attempts_cost(p_attempts jsonb) returns numeric
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_cost numeric;
begin
  for v_place in 0 .. jsonb_array_length(p_attempts) - 1 loop
    v_cost := coalesce(v_cost + (p_attempts -> v_place ->> 'cost_usd')::numeric, v_cost,
      (p_attempts -> v_place ->> 'cost_usd')::numeric);
  end loop;
  return v_cost;
end
$$;
comment on function private.attempts_cost(jsonb) is
  'Sum of the attempts'' cost_usd in US dollars; null when none is known.';
revoke execute on function private.attempts_cost from public, anon, authenticated, service_role;

create function private.is_metered(p_attempts jsonb) returns boolean
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return jsonb_path_exists(p_attempts, '$[*].usage ? (@.type() == "object")');
end
$$;
comment on function private.is_metered(jsonb) is
  'Whether any attempt carries its usage. If none does, the usage of the whole turn counts.';
revoke execute on function private.is_metered from public, anon, authenticated, service_role;
