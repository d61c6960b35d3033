-- Purpose: from the requested name (key, identifier, alias or none) to the route that serves it and its fallbacks.
-- Affects: public.model_quality, public.model_menu()
-- Access: chat_begin and model_menu call the helpers; signed-in users read model_quality and call model_menu, as does
-- the service.

create table public.model_quality (
  model_identifier text constraint model_quality_pkey primary key,
  turns bigint not null,
  errors bigint not null,
  mean_ttft_ms numeric(12, 3),
  ratings bigint not null,
  mean_rating numeric(4, 3),
  measured_at timestamptz not null default now(),
  raters bigint not null default 0,
  error_rate numeric(4, 3)
);
comment on table public.model_quality is
  'Quality of each model over the last seven UTC days and today, of all users together; written by measure_models().';
comment on column public.model_quality.turns is 'Turns that the model finished.';
comment on column public.model_quality.errors is
  'Turns of these that failed or ended early because of what the provider did.';
comment on column public.model_quality.mean_ttft_ms is
  'Mean milliseconds to the first content; null when no turn had content.';
comment on column public.model_quality.ratings is 'Ratings of the last 30 days.';
comment on column public.model_quality.mean_rating is
  'Mean, 1 to 5, of each user''s own mean; null below three raters, or below all users where a project has fewer.';
comment on column public.model_quality.raters is 'Users who gave these ratings; anonymous users do not count.';
comment on column public.model_quality.error_rate is
  'Errors per turn of signed-in users in which the model answered or failed, without the user who met the most errors '
  'unless there is only one user; null below 20 such turns.';

alter table public.model_quality enable row level security;
revoke all on public.model_quality from public, anon, authenticated, service_role;
grant select on public.model_quality to authenticated;
grant select on public.model_quality to service_role;

create policy model_quality_select_all on public.model_quality for select to authenticated
  using ((select auth.uid()) is not null);
comment on policy model_quality_select_all on public.model_quality is
  'Signed-in users see the counts and means, which name no user.';

create function private.has_capabilities(p_capabilities jsonb, p_needs jsonb) returns boolean
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_needs is null or p_needs = '[]' then
    return true;
  end if;
  return not exists (
    select 1 from jsonb_array_elements_text(p_needs) as n (ability)
    -- A model without schemas gets the schema as text in its prompt.
    where n.ability <> 'supports_json' and not coalesce((p_capabilities ->> n.ability)::boolean, false));
end
$$;
comment on function private.has_capabilities(jsonb, jsonb) is 'Whether a model has all capabilities that a turn needs.';
revoke execute on function private.has_capabilities from public, anon, authenticated, service_role;

create function private.is_callable(p_provider text, p_criteria jsonb) returns boolean
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return jsonb_typeof(p_criteria -> 'providers') is distinct from 'array' or p_criteria -> 'providers' ? p_provider;
end
$$;
comment on function private.is_callable(text, jsonb) is
  'Whether this deployment has a key for the provider; true when the criteria name no providers.';
revoke execute on function private.is_callable from public, anon, authenticated, service_role;

create function private.hash_fraction(p_seed text, p_alias text, p_model_key text) returns double precision
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return (('x' || left(md5(p_seed || ':' || p_alias || ':' || p_model_key),
    8))::bit(32)::bigint + 1) / 4294967297.0::double precision;
end
$$;
comment on function private.hash_fraction(text, text, text) is
  'A number between 0 and 1, always the same for the same arguments.';
revoke execute on function private.hash_fraction from public, anon, authenticated, service_role;

create function private.catalogue_route(m public.llm_models) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_node public.client_nodes;
begin
  if m.node_id is not null then
    select n.* into v_node from public.client_nodes as n where n.id = m.node_id and n.is_active;
    if not found then
      return null;
    end if;
  end if;
  return jsonb_build_object(
    'identifier', m.identifier, 'model_key', m.model_key, 'provider', m.provider, 'upstream_id', m.upstream_id,
    'node_id', m.node_id, 'base_url', v_node.base_url, 'has_key', coalesce(v_node.has_key, false),
    'pricing', m.pricing, 'capabilities', case when m.node_id is null then m.capabilities
      else private.node_capabilities(m.capabilities, v_node.may_use_tools) end,
    'label', case when m.node_id is null then m.model_name else format('%s (%s)', v_node.name, m.model_name) end,
    'open_until', private.circuit_until(coalesce('client:' || m.node_id, m.provider), m.identifier));
end
$$;
comment on function private.catalogue_route(public.llm_models) is
  'The route of a catalogue row, with its label and the caller''s circuit; null when its node is inactive.';
revoke execute on function private.catalogue_route from public, anon, authenticated, service_role;

create function private.node_route(p_user_id uuid, p_model text) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_model !~ '^client:[1-9][0-9]{0,17}:.' then
    return null;
  end if;
  return (
    select jsonb_build_object(
      'identifier', p_model, 'model_key', null, 'provider', 'client', 'upstream_id', e.model ->> 'id',
      'node_id', n.id, 'base_url', n.base_url, 'has_key', n.has_key, 'pricing', nullif(e.model -> 'pricing', 'null'),
      'capabilities', private.node_capabilities(e.model -> 'capabilities', n.may_use_tools),
      'label', format('%s (%s)', n.name, e.model ->> 'id'),
      'open_until', private.circuit_until('client:' || n.id, p_model))
    from public.client_nodes as n cross join lateral jsonb_array_elements(n.models) as e (model)
    where n.id = split_part(p_model, ':', 2)::bigint
      -- If the catalogue has the model, its row decides the price and whether the model is active.
      and not exists (select 1 from public.llm_models as m where m.node_id = n.id and m.upstream_id = e.model ->> 'id')
      and n.is_active and (n.is_shared or n.owner_id = p_user_id)
      and e.model ->> 'id' = substr(p_model, length('client:' || split_part(p_model, ':', 2) || ':') + 1)
    limit 1);
end
$$;
comment on function private.node_route(uuid, text) is
  'The route of client:<node>:<model> when the user may use the node, else null.';
revoke execute on function private.node_route from public, anon, authenticated, service_role;

create function private.matcha_route(p_model text) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_model not like 'matcha:%' then
    return null;
  end if;
  return (
    with asked as (
      select coalesce(
        substring(p_model from '^matcha:([1-9][0-9]{0,8})$')::integer,
        (select m.matcha_llm_id from public.llm_models as m
         where p_model like 'matcha:%' and m.model_key = substr(p_model, 8) and m.node_id is null)) as number
    )
    select private.catalogue_route(m) || jsonb_build_object(
      'identifier', 'matcha:' || a.number, 'provider', 'matcha', 'upstream_id', a.number::text,
      'pricing', case when m.provider = 'matcha' then m.pricing end,
      'capabilities', m.capabilities || '{"supports_tools": false, "supports_json": false, "supports_vision": false,
        "supports_files": false}',
      'open_until', private.circuit_until('matcha', 'matcha:' || a.number))
    from asked as a join public.llm_models as m
      on (m.provider = 'matcha' and m.upstream_id = a.number::text)
         or (m.matcha_llm_id = a.number and m.node_id is null)
    -- Once refresh has read the platform's list, the list decides. Before that a model counts unless an admin
    -- deactivated it.
    where case when m.provider = 'matcha' then m.is_active
      else (m.is_active or m.missing_since is not null)
        and not exists (select from public.llm_models as o where o.provider = 'matcha') end
    order by m.provider = 'matcha' desc limit 1);
end
$$;
comment on function private.matcha_route(text) is
  'The route of matcha:<number> or matcha:<model_key> on the MatchAI platform. Null when the platform''s list lacks '
  'it, or no list is known and the catalogue has no such model.';
revoke execute on function private.matcha_route from public, anon, authenticated, service_role;

create function private.model_route(p_model public.llm_models, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return case
    when p_model.is_active and private.is_callable(p_model.provider, p_criteria) then private.catalogue_route(p_model)
    when p_model.provider <> 'matcha' and p_model.matcha_llm_id is not null and p_criteria -> 'providers' ? 'matcha'
      then private.matcha_route('matcha:' || p_model.matcha_llm_id) end;
end
$$;
comment on function private.model_route(public.llm_models, jsonb) is
  'The route of a catalogue row at its own provider, else at MatchAI by its number; null when neither can be called.';
revoke execute on function private.model_route from public, anon, authenticated, service_role;

create function private.find_route(p_user_id uuid, p_model text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_model public.llm_models;
  v_route jsonb;
begin
  select m.* into v_model from public.llm_models as m where m.model_key = p_model;
  v_route := case when found then private.model_route(v_model, p_criteria) end;
  if v_route is null then
    -- An identifier names a provider, so no other provider may serve it.
    select m.* into v_model from public.llm_models as m where m.identifier = p_model and m.is_active;
    if found and private.is_callable(v_model.provider, p_criteria) then
      v_route := private.catalogue_route(v_model);
    end if;
  end if;
  return coalesce(v_route, private.node_route(p_user_id, p_model),
    case when private.is_callable('matcha', p_criteria) then private.matcha_route(p_model) end);
end
$$;
comment on function private.find_route(uuid, text, jsonb) is
  'The route of a model by its key, identifier, client-node name or MatchAI name; null when it cannot be called '
  'here.';
revoke execute on function private.find_route from public, anon, authenticated, service_role;

create function private.successor_route(p_user_id uuid, p_model text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    with recursive named (model_key, replaced_by, is_active, depth) as (
      select m.model_key, m.replaced_by, m.is_active, 0 from public.llm_models as m
        where not m.is_active and (m.model_key = p_model or m.identifier = p_model)
      union all
      select m.model_key, m.replaced_by, m.is_active, n.depth + 1
        from named as n join public.llm_models as m on m.model_key = n.replaced_by
        where not n.is_active and n.depth < 5)
    select private.find_route(p_user_id, n.model_key, p_criteria) from named as n where n.is_active order by n.depth
      limit 1);
end
$$;
comment on function private.successor_route(uuid, text, jsonb) is
  'The route of the model that replaced an inactive one, over up to five replacements; null when none can be called. '
  'Does not follow aliases, because alias_chain() calls it.';
revoke execute on function private.successor_route from public, anon, authenticated, service_role;

create function private.alias_chain(p_user_id uuid, p_alias text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if not exists (select from public.llm_routes as r where r.alias = p_alias) then
    return null;
  end if;
  -- Weighted rendezvous hashing: a new arm takes its share of the conversations and moves no others.
  return (
    with arms as (
      select r.fallback_order, r.weight, r.id,
        coalesce(private.find_route(p_user_id, r.model_key, p_criteria),
          private.successor_route(p_user_id, r.model_key, p_criteria)) as route,
        case when r.weight > 0 then -ln(private.hash_fraction(p_criteria ->> 'seed', p_alias,
          r.model_key)) / r.weight::double precision end as draw
      from public.llm_routes as r where r.alias = p_alias
    ), placed as (
      select a.route, row_number() over (order by not private.has_capabilities(a.route -> 'capabilities',
        p_criteria -> 'needs'),
        a.fallback_order, a.weight = 0, a.draw nulls last, a.weight desc, a.id) as place
      from arms as a where a.route is not null
    ), firsts as (
      -- Two arms may have the same successor, which is tried once.
      select distinct on (p.route ->> 'identifier') p.route, p.place from placed as p order by p.route ->> 'identifier',
        p.place
    )
    select jsonb_agg(f.route || jsonb_build_object('alias', p_alias) order by f.place) from firsts as f);
end
$$;
comment on function private.alias_chain(uuid, text, jsonb) is
  'The routes of an alias: this conversation''s arm first, then by fallback_order; null when none can be called.';
revoke execute on function private.alias_chain from public, anon, authenticated, service_role;

create function private.policy_chain(p_alias text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    with fitting as (
      select m as model, m.display_order, m.id, q.mean_ttft_ms,
        exists (select 1 from public.provider_health as h
          where h.provider_key in (coalesce('client:' || m.node_id, m.provider), m.identifier) and h.open_until > now()
            and (h.sole_user_id is null or h.sole_user_id = (select auth.uid()))) as is_open,
        -- Assumes three input tokens for each output token.
        3 * (m.pricing ->> 'input')::numeric + (m.pricing ->> 'output')::numeric as price,
        -- Acceptable: at most 30 % errors and a mean rating of at least 3, where there are enough turns and ratings.
        coalesce(q.error_rate <= 0.3, true) and coalesce(q.ratings < 5 or q.mean_rating >= 3, true) as is_acceptable,
        -- Smoothed with five ratings of 3.5, because a mean of few ratings is unreliable.
        coalesce((q.mean_rating * q.raters + 3.5 * 5) / (q.raters + 5), 3.5) as rating,
        p_criteria -> 'needs' ? 'supports_json' and not coalesce((m.capabilities ->> 'supports_json')::boolean,
          false) as is_wordy
      from public.llm_models as m
      left join public.client_nodes as n on n.id = m.node_id
      left join public.model_quality as q on q.model_identifier = m.identifier
      where m.is_active and (m.node_id is null or n.is_active)
        and (jsonb_typeof(p_criteria -> 'providers') is distinct from 'array' or p_criteria -> 'providers' ? m.provider)
        and private.has_capabilities(case when m.node_id is null then m.capabilities
          else private.node_capabilities(m.capabilities, n.may_use_tools) end, p_criteria -> 'needs')
        and coalesce((m.capabilities ->> 'context_window')::bigint,
          private.default_context_window()) >= (p_criteria ->> 'context')::bigint
    ), ranked as (
      select f.model, row_number() over (order by
        f.is_open, not f.is_acceptable, f.is_wordy,
        case p_alias when 'fast' then f.mean_ttft_ms end nulls last,
        case p_alias when 'best' then f.rating end desc nulls last,
        case p_alias when 'best' then f.price end desc nulls last,
        f.price nulls last, f.display_order, f.id) as place
      from fitting as f
      where f.price is not null or p_alias in ('fast', 'best')  -- auto and cheap need a known price
    )
    select jsonb_agg(private.catalogue_route(r.model) || jsonb_build_object('alias', p_alias) order by r.place)
    from ranked as r where r.place <= 3);
end
$$;
comment on function private.policy_chain(text, jsonb) is
  'Up to three routes of a policy: auto and cheap take the cheapest models, fast the lowest time to first token, '
  'best the best rated. Only active models that fit the turn; failing and badly rated ones come last. Null when none '
  'fits.';
revoke execute on function private.policy_chain from public, anon, authenticated, service_role;

create function private.find_chain(p_user_id uuid, p_model text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_chain jsonb := private.alias_chain(p_user_id, p_model, p_criteria);
  v_route jsonb;
begin
  if v_chain is null and p_model in ('auto', 'cheap', 'fast', 'best') then
    v_chain := private.policy_chain(p_model, p_criteria);
  end if;
  if v_chain is null then
    v_route := private.find_route(p_user_id, p_model, p_criteria);
    v_chain := case when v_route is not null then jsonb_build_array(v_route) end;
  end if;
  return v_chain;
end
$$;
comment on function private.find_chain(uuid, text, jsonb) is
  'The routes of an alias, a policy or a model, first choice first; null when nothing active has this name.';
revoke execute on function private.find_chain from public, anon, authenticated, service_role;

create function private.find_successor(p_user_id uuid, p_model text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    with recursive named (model_key, replaced_by, is_active, depth) as (
      select m.model_key, m.replaced_by, m.is_active, 0 from public.llm_models as m
        where not m.is_active and (m.model_key = p_model or m.identifier = p_model)
      union all
      select m.model_key, m.replaced_by, m.is_active, n.depth + 1
        from named as n join public.llm_models as m on m.model_key = n.replaced_by
        where not n.is_active and n.depth < 5)
    select coalesce(
      (select private.find_chain(p_user_id, n.model_key, p_criteria) from named as n where n.is_active order by n.depth
        limit 1),
      (select private.find_chain(p_user_id, n.replaced_by, p_criteria) from named as n
       where exists (select 1 from public.llm_routes as r where r.alias = n.replaced_by) order by n.depth limit 1)));
end
$$;
comment on function private.find_successor(uuid, text, jsonb) is
  'The routes of the model or alias that replaced an inactive model, over up to five replacements; null when none '
  'can be called.';
revoke execute on function private.find_successor from public, anon, authenticated, service_role;

create function private.provider_route(p_user_id uuid, p_provider text, p_model text, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_model public.llm_models;
  v_route jsonb;
begin
  select m.* into v_model from public.llm_models as m
    where m.provider = p_provider and m.node_id is null and m.is_active and p_model in (m.upstream_id, m.model_key)
    order by m.upstream_id = p_model desc limit 1;
  v_route := case when found then private.model_route(v_model, p_criteria) end;
  if v_route is null and p_provider = 'matcha' then
    v_route := private.matcha_route('matcha:' || p_model);
  end if;
  if v_route is null then
    v_route := private.successor_route(p_user_id, p_provider || ':' || p_model, p_criteria);
    v_route := case when v_route ->> 'provider' = p_provider then v_route end;
  end if;
  if v_route is null then
    select m.* into v_model from public.llm_models as m
      where m.provider = p_provider and m.node_id is null and m.is_active
      order by m.missing_since is not null, m.display_order, m.id limit 1;
    v_route := case when found then private.model_route(v_model, p_criteria) end;
  end if;
  return v_route;
end
$$;
comment on function private.provider_route(uuid, text, text, jsonb) is
  'The default route of a provider: the model that its variable names, else that model''s successor, else the '
  'provider''s first active model; null when there is none.';
revoke execute on function private.provider_route from public, anon, authenticated, service_role;

create function private.find_default(p_user_id uuid, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    with wished (route, rank, place) as (
      select private.model_route(m, p_criteria), case when m.default_by = 'person' then 0 else 2 end, 0
        from public.llm_models as m
        -- MatchAI serves the default only when an admin chose it: the platform has its own default.
        where m.is_default and (m.default_by = 'person' or private.is_callable(m.provider, p_criteria))
      union all
      select private.provider_route(p_user_id, d.entry ->> 'provider', d.entry ->> 'model', p_criteria),
          case when (d.entry ->> 'is_chosen')::boolean then 1 else 4 end, d.place
        from jsonb_array_elements(coalesce(p_criteria -> 'defaults', '[]')) with ordinality as d (entry, place)
        where d.place <= 10 and private.is_callable(d.entry ->> 'provider', p_criteria)
      union all
      select a.route, 3, a.place
        from jsonb_array_elements(coalesce(private.alias_chain(p_user_id, 'default', p_criteria),
          '[]')) with ordinality as a (route, place)
      union all
      -- The project's own model servers come last.
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
      -- Without arms the next provider is the fallback, so that an outage does not stop turns. Text for a client node
      -- must not go to a provider.
      (select o.route, o.place from others as o, first
       where o.rank in (1, 2, 4) and not coalesce((p_criteria ->> 'is_strict')::boolean, false)
         and not exists (select from wished as a where a.rank = 3 and a.route is not null)
         and first.route ->> 'provider' <> 'client' and o.route ->> 'provider' not in ('client',
           first.route ->> 'provider')
       order by not private.has_capabilities(o.route -> 'capabilities', p_criteria -> 'needs'),
         o.route -> 'open_until' <> 'null', o.rank, o.place limit 1)
    )
    select jsonb_agg(c.route order by c.place)
    from (select first.route, -1 as place from first union all select b.route, b.place from behind as b) as c);
end
$$;
comment on function private.find_default(uuid, jsonb) is
  'The routes of a turn that names no model. First an admin''s default, then LLM_PROVIDER, the catalogue''s default, '
  'the alias "default", the first provider with a key, and a server of the project. Then the alias''s other arms, or '
  'the default of the next provider. Null when nothing can be called.';
revoke execute on function private.find_default from public, anon, authenticated, service_role;

create function private.append_default(p_user_id uuid, p_chain jsonb, p_criteria jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return p_chain || coalesce((
    select jsonb_agg(d.route order by d.place)
    from jsonb_array_elements(private.find_default(p_user_id, p_criteria)) with ordinality as d (route, place)
    where not exists (select 1 from jsonb_array_elements(p_chain) as c (route)
                      where c.route ->> 'identifier' = d.route ->> 'identifier')), '[]');
end
$$;
comment on function private.append_default(uuid, jsonb, jsonb) is
  'The routes, with the default''s routes as last fallbacks.';
revoke execute on function private.append_default from public, anon, authenticated, service_role;

create function private.routing_criteria(p_turn private.turn_request, p_conversation_id uuid) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return jsonb_build_object(
    'seed', coalesce(p_conversation_id::text, p_turn.seed, p_turn.turn_id::text), 'needs', p_turn.needs,
    'providers', p_turn.providers, 'defaults', p_turn.defaults, 'is_strict', p_turn.strict_model,
    -- The question, the prompt around it, and room for the answer.
    'context', private.estimate_tokens(p_turn.message) + 1024 + p_turn.prompt_tokens / 3);
end
$$;
comment on function private.routing_criteria(private.turn_request, uuid) is
  'What routing needs of a turn: {seed (keeps a conversation, or an input of assist, on its arm), needs '
  '(capabilities), providers (with a key here; null for all), defaults, is_strict, context (tokens)}.';
revoke execute on function private.routing_criteria from public, anon, authenticated, service_role;

create function private.unresolved_name(p_reason text, p_requested text, p_conversation_default text,
  p_preferred text) returns text
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  -- Names in conversations and profiles are not redacted: only text that looks like a model name is logged.
  return case when p_reason in ('model_not_found', 'model_replaced') then coalesce(left(p_requested, 300),
    substring(p_conversation_default from '^[[:alnum:]][[:alnum:]:._/+-]{0,149}$'),
    substring(p_preferred from '^[[:alnum:]][[:alnum:]:._/+-]{0,149}$')) end;
end
$$;
comment on function private.unresolved_name(text, text, text, text) is
  'The model name that could not be found, given the route''s reason; null when every lookup succeeded.';
revoke execute on function private.unresolved_name from public, anon, authenticated, service_role;

create function private.refuse_model(p_model text) returns void
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_model in ('auto', 'cheap', 'fast', 'best') then
    perform private.refuse('PT422', 'validation_failed', 'No active model can do what this turn asks for.');
  elsif exists (select from public.llm_models as m where m.is_active and p_model in (m.model_key, m.identifier)) then
    perform private.refuse('PT404', 'model_not_found',
      format('The model "%s" cannot be called here: its provider has no key in this deployment.', left(p_model, 100)));
  end if;
  perform private.refuse('PT404', 'model_not_found', format('There is no active model "%s".', left(p_model, 100)));
end
$$;
comment on function private.refuse_model(text) is
  'Refuses a requested model that cannot be served: no policy''s model fits, its provider has no key, or there is '
  'none of this name.';
revoke execute on function private.refuse_model from public, anon, authenticated, service_role;

create function private.resolve_routes(
  p_user_id uuid, p_requested text, p_conversation_default text, p_preferred text, p_agent_models jsonb,
    p_is_strict boolean,
  p_criteria jsonb)
  returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  -- A requested model, or the default by name, overrides all preferences.
  v_kinds text[] := case when p_requested is null then array['conversation_default', 'profile']
    else array['requested'] end;
  v_models text[] := case when p_requested is null then array[p_conversation_default, p_preferred]
    else array[p_requested] end;
  v_is_missed boolean := false;
  v_chain jsonb;
  v_kind text;
  v_model text;
begin
  if p_requested is null and jsonb_typeof(p_agent_models) = 'array' then
    for v_place in 0 .. least(jsonb_array_length(p_agent_models), 10) - 1 loop
      v_kinds := v_kinds || 'agent'::text;
      v_models := v_models || left(p_agent_models ->> v_place, 300);
    end loop;
  end if;
  for v_place in 1 .. cardinality(v_kinds) loop
    v_kind := v_kinds[v_place];
    v_model := v_models[v_place];
    continue when v_model is null;
    exit when v_model = 'default';
    v_chain := private.find_chain(p_user_id, v_model, p_criteria);
    if v_chain is not null then
      return jsonb_build_object('reason', v_kind,
        -- An agent's model is a preference: the default serves where its provider cannot be called.
        'routes', case v_kind when 'agent' then private.append_default(p_user_id, v_chain, p_criteria)
          else v_chain end);
    end if;
    if p_is_strict and v_kind = 'requested' then
      perform private.refuse_model(v_model);
    end if;
    v_chain := private.find_successor(p_user_id, v_model, p_criteria);
    if v_chain is not null then
      -- An agent's missing model is not reported: the user did not ask for it.
      return jsonb_build_object('routes', v_chain, 'reason', case v_kind when 'agent' then 'agent'
        else 'model_replaced' end);
    end if;
    v_is_missed := v_is_missed or v_kind <> 'agent';
  end loop;
  v_chain := private.find_default(p_user_id, p_criteria);
  if v_chain is null then
    perform private.refuse('PT503', 'no_default_model',
      'No model is available: no provider with a key has one in the catalogue.');
  end if;
  return jsonb_build_object('routes', v_chain, 'reason', case when v_is_missed then 'model_not_found'
    else 'default' end);
end
$$;
comment on function private.resolve_routes(uuid, text, text, text, jsonb, boolean, jsonb) is
  '{routes, reason}. reason is requested, conversation_default, profile, agent or default; model_replaced when a '
  'successor serves; model_not_found when the chosen model is gone and the default serves.';
revoke execute on function private.resolve_routes from public, anon, authenticated, service_role;

create function public.model_menu(deployment jsonb default '{}') returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_how jsonb := jsonb_build_object('seed', '', 'needs', '[]'::jsonb, 'defaults',
    case jsonb_typeof(deployment -> 'defaults') when 'array' then deployment -> 'defaults' else '[]' end,
    'providers', case jsonb_typeof(deployment -> 'providers') when 'array' then deployment -> 'providers' end);
  v_default text;
  v_menu jsonb;
begin
  v_default := private.find_default(null, v_how) #>> '{0,identifier}';
  select jsonb_agg(jsonb_build_object('id', m.id, 'matcha_llm_id', m.matcha_llm_id, 'model_name', m.model_name,
      'model_key', m.model_key, 'provider', m.provider, 'capabilities',
        coalesce(o.route -> 'capabilities', m.capabilities),
      'pricing', case when o.route is null then m.pricing else o.route -> 'pricing' end,
      'identifier', coalesce(o.route ->> 'identifier', m.identifier), 'is_active', true,
      'is_default', coalesce(o.route ->> 'identifier', m.identifier) = v_default, 'display_order', m.display_order,
      'created_at', m.created_at, 'last_synced_at', m.last_synced_at) order by m.display_order, m.id)
    into v_menu
  from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id
  cross join lateral (select m.is_active and (m.node_id is null or n.is_active)
    and private.is_callable(m.provider, v_how) as is_own) as s
  cross join lateral (select case when not s.is_own and m.matcha_llm_id is not null
    then private.model_route(m, v_how) end as route) as o
  where (s.is_own or o.route is not null)
    -- A model that MatchAI serves under a catalogue row is listed by that row only.
    and not (m.provider = 'matcha' and v_how -> 'providers' ? 'matcha' and exists (
      select from public.llm_models as t where t.matcha_llm_id::text = m.upstream_id and t.provider <> 'matcha'
        and not (t.is_active and private.is_callable(t.provider, v_how))));
  if v_menu is null and v_how -> 'providers' <> 'null' then
    return public.model_menu();  -- a deployment of the llms function alone may have no keys
  end if;
  return coalesce(v_menu, '[]');
end
$$;
comment on function public.model_menu(jsonb) is
  'All models that a deployment serves, for everyone signed in, in display order and as one value, because the data '
  'API cuts rows at a thousand. deployment: providers? (with a key; none means all), defaults? ([{provider, model, '
  'is_chosen}] in order). is_default marks the model of a turn that names none; identifier names the provider that '
  'serves it.';
revoke execute on function public.model_menu from public, anon, authenticated, service_role;
grant execute on function public.model_menu(jsonb) to authenticated, service_role;
