-- Purpose: a price or capability of the wrong shape is refused when it is written, not met in everybody's turn.
-- Affects: functions private.is_pricing(), is_capabilities(); constraints of public.llm_models
-- Access: as the table.

create function private.is_price(p_price jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$ select jsonb_typeof(p_price) = 'number' and p_price::numeric between 0 and 1000000 $$;
comment on function private.is_price(jsonb) is 'Whether this is a number of US dollars per million tokens; null for null.';

create function private.is_rate(p_rate jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select coalesce(jsonb_typeof(p_rate) = 'object' and private.is_price(p_rate -> 'input') and private.is_price(p_rate -> 'output')
    and coalesce(private.is_price(p_rate -> 'cached_input'), true), false)
$$;
comment on function private.is_rate(jsonb) is 'Whether this has a price for input and output, and for cached input if at all.';

create function private.is_pricing(p_pricing jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select private.is_rate(p_pricing) and case jsonb_typeof(coalesce(p_pricing -> 'tiers', '[]')) when 'array' then not exists (
    select 1 from jsonb_array_elements(coalesce(p_pricing -> 'tiers', '[]')) as t (tier)
    where not private.is_rate(t.tier) or coalesce(t.tier ->> 'above_input_tokens' !~ '^[0-9]{1,12}$', true)) else false end
$$;
comment on function private.is_pricing(jsonb) is 'Whether turn_cost() can compute with it.';

create function private.is_capabilities(p_capabilities jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select not exists (
    select 1 from jsonb_each(p_capabilities) as c (name, value)
    where (c.name in ('context_window', 'max_output_tokens') and c.value::text !~ '^[1-9][0-9]{0,8}$')
       or (c.name like 'supports\_%' and jsonb_typeof(c.value) <> 'boolean'))
$$;
comment on function private.is_capabilities(jsonb) is 'Whether windows are positive whole numbers and what is supported is true or false.';

revoke execute on function private.is_price(jsonb), private.is_rate(jsonb), private.is_pricing(jsonb),
  private.is_capabilities(jsonb) from public, anon, authenticated, service_role;
-- A constraint's functions run as whoever writes the row; they read nothing.
grant execute on function private.is_price(jsonb), private.is_rate(jsonb), private.is_pricing(jsonb),
  private.is_capabilities(jsonb) to authenticated, service_role;
grant usage on schema private to service_role;

alter table public.llm_models
  add constraint llm_models_pricing_shape_check check (pricing is null or private.is_pricing(pricing)),
  add constraint llm_models_capabilities_shape_check check (private.is_capabilities(capabilities));
