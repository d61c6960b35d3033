-- Purpose: from what a caller named (key, identifier, alias, nothing) to the route that serves it, with its fallbacks.
-- Affects: functions private.catalogue_route(), node_route(), find_route(), find_chain(), resolve_routes()
-- Access: called by chat_begin only.

create function private.catalogue_route(m public.llm_models) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', m.identifier, 'model_key', m.model_key, 'provider', m.provider, 'upstream_id', m.upstream_id,
    'node_id', m.node_id, 'base_url', n.base_url, 'capabilities', m.capabilities, 'pricing', m.pricing,
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now()
                     and h.provider_key = case when m.node_id is null then m.provider else 'client:' || m.node_id end))
  from (select 1) as one left join public.client_nodes as n on n.id = m.node_id
  where m.node_id is null or n.is_active
$$;
comment on function private.catalogue_route(public.llm_models) is 'A catalogue row as a route; null when its node is switched off.';

create function private.node_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', p_model, 'model_key', null, 'provider', 'client', 'upstream_id', e.model ->> 'id',
    'node_id', n.id, 'base_url', n.base_url, 'capabilities', coalesce(e.model -> 'capabilities', '{}'),
    'pricing', nullif(e.model -> 'pricing', 'null'),
    'open_until', (select h.open_until from public.provider_health as h
                   where h.open_until > now() and h.provider_key = 'client:' || n.id))
  from public.client_nodes as n cross join lateral jsonb_array_elements(n.models) as e (model)
  where p_model ~ '^client:[0-9]{1,18}:.'
    and n.id = case when p_model ~ '^client:[0-9]{1,18}:.' then split_part(p_model, ':', 2)::bigint end
    and n.is_active and (n.is_shared or n.owner_id = p_user_id)
    and e.model ->> 'id' = substr(p_model, length('client:' || split_part(p_model, ':', 2) || ':') + 1)
  limit 1
$$;
comment on function private.node_route(uuid, text) is 'client:<node>:<model> of a node the person may use, or null.';

create function private.find_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select private.catalogue_route(m) from public.llm_models as m
     where m.is_active and (m.model_key = p_model or m.identifier = p_model)
     order by m.model_key = p_model desc limit 1),
    private.node_route(p_user_id, p_model))
$$;
comment on function private.find_route(uuid, text) is 'The active model that goes by this key or identifier, or null.';

create function private.find_chain(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select jsonb_agg(arm.route order by arm.fallback_order, arm.weight desc, arm.id)
     from (select r.fallback_order, r.weight, r.id, private.find_route(p_user_id, r.model_key) as route
           from public.llm_routes as r where r.alias = p_model) as arm
     where arm.route is not null),
    (select jsonb_build_array(f.route) from (select private.find_route(p_user_id, p_model) as route) as f
     where f.route is not null))
$$;
comment on function private.find_chain(uuid, text) is 'Array of routes for an alias or a single model, first choice first; null when nothing active goes by that name.';

create function private.resolve_routes(p_user_id uuid, p_requested text, p_conversation_default text, p_is_strict boolean)
  returns jsonb
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_wanted text := coalesce(p_requested, p_conversation_default);
  v_chain jsonb;
begin
  if v_wanted is not null then
    v_chain := private.find_chain(p_user_id, v_wanted);
    if v_chain is not null then
      return jsonb_build_object('routes', v_chain,
        'reason', case when p_requested is null then 'conversation_default' else 'requested' end);
    end if;
    select private.find_chain(p_user_id, m.replaced_by) into v_chain
    from public.llm_models as m where not m.is_active and (m.model_key = v_wanted or m.identifier = v_wanted);
    if v_chain is not null then
      return jsonb_build_object('routes', v_chain, 'reason', 'model_replaced');
    end if;
    if p_is_strict and p_requested is not null then
      perform private.refuse('PT404', 'model_not_found', format('There is no active model "%s".', left(v_wanted, 100)));
    end if;
  end if;
  select jsonb_build_array(private.catalogue_route(m)) into v_chain from public.llm_models as m where m.is_default;
  if v_chain is null or v_chain -> 0 = 'null' then
    perform private.refuse('PT503', 'no_default_model', 'No model is available: the catalogue has no default.');
  end if;
  return jsonb_build_object('routes', v_chain,
    'reason', case when v_wanted is null then 'default' else 'model_not_found' end);
end
$$;
comment on function private.resolve_routes(uuid, text, text, boolean) is
  '{routes, reason}: the requested model, else the conversation''s, else the catalogue''s default; reason says which and why.';

create function private.refuse(p_sqlstate text, p_code text, p_message text, p_metadata jsonb default '{}') returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
begin
  raise exception using errcode = p_sqlstate, message = p_message,
    detail = jsonb_build_object('code', p_code, 'metadata', p_metadata)::text;
end
$$;
comment on function private.refuse(text, text, text, jsonb) is
  'Ends the transaction; PostgREST answers SQLSTATE PTxyz as HTTP xyz, the detail carries the machine code.';

revoke execute on function private.catalogue_route(public.llm_models), private.node_route(uuid, text),
  private.find_route(uuid, text), private.find_chain(uuid, text), private.resolve_routes(uuid, text, text, boolean),
  private.refuse(text, text, text, jsonb)
  from public, anon, authenticated, service_role;
