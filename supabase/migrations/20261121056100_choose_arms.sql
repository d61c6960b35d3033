-- Purpose: an alias is a policy: weighted arms that stick to a conversation, or the cheapest, fastest or best model that fits.
-- Affects: functions private.how_of(), fraction_of(), alias_chain(), policy_chain(), find_chain(), resolve_routes()
-- Access: called by chat_begin only.

create function private.how_of(p_turn jsonb, p_conversation_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'seed', coalesce(p_conversation_id::text, p_turn ->> 'turn_id'),
    'needs', case jsonb_typeof(p_turn -> 'needs') when 'array' then p_turn -> 'needs' else '[]' end,
    'providers', case jsonb_typeof(p_turn -> 'providers') when 'array' then p_turn -> 'providers' end,
    -- What is asked, the prompt around it, and room to answer.
    'context', private.estimate_tokens(p_turn ->> 'message') + 1024
      + least(greatest(coalesce((p_turn ->> 'prompt_tokens')::integer, 0), 0), 1000000) / 3)
$$;
comment on function private.how_of(jsonb, uuid) is
  '{seed: what an arm sticks to, needs: abilities such as supports_vision, providers: those the caller can reach or null, context: tokens}.';

create function private.fraction_of(p_seed text, p_alias text, p_model_key text) returns double precision
  language sql immutable security invoker set search_path = ''
as $$
  select (('x' || left(md5(p_seed || ':' || p_alias || ':' || p_model_key), 8))::bit(32)::bigint + 1) / 4294967297.0::double precision
$$;
comment on function private.fraction_of(text, text, text) is 'A number between 0 and 1 that is always the same for the same three.';

create function private.alias_chain(p_user_id uuid, p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  -- Weighted rendezvous: each arm draws, and a heavier one draws better. A new arm takes over its share of the
  -- conversations and moves no other.
  with arms as (
    select r.fallback_order, r.weight, r.id, private.find_route(p_user_id, r.model_key) as route,
      case when r.weight > 0 then -ln(private.fraction_of(p_how ->> 'seed', p_alias, r.model_key)) / r.weight::double precision end as draw
    from public.llm_routes as r where r.alias = p_alias
  )
  select jsonb_agg(a.route || jsonb_build_object('alias', p_alias)
    order by a.fallback_order, a.weight = 0, a.draw nulls last, a.weight desc, a.id)
  from arms as a where a.route is not null
$$;
comment on function private.alias_chain(uuid, text, jsonb) is
  'The arms of an alias, the one this conversation sticks to first, those of higher order behind; null when none is alive.';

create function private.policy_chain(p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with fitting as (
    select m.display_order, m.id, c.route, q.mean_ttft_ms,
      -- Three tokens are read for each that is written.
      3 * (m.pricing ->> 'input')::numeric + (m.pricing ->> 'output')::numeric as price,
      -- Seven turns of ten must have gone well, and three stars be given, of those who have been seen often enough.
      (coalesce(q.turns, 0) < 20 or q.errors <= 0.3 * q.turns) and (coalesce(q.ratings, 0) < 5 or q.mean_rating >= 3) as is_acceptable,
      -- A few ratings say little: five of 3.5 are added to them.
      (coalesce(q.mean_rating, 0) * coalesce(q.ratings, 0) + 3.5 * 5) / (coalesce(q.ratings, 0) + 5) as rating
    from public.llm_models as m
    cross join lateral (select private.catalogue_route(m) as route) as c
    left join public.model_quality as q on q.model_identifier = m.identifier
    where m.is_active and c.route is not null
      and (jsonb_typeof(p_how -> 'providers') is distinct from 'array' or p_how -> 'providers' ? m.provider)
      and not exists (select 1 from jsonb_array_elements_text(p_how -> 'needs') as n (ability)
                      where not coalesce((c.route -> 'capabilities' ->> n.ability)::boolean, false))
      and coalesce((m.capabilities ->> 'context_window')::bigint, 8192) >= (p_how ->> 'context')::bigint
  ), ranked as (
    select f.route, row_number() over (order by
      f.route ->> 'open_until' is not null, not f.is_acceptable,
      case p_alias when 'fast' then f.mean_ttft_ms end nulls last,
      case p_alias when 'best' then f.rating end desc nulls last,
      case p_alias when 'best' then f.price end desc nulls last,
      f.price nulls last, f.display_order, f.id) as place
    from fitting as f
    where f.price is not null or p_alias in ('fast', 'best')  -- who wants the cheapest wants to know what it costs
  )
  select jsonb_agg(r.route || jsonb_build_object('alias', p_alias) order by r.place) from ranked as r where r.place <= 3
$$;
comment on function private.policy_chain(text, jsonb) is
  'auto and cheap: the cheapest; fast: the soonest to speak; best: the best rated, then the dearest. Of the active models that can do '
  'what the turn needs, failing and badly rated ones last, with two fallbacks; null when none fits.';

create function private.find_chain(p_user_id uuid, p_model text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    private.alias_chain(p_user_id, p_model, p_how),
    case when p_model in ('auto', 'cheap', 'fast', 'best') then private.policy_chain(p_model, p_how) end,
    (select jsonb_build_array(f.route) from (select private.find_route(p_user_id, p_model) as route) as f
     where f.route is not null))
$$;
comment on function private.find_chain(uuid, text, jsonb) is
  'Routes, first choice first, for an alias with arms, for a policy, or for a single model; null when nothing active goes by that name.';

create or replace function private.find_chain(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select private.find_chain(p_user_id, p_model, '{"needs": [], "context": 0}')
$$;

drop function private.resolve_routes(uuid, text, text, text, jsonb, boolean);
create function private.resolve_routes(
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
    -- Whoever asks for a model, or for the default by name, has chosen: nobody else's wish is heard.
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
        -- What an agent would like is nobody's order: the default stands in where its provider is not there.
        'routes', case v.kind when 'agent' then private.with_default(p_user_id, v_chain) else v_chain end);
    end if;
    if p_is_strict and v.kind = 'requested' then
      perform private.refuse('PT404', 'model_not_found', format('There is no active model "%s".', left(v.model, 100)));
    end if;
    v_chain := private.find_successor(p_user_id, v.model);
    if v_chain is not null then
      return jsonb_build_object('routes', v_chain, 'reason', 'model_replaced');
    end if;
    v_is_missed := v_is_missed or v.kind <> 'agent';
  end loop;
  v_chain := private.find_default(p_user_id);
  if v_chain is null then
    perform private.refuse('PT503', 'no_default_model', 'No model is available: the catalogue has no default.');
  end if;
  return jsonb_build_object('routes', v_chain, 'reason', case when v_is_missed then 'model_not_found' else 'default' end);
end
$$;
comment on function private.resolve_routes(uuid, text, text, text, jsonb, boolean, jsonb) is
  '{routes, reason}: requested, else conversation_default, profile, agent (the first of its models that is alive), default; '
  'model_replaced when a successor serves, model_not_found when a model that somebody chose is gone and the default serves.';

revoke execute on function private.how_of(jsonb, uuid), private.fraction_of(text, text, text),
  private.alias_chain(uuid, text, jsonb), private.policy_chain(text, jsonb), private.find_chain(uuid, text, jsonb),
  private.resolve_routes(uuid, text, text, text, jsonb, boolean, jsonb)
  from public, anon, authenticated, service_role;
