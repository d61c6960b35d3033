-- Purpose: a policy ranks the catalogue by columns and builds routes for the three it takes; it listens to people, not to turns.
-- Affects: functions private.is_able() (new), policy_chain() (replaced)
-- Access: called by chat_begin only.

create function private.is_able(p_capabilities jsonb, p_needs jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select not exists (
    select 1 from jsonb_array_elements_text(coalesce(p_needs, '[]')) as n (ability)
    -- A model that knows no schemas is told in words.
    where n.ability <> 'supports_json' and not coalesce((p_capabilities ->> n.ability)::boolean, false))
$$;
comment on function private.is_able(jsonb, jsonb) is 'Whether a model has all abilities that a turn cannot do without.';

create or replace function private.policy_chain(p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with fitting as (
    select m as model, m.display_order, m.id, q.mean_ttft_ms, h.provider_key is not null as is_open,
      -- Three tokens are read for each that is written.
      3 * (m.pricing ->> 'input')::numeric + (m.pricing ->> 'output')::numeric as price,
      -- Seven turns of ten must have gone well, and three stars be given, of those who have been seen often enough.
      coalesce(q.error_rate <= 0.3, true) and coalesce(q.ratings < 5 or q.mean_rating >= 3, true) as is_acceptable,
      -- A few raters say little: five of 3.5 are added to them.
      coalesce((q.mean_rating * q.raters + 3.5 * 5) / (q.raters + 5), 3.5) as rating,
      p_how -> 'needs' ? 'supports_json' and not coalesce((m.capabilities ->> 'supports_json')::boolean, false) as is_wordy
    from public.llm_models as m
    left join public.client_nodes as n on n.id = m.node_id
    left join public.model_quality as q on q.model_identifier = m.identifier
    left join public.provider_health as h on h.open_until > now()
      and h.provider_key = case when m.node_id is null then m.provider else 'client:' || m.node_id end
    where m.is_active and (m.node_id is null or n.is_active)
      and (jsonb_typeof(p_how -> 'providers') is distinct from 'array' or p_how -> 'providers' ? m.provider)
      and private.is_able(case when m.node_id is null then m.capabilities
        else private.node_capabilities(m.capabilities, n.may_use_tools) end, p_how -> 'needs')
      and coalesce((m.capabilities ->> 'context_window')::bigint, 8192) >= (p_how ->> 'context')::bigint
  ), ranked as (
    select f.model, row_number() over (order by
      f.is_open, not f.is_acceptable, f.is_wordy,
      case p_alias when 'fast' then f.mean_ttft_ms end nulls last,
      case p_alias when 'best' then f.rating end desc nulls last,
      case p_alias when 'best' then f.price end desc nulls last,
      f.price nulls last, f.display_order, f.id) as place
    from fitting as f
    where f.price is not null or p_alias in ('fast', 'best')  -- who wants the cheapest wants to know what it costs
  )
  select jsonb_agg(private.catalogue_route(r.model) || jsonb_build_object('alias', p_alias) order by r.place)
  from ranked as r where r.place <= 3
$$;

revoke execute on function private.is_able(jsonb, jsonb) from public, anon, authenticated, service_role;
