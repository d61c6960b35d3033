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
    and coalesce(private.is_price(p_rate -> 'cached_input'), true), false)
$$;
comment on function private.is_rate(jsonb) is
  'Whether the value has prices for input and output, and a valid price for cached input if any.';
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
  default 0) returns numeric
  language sql immutable security invoker set search_path = '' as $$
  with rate as (
    select coalesce(
      (select t.tier from jsonb_array_elements(p_pricing -> 'tiers') as t (tier)
       where (t.tier ->> 'above_input_tokens')::bigint < p_input
       order by (t.tier ->> 'above_input_tokens')::bigint desc limit 1), p_pricing) as r)
  select round((
      (p_input - p_cached) * (r ->> 'input')::numeric
      + p_cached * coalesce(r ->> 'cached_input', r ->> 'input')::numeric
      + p_output * (r ->> 'output')::numeric) / 1000000, 9)
  from rate
$$;
comment on function private.turn_cost(jsonb, bigint, bigint, bigint) is
  'Cost in USD at this pricing. Input includes cached tokens. Null when the price is unknown.';
revoke execute on function private.turn_cost from public, anon, authenticated, service_role;

create function private.estimate_tokens(p_text text) returns integer
  language sql immutable security invoker set search_path = ''
as $$ select (octet_length(p_text) + 2) / 3 + 4 $$;
comment on function private.estimate_tokens(text) is
  'A cautious estimate in tokens, by which history is cut: one for three bytes, and four for each message.';
revoke execute on function private.estimate_tokens from public, anon, authenticated, service_role;

create function private.token_upper_bound(p_text text) returns integer
  language sql immutable security invoker set search_path = ''
as $$ select octet_length(p_text) + 16 $$;
comment on function private.token_upper_bound(text) is
  'The most tokens that a message can have, for reservations: one for each byte, and sixteen for each message.';
revoke execute on function private.token_upper_bound from public, anon, authenticated, service_role;

create function private.default_context_window() returns integer
  language sql immutable security invoker set search_path = ''
as $$ select 8192 $$;
comment on function private.default_context_window() is 'Tokens assumed for a model whose context window is unknown.';
revoke execute on function private.default_context_window from public, anon, authenticated, service_role;

create function private.default_max_tokens() returns integer
  language sql immutable security invoker set search_path = ''
as $$ select 4096 $$;
comment on function private.default_max_tokens() is 'Output tokens reserved for a turn that sets no max_tokens.';
revoke execute on function private.default_max_tokens from public, anon, authenticated, service_role;

create function private.max_prompt_tokens() returns integer
  language sql immutable security invoker set search_path = ''
as $$ select 1000000 $$;
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

create function private.price_attempts(p_routes jsonb, p_attempts jsonb) returns jsonb
  language sql immutable security invoker set search_path = '' as $$
  select coalesce(jsonb_agg(
    case when u.usage is not null then (a.attempt - 'cost_usd') || jsonb_build_object('cost_usd',
      private.turn_cost(
        (select r.route -> 'pricing' from jsonb_array_elements(p_routes) as r (route)
         where r.route ->> 'identifier' = a.attempt ->> 'identifier' limit 1),
        coalesce((u.usage ->> 'input_tokens')::bigint, 0), coalesce((u.usage ->> 'output_tokens')::bigint, 0),
        coalesce((u.usage ->> 'cached_tokens')::bigint, 0)))
    else a.attempt - 'cost_usd' end order by a.place), '[]')
  from jsonb_array_elements(case jsonb_typeof(p_attempts) when 'array' then p_attempts else '[]' end)
    with ordinality as a (attempt, place)
  cross join lateral (select private.clamp_usage(a.attempt -> 'usage') as usage) as u
$$;
comment on function private.price_attempts(jsonb, jsonb) is
  'The attempts, each with its cost_usd by the pricing of its route. cost_usd is missing without usage and null '
  'without a price.';
revoke execute on function private.price_attempts from public, anon, authenticated, service_role;

create function private.is_metered(p_attempts jsonb) returns boolean
  language sql immutable security invoker set search_path = '' as $$
  select exists (select 1 from jsonb_array_elements(p_attempts) as a (attempt)
                 where jsonb_typeof(a.attempt -> 'usage') = 'object')
$$;
comment on function private.is_metered(jsonb) is
  'Whether any attempt carries its usage. If none does, the usage of the whole turn counts.';
revoke execute on function private.is_metered from public, anon, authenticated, service_role;
