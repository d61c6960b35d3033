-- Purpose: a model is reached on the MatchAI platform by its number or by its key, and by rows that refresh listed there.
-- Affects: function private.matcha_route()
-- Access: called by chat_begin only.

create or replace function private.matcha_route(p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with asked as (
    select coalesce(
      substring(p_model from '^matcha:([1-9][0-9]{0,8})$')::integer,
      (select m.matcha_llm_id from public.llm_models as m
       where p_model like 'matcha:%' and m.model_key = substr(p_model, 8) and m.node_id is null)) as number
  )
  select private.catalogue_route(m) || jsonb_build_object(
    'identifier', 'matcha:' || a.number, 'provider', 'matcha', 'upstream_id', a.number::text,
    'pricing', case when m.provider = 'matcha' then m.pricing end,
    'capabilities', m.capabilities || '{"supports_tools": false, "supports_json": false, "supports_vision": false}',
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now() and h.provider_key = 'matcha'))
  from asked as a join public.llm_models as m
    on (m.provider = 'matcha' and m.upstream_id = a.number::text) or (m.matcha_llm_id = a.number and m.node_id is null)
  where m.is_active
  order by m.provider = 'matcha' desc limit 1
$$;
comment on function private.matcha_route(text) is
  'matcha:<number> or matcha:<model_key>: the model that has this number on the MatchAI platform, served there; null when neither '
  'the platform nor the catalogue has it as active.';
