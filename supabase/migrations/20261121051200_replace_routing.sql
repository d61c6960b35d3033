-- Purpose: routes carry what a node allows; strict means strict; successors of successors; fallbacks of the default.
-- Affects: functions private.catalogue_route(), node_route(), find_route(), resolve_routes(), plan_turn(); new: node_capabilities(), matcha_route(), find_successor(), find_default()
-- Access: called by chat_begin only.

create function private.node_capabilities(p_capabilities jsonb, p_may_use_tools boolean) returns jsonb
  language sql immutable security invoker set search_path = ''
as $$
  select coalesce(p_capabilities, '{}') || jsonb_build_object('supports_tools',
    p_may_use_tools and coalesce((p_capabilities ->> 'supports_tools')::boolean, true))
$$;
comment on function private.node_capabilities(jsonb, boolean) is
  'What a node''s model may do: tools only when its owner opted in, for its answers are a stranger''s text.';

create or replace function private.catalogue_route(m public.llm_models) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', m.identifier, 'model_key', m.model_key, 'provider', m.provider, 'upstream_id', m.upstream_id,
    'node_id', m.node_id, 'base_url', n.base_url, 'has_key', coalesce(n.has_key, false), 'pricing', m.pricing,
    'capabilities', case when m.node_id is null then m.capabilities
                    else private.node_capabilities(m.capabilities, n.may_use_tools) end,
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now()
                     and h.provider_key = case when m.node_id is null then m.provider else 'client:' || m.node_id end))
  from (select 1) as one left join public.client_nodes as n on n.id = m.node_id
  where m.node_id is null or n.is_active
$$;

create or replace function private.node_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', p_model, 'model_key', null, 'provider', 'client', 'upstream_id', e.model ->> 'id',
    'node_id', n.id, 'base_url', n.base_url, 'has_key', n.has_key, 'pricing', nullif(e.model -> 'pricing', 'null'),
    'capabilities', private.node_capabilities(e.model -> 'capabilities', n.may_use_tools),
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now() and h.provider_key = 'client:' || n.id))
  from public.client_nodes as n cross join lateral jsonb_array_elements(n.models) as e (model)
  where p_model ~ '^client:[1-9][0-9]{0,17}:.'
    and n.id = case when p_model ~ '^client:[1-9][0-9]{0,17}:.' then split_part(p_model, ':', 2)::bigint end
    -- What the catalogue knows is the catalogue's to price and to switch off.
    and not exists (select 1 from public.llm_models as m where m.node_id = n.id and m.upstream_id = e.model ->> 'id')
    and n.is_active and (n.is_shared or n.owner_id = p_user_id)
    and e.model ->> 'id' = substr(p_model, length('client:' || split_part(p_model, ':', 2) || ':') + 1)
  limit 1
$$;

create function private.matcha_route(p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select private.catalogue_route(m) || jsonb_build_object(
    'identifier', p_model, 'provider', 'matcha', 'upstream_id', m.matcha_llm_id::text, 'pricing', null,
    'capabilities', m.capabilities || '{"supports_tools": false, "supports_json": false, "supports_vision": false}',
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now() and h.provider_key = 'matcha'))
  from public.llm_models as m
  where p_model ~ '^matcha:[1-9][0-9]{0,8}$' and m.is_active and m.node_id is null
    and m.matcha_llm_id = case when p_model ~ '^matcha:[1-9][0-9]{0,8}$' then split_part(p_model, ':', 2)::integer end
$$;
comment on function private.matcha_route(text) is
  'matcha:<number>: the active model that has this number on the MatchAI platform, served there at a price nobody told; or null.';

create or replace function private.find_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select private.catalogue_route(m) from public.llm_models as m
     where m.is_active and (m.model_key = p_model or m.identifier = p_model)
     order by m.model_key = p_model desc limit 1),
    private.node_route(p_user_id, p_model),
    private.matcha_route(p_model))
$$;

create function private.find_successor(p_user_id uuid, p_model text) returns jsonb
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
    (select private.find_chain(p_user_id, n.model_key) from named as n where n.is_active order by n.depth limit 1),
    (select private.find_chain(p_user_id, n.replaced_by) from named as n
     where exists (select 1 from public.llm_routes as r where r.alias = n.replaced_by) order by n.depth limit 1))
$$;
comment on function private.find_successor(uuid, text) is
  'The chain of what replaced an inactive model, a model or an alias, over up to five replacements; null when nothing active did.';

create function private.find_default(p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with model as (
    select private.catalogue_route(m) as route from public.llm_models as m where m.is_default
  ), arms as (
    select a.route, a.place
    from jsonb_array_elements(coalesce(private.find_chain(p_user_id, 'default'), '[]')) with ordinality as a (route, place)
    where not exists (select 1 from model where model.route ->> 'identifier' = a.route ->> 'identifier')
  )
  select jsonb_agg(c.route order by c.place)
  from (select model.route, 0 as place from model where model.route is not null union all select arms.route, arms.place from arms) as c
$$;
comment on function private.find_default(uuid) is
  'The catalogue''s default, unless its node is switched off, and behind it the arms of the alias "default"; null without any.';

create or replace function private.resolve_routes(p_user_id uuid, p_requested text, p_conversation_default text, p_is_strict boolean)
  returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_wanted text := nullif(coalesce(p_requested, p_conversation_default), 'default');
  v_chain jsonb;
begin
  if v_wanted is not null then
    v_chain := private.find_chain(p_user_id, v_wanted);
    if v_chain is not null then
      return jsonb_build_object('routes', v_chain,
        'reason', case when p_requested is null then 'conversation_default' else 'requested' end);
    end if;
    if p_is_strict and p_requested is not null then
      perform private.refuse('PT404', 'model_not_found', format('There is no active model "%s".', left(v_wanted, 100)));
    end if;
    v_chain := private.find_successor(p_user_id, v_wanted);
    if v_chain is not null then
      return jsonb_build_object('routes', v_chain, 'reason', 'model_replaced');
    end if;
  end if;
  v_chain := private.find_default(p_user_id);
  if v_chain is null then
    perform private.refuse('PT503', 'no_default_model', 'No model is available: the catalogue has no default.');
  end if;
  return jsonb_build_object('routes', v_chain,
    'reason', case when v_wanted is null then 'default' else 'model_not_found' end);
end
$$;

create or replace function private.plan_turn(p_routes jsonb, p_conversation_id uuid, p_turn jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_context bigint := coalesce((p_routes #>> '{0,capabilities,context_window}')::bigint, 8192);
  v_prompt_tokens bigint := least(greatest(coalesce((p_turn ->> 'prompt_tokens')::integer, 0), 0), 1000000);
  v_new_tokens bigint := private.estimate_tokens(p_turn ->> 'message') + v_prompt_tokens;
  v_routes jsonb;
  v_history jsonb;
  v_input bigint;
  v_most bigint;
begin
  select jsonb_agg(e.route || jsonb_build_object('max_output_tokens',
      greatest(1, least(coalesce((p_turn ->> 'max_tokens')::bigint, 4096),
        (e.route #>> '{capabilities,max_output_tokens}')::bigint,
        (e.route #>> '{capabilities,context_window}')::bigint / 2))) order by e.place)
    into v_routes from jsonb_array_elements(p_routes) with ordinality as e (route, place);
  -- Half of the cautious estimate is still more than a tokenizer makes of the plainest prose.
  if v_new_tokens / 2 > v_context then
    perform private.refuse('PT422', 'context_exceeded', 'The message is longer than this model can read.',
      jsonb_build_object('context_window', v_context));
  end if;
  v_history := private.recent_history(p_conversation_id,
    v_context - (v_routes #>> '{0,max_output_tokens}')::bigint - v_new_tokens, (p_turn ->> 'turn_id')::uuid);
  select v_new_tokens + coalesce(sum(private.estimate_tokens(m ->> 'content')), 0),
      private.most_tokens(p_turn ->> 'message') + v_prompt_tokens + coalesce(sum(private.most_tokens(m ->> 'content')), 0)
    into v_input, v_most from jsonb_array_elements(v_history) as m;
  -- A fallback that cannot read what the first choice can would only refuse it.
  select jsonb_agg(e.route order by e.place) into v_routes
    from jsonb_array_elements(v_routes) with ordinality as e (route, place)
    where e.place = 1 or coalesce(v_input <= (e.route #>> '{capabilities,context_window}')::bigint, true);
  -- The reservation covers the dearest model of the chain at full output and as many input tokens as the text has bytes;
  -- an unknown price cannot be reserved.
  return (select jsonb_build_object('routes', v_routes, 'history', v_history, 'input_tokens_estimate', v_input,
      'reserve_usd', coalesce(max(private.turn_cost(r -> 'pricing', v_most, (r ->> 'max_output_tokens')::bigint)), 0),
      'least_usd', min(private.turn_cost(r -> 'pricing', v_input, 1)))
    from jsonb_array_elements(v_routes) as r);
end
$$;

revoke execute on function private.node_capabilities(jsonb, boolean), private.matcha_route(text),
  private.find_successor(uuid, text), private.find_default(uuid)
  from public, anon, authenticated, service_role;
