-- Purpose: an arm whose model was replaced goes on with what replaced it; one that cannot do what a turn needs comes last.
-- Affects: functions private.successor_route() (new), alias_chain() (replaced)
-- Access: called by chat_begin only.

create function private.successor_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with recursive named (model_key, replaced_by, is_active, depth) as (
    select m.model_key, m.replaced_by, m.is_active, 0 from public.llm_models as m
      where not m.is_active and (m.model_key = p_model or m.identifier = p_model)
    union all
    select m.model_key, m.replaced_by, m.is_active, n.depth + 1
      from named as n join public.llm_models as m on m.model_key = n.replaced_by
      where not n.is_active and n.depth < 5)
  select private.find_route(p_user_id, n.model_key) from named as n where n.is_active order by n.depth limit 1
$$;
comment on function private.successor_route(uuid, text) is
  'The route of the model that replaced an inactive one, over up to five replacements; aliases are not followed, for an alias asks this. Null without any.';

create or replace function private.alias_chain(p_user_id uuid, p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  -- Weighted rendezvous: each arm draws, and a heavier one draws better. A new arm takes over its share of the
  -- conversations and moves no other.
  with arms as (
    select r.fallback_order, r.weight, r.id,
      coalesce(private.find_route(p_user_id, r.model_key), private.successor_route(p_user_id, r.model_key)) as route,
      case when r.weight > 0 then -ln(private.fraction_of(p_how ->> 'seed', p_alias, r.model_key)) / r.weight::double precision end as draw
    from public.llm_routes as r where r.alias = p_alias
  ), placed as (
    select a.route, row_number() over (order by not private.is_able(a.route -> 'capabilities', p_how -> 'needs'), a.fallback_order, a.weight = 0, a.draw nulls last, a.weight desc, a.id) as place
    from arms as a where a.route is not null
  ), firsts as (
    -- Two arms may have come to the same model: it is tried once.
    select distinct on (p.route ->> 'identifier') p.route, p.place from placed as p order by p.route ->> 'identifier', p.place
  )
  select jsonb_agg(f.route || jsonb_build_object('alias', p_alias) order by f.place) from firsts as f
$$;

revoke execute on function private.successor_route(uuid, text) from public, anon, authenticated, service_role;
