-- Purpose: a turn that names no model is answered by a model whose provider has a key here, the next provider behind it.
-- Affects: functions of routing in private (replaced, with the deployment in p_how), public.model_menu(); rows of llm_models
-- Access: routing is called by chat_begin and model_menu only; model_menu is for everyone signed in, and the service.

-- What their own providers no longer list, the MatchAI platform may serve all the same.
update public.llm_models as m set missing_since = m.created_at
  where m.source = 'seed' and not m.is_active and m.missing_since is null
    and m.model_key in ('claude-3-7-sonnet', 'claude-3-5-sonnet', 'claude-3-opus-4-1');
comment on column public.llm_models.matcha_llm_id is
  'The MatchAI platform''s number for it. A deployment with MatchAI''s key serves the model there where its own provider '
  'cannot be called; null when the platform has none.';

create or replace function private.how_of(p_turn jsonb, p_conversation_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'seed', coalesce(p_conversation_id::text, p_turn ->> 'turn_id'),
    'needs', case jsonb_typeof(p_turn -> 'needs') when 'array' then p_turn -> 'needs' else '[]' end,
    'providers', case jsonb_typeof(p_turn -> 'providers') when 'array' then p_turn -> 'providers' end,
    'defaults', case jsonb_typeof(p_turn -> 'defaults') when 'array' then p_turn -> 'defaults' else '[]' end,
    'is_strict', coalesce((p_turn ->> 'strict_model')::boolean, false),
    -- What is asked, the prompt around it, and room to answer.
    'context', private.estimate_tokens(p_turn ->> 'message') + 1024
      + least(greatest(coalesce((p_turn ->> 'prompt_tokens')::integer, 0), 0), 1000000) / 3)
$$;
comment on function private.how_of(jsonb, uuid) is
  '{seed: what an arm sticks to, needs: abilities such as supports_vision, providers: those with a key in this deployment or '
  'null for all, defaults: [{provider, model, is_chosen}] in the deployment''s order, is_strict, context: tokens}.';

create function private.is_callable(p_provider text, p_how jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select jsonb_typeof(p_how -> 'providers') is distinct from 'array' or p_how -> 'providers' ? p_provider
$$;
comment on function private.is_callable(text, jsonb) is 'Whether this deployment has a key for the provider; true when it does not say.';

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
    'open_until', private.circuit_until('matcha', 'matcha:' || a.number))
  from asked as a join public.llm_models as m
    on (m.provider = 'matcha' and m.upstream_id = a.number::text) or (m.matcha_llm_id = a.number and m.node_id is null)
  -- Once the platform was asked what it serves, its own rows decide. Before that a model counts unless a person switched it off.
  where case when m.provider = 'matcha' then m.is_active
    else (m.is_active or m.missing_since is not null)
      and not exists (select from public.llm_models as o where o.provider = 'matcha') end
  order by m.provider = 'matcha' desc limit 1
$$;
comment on function private.matcha_route(text) is
  'The route of matcha:<number> or matcha:<model_key>: the model that has this number on the MatchAI platform, served there. '
  'Null when the platform''s list lacks it, or no list is known and the catalogue has no such model.';

create function private.model_route(p_model public.llm_models, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select case
    when p_model.is_active and private.is_callable(p_model.provider, p_how) then private.catalogue_route(p_model)
    when p_model.provider <> 'matcha' and p_model.matcha_llm_id is not null and p_how -> 'providers' ? 'matcha'
      then private.matcha_route('matcha:' || p_model.matcha_llm_id) end
$$;
comment on function private.model_route(public.llm_models, jsonb) is
  'How this deployment reaches a model of the catalogue: at its own provider, else at MatchAI by its number; null when it cannot.';

drop function private.find_route(uuid, text);
create function private.find_route(p_user_id uuid, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select f.route from (
       select private.model_route(m, p_how) as route, 1 as place from public.llm_models as m where m.model_key = p_model
       union all
       -- Whoever names the provider means it.
       select private.catalogue_route(m), 2 from public.llm_models as m
         where m.identifier = p_model and m.is_active and private.is_callable(m.provider, p_how)) as f
     where f.route is not null order by f.place limit 1),
    private.node_route(p_user_id, p_model),
    case when private.is_callable('matcha', p_how) then private.matcha_route(p_model) end)
$$;
comment on function private.find_route(uuid, text, jsonb) is
  'The route of a model by its key, its identifier, a client node''s name for it or MatchAI''s; null when none can be called here.';

drop function private.successor_route(uuid, text);
create function private.successor_route(p_user_id uuid, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with recursive named (model_key, replaced_by, is_active, depth) as (
    select m.model_key, m.replaced_by, m.is_active, 0 from public.llm_models as m
      where not m.is_active and (m.model_key = p_model or m.identifier = p_model)
    union all
    select m.model_key, m.replaced_by, m.is_active, n.depth + 1
      from named as n join public.llm_models as m on m.model_key = n.replaced_by
      where not n.is_active and n.depth < 5)
  select private.find_route(p_user_id, n.model_key, p_how) from named as n where n.is_active order by n.depth limit 1
$$;
comment on function private.successor_route(uuid, text, jsonb) is
  'The route of the model that replaced an inactive one, over up to five replacements; aliases are not followed, because an '
  'alias asks this. Null without any that can be called.';

create or replace function private.alias_chain(p_user_id uuid, p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  -- Weighted rendezvous: each arm draws, and a heavier one draws better. A new arm takes over its share of the
  -- conversations and moves no other.
  with arms as (
    select r.fallback_order, r.weight, r.id,
      coalesce(private.find_route(p_user_id, r.model_key, p_how), private.successor_route(p_user_id, r.model_key, p_how)) as route,
      case when r.weight > 0 then -ln(private.fraction_of(p_how ->> 'seed', p_alias, r.model_key)) / r.weight::double precision end as draw
    from public.llm_routes as r where r.alias = p_alias
  ), placed as (
    select a.route, row_number() over (order by not private.is_able(a.route -> 'capabilities', p_how -> 'needs'),
      a.fallback_order, a.weight = 0, a.draw nulls last, a.weight desc, a.id) as place
    from arms as a where a.route is not null
  ), firsts as (
    -- Two arms may have come to the same model: it is tried once.
    select distinct on (p.route ->> 'identifier') p.route, p.place from placed as p order by p.route ->> 'identifier', p.place
  )
  select jsonb_agg(f.route || jsonb_build_object('alias', p_alias) order by f.place) from firsts as f
$$;

create or replace function private.find_chain(p_user_id uuid, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    private.alias_chain(p_user_id, p_model, p_how),
    case when p_model in ('auto', 'cheap', 'fast', 'best') then private.policy_chain(p_model, p_how) end,
    (select jsonb_build_array(f.route) from (select private.find_route(p_user_id, p_model, p_how) as route) as f
     where f.route is not null))
$$;
drop function private.find_chain(uuid, text);

drop function private.find_successor(uuid, text);
create function private.find_successor(p_user_id uuid, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with recursive named (model_key, replaced_by, is_active, depth) as (
    select m.model_key, m.replaced_by, m.is_active, 0 from public.llm_models as m
      where not m.is_active and (m.model_key = p_model or m.identifier = p_model)
    union all
    select m.model_key, m.replaced_by, m.is_active, n.depth + 1
      from named as n join public.llm_models as m on m.model_key = n.replaced_by
      where not n.is_active and n.depth < 5)
  select coalesce(
    (select private.find_chain(p_user_id, n.model_key, p_how) from named as n where n.is_active order by n.depth limit 1),
    (select private.find_chain(p_user_id, n.replaced_by, p_how) from named as n
     where exists (select 1 from public.llm_routes as r where r.alias = n.replaced_by) order by n.depth limit 1))
$$;
comment on function private.find_successor(uuid, text, jsonb) is
  'The chain of what replaced an inactive model, a model or an alias, over up to five replacements; null when nothing that '
  'can be called did.';

create function private.provider_route(p_user_id uuid, p_provider text, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select private.model_route(m, p_how) from public.llm_models as m
     where m.provider = p_provider and m.node_id is null and m.is_active and p_model in (m.upstream_id, m.model_key)
     order by m.upstream_id = p_model desc limit 1),
    case when p_provider = 'matcha' then private.matcha_route('matcha:' || p_model) end,
    (select s.route from (select private.successor_route(p_user_id, p_provider || ':' || p_model, p_how) as route) as s
     where s.route ->> 'provider' = p_provider),
    (select private.model_route(m, p_how) from public.llm_models as m
     where m.provider = p_provider and m.node_id is null and m.is_active
     order by m.missing_since is not null, m.display_order, m.id limit 1))
$$;
comment on function private.provider_route(uuid, text, text, jsonb) is
  'A provider''s default: the model its variable names, else that one''s successor, else its first active model; null without any.';

drop function private.find_default(uuid);
create function private.find_default(p_user_id uuid, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with wished (route, rank, place) as (
    select private.model_route(m, p_how), case when m.default_by = 'person' then 0 else 2 end, 0
      from public.llm_models as m
      -- By way of MatchAI only where a person wants this very model: the platform has a default of its own.
      where m.is_default and (m.default_by = 'person' or private.is_callable(m.provider, p_how))
    union all
    select private.provider_route(p_user_id, d.entry ->> 'provider', d.entry ->> 'model', p_how),
        case when (d.entry ->> 'is_chosen')::boolean then 1 else 4 end, d.place
      from jsonb_array_elements(coalesce(p_how -> 'defaults', '[]')) with ordinality as d (entry, place)
      where d.place <= 10 and private.is_callable(d.entry ->> 'provider', p_how)
    union all
    select a.route, 3, a.place
      from jsonb_array_elements(coalesce(private.alias_chain(p_user_id, 'default', p_how), '[]')) with ordinality as a (route, place)
    union all
    -- The project's own model servers, when there is nothing else.
    (select private.catalogue_route(m), 5, 0
      from public.llm_models as m join public.client_nodes as n on n.id = m.node_id
      where m.is_active and n.is_active order by m.display_order, m.id limit 1)
  ), first as (
    select w.route, w.rank from wished as w where w.route is not null order by w.rank, w.place limit 1
  ), others as (
    select w.route, w.rank, w.place from wished as w, first
    where w.route is not null and w.route ->> 'identifier' <> first.route ->> 'identifier'
  ), behind as (
    select o.route, o.place from others as o where o.rank = 3
    union all
    -- Without arms of the alias: the next provider, so that one that is down stops nobody. Words that were meant for
    -- somebody's own server go nowhere else.
    (select o.route, o.place from others as o, first
     where o.rank in (1, 2, 4) and not coalesce((p_how ->> 'is_strict')::boolean, false)
       and not exists (select from wished as a where a.rank = 3 and a.route is not null)
       and first.route ->> 'provider' <> 'client' and o.route ->> 'provider' not in ('client', first.route ->> 'provider')
     order by not private.is_able(o.route -> 'capabilities', p_how -> 'needs'),
       o.route -> 'open_until' <> 'null', o.rank, o.place limit 1)
  )
  select jsonb_agg(c.route order by c.place)
  from (select first.route, -1 as place from first union all select b.route, b.place from behind as b) as c
$$;
comment on function private.find_default(uuid, jsonb) is
  'The chain of a turn that names no model. First what an admin made the default, else what LLM_PROVIDER asks for, else the '
  'catalogue''s default, the alias "default", the first provider with a key, a model server of the project. Behind it the '
  'alias''s arms; without arms the default of the next provider with a key. Null when nothing can be called.';

drop function private.with_default(uuid, jsonb);
create function private.with_default(p_user_id uuid, p_chain jsonb, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select p_chain || coalesce((
    select jsonb_agg(d.route order by d.place)
    from jsonb_array_elements(private.find_default(p_user_id, p_how)) with ordinality as d (route, place)
    where not exists (select 1 from jsonb_array_elements(p_chain) as c (route)
                      where c.route ->> 'identifier' = d.route ->> 'identifier')), '[]')
$$;
comment on function private.with_default(uuid, jsonb, jsonb) is 'The chain with the default and what stands behind it as its last fallbacks.';

create or replace function private.resolve_routes(
  p_user_id uuid, p_requested text, p_conversation_default text, p_preferred text, p_agent_models jsonb, p_is_strict boolean,
  p_how jsonb)
  returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_is_missed boolean := false;
  v_chain jsonb;
  v record;
begin
  for v in
    -- Whoever asks for a model, or for the default by name, has chosen: no other wish counts.
    select w.kind, w.model from (
      select 0 as place, 'requested' as kind, p_requested as model
      union all select 1, 'conversation_default', p_conversation_default where p_requested is null
      union all select 2, 'profile', p_preferred where p_requested is null
      union all select 2 + a.place, 'agent', left(a.model, 300)
        from jsonb_array_elements_text(case jsonb_typeof(p_agent_models) when 'array' then p_agent_models else '[]' end)
          with ordinality as a (model, place)
        where p_requested is null and a.place <= 10) as w
    where w.model is not null order by w.place
  loop
    exit when v.model = 'default';
    v_chain := private.find_chain(p_user_id, v.model, p_how);
    if v_chain is not null then
      return jsonb_build_object('reason', v.kind,
        -- An agent's wish is not an order: the default stands in where its provider is not there.
        'routes', case v.kind when 'agent' then private.with_default(p_user_id, v_chain, p_how) else v_chain end);
    end if;
    if p_is_strict and v.kind = 'requested' and v.model in ('auto', 'cheap', 'fast', 'best') then
      perform private.refuse('PT422', 'validation_failed', 'No active model can do what this turn asks for.');
    end if;
    if p_is_strict and v.kind = 'requested' and exists (
        select from public.llm_models as m where m.is_active and v.model in (m.model_key, m.identifier)) then
      perform private.refuse('PT404', 'model_not_found',
        format('The model "%s" cannot be called here: its provider has no key in this deployment.', left(v.model, 100)));
    end if;
    if p_is_strict and v.kind = 'requested' then
      perform private.refuse('PT404', 'model_not_found', format('There is no active model "%s".', left(v.model, 100)));
    end if;
    v_chain := private.find_successor(p_user_id, v.model, p_how);
    if v_chain is not null then
      -- What an agent would like no person asked for.
      return jsonb_build_object('routes', v_chain, 'reason', case v.kind when 'agent' then 'agent' else 'model_replaced' end);
    end if;
    v_is_missed := v_is_missed or v.kind <> 'agent';
  end loop;
  v_chain := private.find_default(p_user_id, p_how);
  if v_chain is null then
    perform private.refuse('PT503', 'no_default_model', 'No model is available: no provider with a key has one in the catalogue.');
  end if;
  return jsonb_build_object('routes', v_chain, 'reason', case when v_is_missed then 'model_not_found' else 'default' end);
end
$$;

drop function public.model_menu();
create function public.model_menu(deployment jsonb default '{}') returns jsonb
  language plpgsql stable security definer set search_path = ''
as $$
declare
  v_how jsonb := jsonb_build_object('seed', '', 'needs', '[]'::jsonb, 'defaults',
    case jsonb_typeof(deployment -> 'defaults') when 'array' then deployment -> 'defaults' else '[]' end,
    'providers', case jsonb_typeof(deployment -> 'providers') when 'array' then deployment -> 'providers' end);
  v_default text;
  v_menu jsonb;
begin
  v_default := private.find_default(null, v_how) #>> '{0,identifier}';
  select jsonb_agg(jsonb_build_object('id', m.id, 'matcha_llm_id', m.matcha_llm_id, 'model_name', m.model_name,
      'model_key', m.model_key, 'provider', m.provider, 'capabilities', coalesce(o.route -> 'capabilities', m.capabilities),
      'pricing', case when o.route is null then m.pricing else o.route -> 'pricing' end,
      'identifier', coalesce(o.route ->> 'identifier', m.identifier), 'is_active', true,
      'is_default', coalesce(o.route ->> 'identifier', m.identifier) = v_default, 'display_order', m.display_order,
      'created_at', m.created_at, 'last_synced_at', m.last_synced_at) order by m.display_order, m.id)
    into v_menu
  from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id
  cross join lateral (select m.is_active and (m.node_id is null or n.is_active) and private.is_callable(m.provider, v_how) as is_own) as s
  cross join lateral (select case when not s.is_own and m.matcha_llm_id is not null then private.model_route(m, v_how) end as route) as o
  where (s.is_own or o.route is not null)
    -- A model that MatchAI serves under the catalogue's own name is listed by that name only.
    and not (m.provider = 'matcha' and v_how -> 'providers' ? 'matcha' and exists (
      select from public.llm_models as t where t.matcha_llm_id::text = m.upstream_id and t.provider <> 'matcha'
        and not (t.is_active and private.is_callable(t.provider, v_how))));
  if v_menu is null and v_how -> 'providers' <> 'null' then
    return public.model_menu();  -- a deployment of llms alone may have no keys
  end if;
  return coalesce(v_menu, '[]');
end
$$;
comment on function public.model_menu(jsonb) is
  'All models that a deployment serves, for everyone signed in, by display_order and in one value, because the data API cuts '
  'rows at a thousand. deployment: '
  'providers? (those with a key; none means all), defaults? ([{provider, model, is_chosen}] in its order). is_default marks '
  'what a turn without a model gets; identifier says where it is served.';

revoke execute on function private.is_callable(text, jsonb), private.model_route(public.llm_models, jsonb),
  private.find_route(uuid, text, jsonb), private.successor_route(uuid, text, jsonb), private.find_successor(uuid, text, jsonb),
  private.provider_route(uuid, text, text, jsonb), private.find_default(uuid, jsonb), private.with_default(uuid, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke execute on function public.model_menu(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.model_menu(jsonb) to authenticated, service_role;
