-- Purpose: what a provider's list changes in the catalogue, row by row, before anything is written.
-- Affects: functions private.price_words(), told_capabilities(), free_key(), plan_known(), plan_new()
-- Access: called by merge_models only.

create function private.price_words(p_pricing jsonb) returns text
  language sql immutable security invoker set search_path = ''
as $$
  select case when p_pricing is null then 'unknown' else format('%s/%s USD', p_pricing ->> 'input', p_pricing ->> 'output') end
$$;
comment on function private.price_words(jsonb) is 'Input and output per million tokens, for reading.';

create function private.told_capabilities(p_row public.llm_models, p_listed jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select p_row.capabilities || coalesce(jsonb_object_agg(c.name, c.value), '{}')
  from jsonb_each(coalesce(p_listed, '{}')) as c (name, value)
  where not coalesce(p_row.told -> 'capabilities' ? c.name, false)
    or p_row.told -> 'capabilities' -> c.name is not distinct from p_row.capabilities -> c.name
$$;
comment on function private.told_capabilities(public.llm_models, jsonb) is
  'The row''s capabilities with what is listed, but for what a person has changed since it was last told.';

create function private.plan_known(p_provider text, p_node_id bigint, p_listed jsonb, p_retirements jsonb)
  returns table (action text, id integer, is_active boolean, is_listed boolean, is_missing boolean, model_name text, capabilities jsonb, pricing jsonb,
                 replaced_by text, retires_on date, told jsonb, words text)
  language sql stable security invoker set search_path = ''
as $$
  with known as (
    select m as row, m.*, l.upstream_id is not null as is_listed, l.model_name as new_name, l.capabilities as new_capabilities,
      l.pricing as new_pricing, case when m.source = 'manual' then m.retires_on else coalesce(l.retires_on, r.retires_on, m.retires_on) end as new_retires_on,
      case when m.source = 'manual' then m.replaced_by else coalesce(m.replaced_by, r.replaced_by) end as new_replaced_by, m.source = 'manual' as is_pinned,
      m.source = 'seed' and m.matcha_llm_id is not null as is_named
    from public.llm_models as m
    left join jsonb_to_recordset(p_listed) as l
      (upstream_id text, model_name text, capabilities jsonb, pricing jsonb, retires_on date) on l.upstream_id = m.upstream_id
    left join jsonb_to_recordset(p_retirements) as r (upstream_id text, retires_on date, replaced_by text)
      on r.upstream_id = m.upstream_id
    where m.provider = p_provider and m.node_id is not distinct from p_node_id
  ), merged as (
    select k.*,
      case when k.is_pinned or k.is_named or not k.is_listed
          or (k.told ? 'model_name' and k.told ->> 'model_name' is distinct from k.model_name)
        then k.model_name else coalesce(k.new_name, k.model_name) end as next_name,
      case when k.is_pinned or not k.is_listed then k.capabilities
        else private.told_capabilities(k.row, k.new_capabilities) end as next_capabilities,
      case when k.is_pinned or not k.is_listed
          or (k.told ? 'pricing' and nullif(k.told -> 'pricing', 'null') is distinct from k.pricing)
        then k.pricing else coalesce(k.new_pricing, k.pricing) end as next_pricing,
      -- Only what refresh itself switched off does it switch on again.
      k.is_active or (k.is_listed and not k.is_pinned and coalesce(k.told ->> 'is_active' = 'false',
        k.source = 'sync' and k.missing_since is not null)) as next_active,
      -- And what a person switched on again after that stays on.
      k.is_active and not k.is_pinned and not k.is_listed and coalesce(k.told ->> 'is_active', 'true') = 'true' as is_gone
    from known as k
  )
  select
    case when m.is_gone and m.missing_since is not null then 'deactivated'
         when m.is_gone then 'missing'
         when row (m.model_name, m.capabilities, m.pricing, m.is_active, m.replaced_by, m.retires_on)
           is distinct from row (m.next_name, m.next_capabilities, m.next_pricing, m.next_active, m.new_replaced_by, m.new_retires_on)
           then 'updated'
         when m.is_listed then 'seen' else 'kept' end,
    m.id, m.next_active and not (m.is_gone and m.missing_since is not null), m.is_listed, m.is_gone,
    m.next_name, m.next_capabilities, m.next_pricing, m.new_replaced_by, m.new_retires_on,
    case when m.is_listed then coalesce(m.told, '{}') || jsonb_build_object('is_active', true,
        'model_name', coalesce(m.new_name, m.told ->> 'model_name', m.model_name),
        'capabilities', coalesce(m.told -> 'capabilities', '{}') || coalesce(m.new_capabilities, '{}'),
        'pricing', coalesce(m.new_pricing, nullif(m.told -> 'pricing', 'null'), case when m.told is null then m.pricing end))
      when m.is_gone and m.missing_since is not null then coalesce(m.told, '{}') || '{"is_active": false}'
      else m.told end,
    case when m.is_gone and m.missing_since is not null then
        'deactivated ' || m.model_key || coalesce(', replaced by ' || m.new_replaced_by, '')
      when m.is_gone then m.model_key || ' is missing for the first time'
      else 'updated ' || m.model_key || ': ' || concat_ws('; ',
        case when m.next_name <> m.model_name then format('name "%s" is now "%s"', m.model_name, m.next_name) end,
        case when m.next_pricing is distinct from m.pricing then
          format('price %s is now %s', private.price_words(m.pricing), private.price_words(m.next_pricing)) end,
        case when m.next_capabilities <> m.capabilities then 'capabilities ' || (
          select string_agg(format('%s %s', c.name, c.value), ', ') from jsonb_each(m.next_capabilities) as c (name, value)
          where c.value is distinct from m.capabilities -> c.name) end,
        case when m.next_active and not m.is_active then 'active again' end,
        case when m.new_retires_on is distinct from m.retires_on then 'retires on ' || m.new_retires_on end,
        case when m.new_replaced_by is distinct from m.replaced_by then 'replaced by ' || m.new_replaced_by end) end
  from merged as m
$$;
comment on function private.plan_known(text, bigint, jsonb, jsonb) is
  'Each row of a provider or node: seen, updated, missing (first run without it), deactivated (second) or kept, with what it becomes.';

create function private.free_key(p_provider text, p_upstream_id text, p_key text, p_rank bigint) returns text
  language sql stable security invoker set search_path = ''
as $$
  select k.key from (values (p_key, 1), (left(p_key, 150) || '-' || p_provider, 2),
      (left(p_key, 150) || '-' || substr(md5(p_provider || ':' || p_upstream_id), 1, 8), 3)) as k (key, place)
  where k.place = 3 or (p_rank = 1 and k.key not in ('auto', 'cheap', 'fast', 'best', 'default', 'general', 'technical', 'research')
    and not exists (select from public.llm_models as m where m.model_key = k.key)
    and not exists (select from public.llm_routes as r where r.alias = k.key))
  order by k.place limit 1
$$;
comment on function private.free_key(text, text, text, bigint) is
  'The key a new model gets: the readable one, else with its provider, else with a digest of its identifier; a row keeps its key for ever.';

create function private.plan_new(p_provider text, p_node_id bigint, p_listed jsonb, p_retirements jsonb)
  returns table (model_key text, model_name text, upstream_id text, capabilities jsonb, pricing jsonb, retires_on date, replaced_by text)
  language sql stable security invoker set search_path = ''
as $$
  -- Two names may become one key only here: then both bear a digest.
  select case when count(*) over (partition by n.key) > 1
      then left(n.key, 150) || '-' || substr(md5(p_provider || ':' || n.upstream_id), 1, 8) else n.key end,
    n.model_name, n.upstream_id, n.capabilities, n.pricing, n.retires_on, n.replaced_by
  from (
  select case when p_node_id is not null then l.model_key else private.free_key(p_provider, l.upstream_id, l.model_key,
      row_number() over (partition by l.model_key order by l.upstream_id)) end as key,
    coalesce(l.model_name, l.upstream_id) as model_name, l.upstream_id, coalesce(l.capabilities, '{}') as capabilities, l.pricing,
    coalesce(l.retires_on, r.retires_on) as retires_on, r.replaced_by
  from jsonb_to_recordset(p_listed) as l
    (upstream_id text, model_key text, model_name text, capabilities jsonb, pricing jsonb, retires_on date, is_addable boolean)
  left join jsonb_to_recordset(p_retirements) as r (upstream_id text, retires_on date, replaced_by text)
    on r.upstream_id = l.upstream_id
  -- A retirement without a day has been.
  where l.is_addable and coalesce(coalesce(l.retires_on, r.retires_on) > (now() at time zone 'utc')::date, r.upstream_id is null)
    and not exists (select from public.llm_models as m where m.provider = p_provider
      and m.node_id is not distinct from p_node_id and m.upstream_id = l.upstream_id)
  ) as n
  order by n.upstream_id
$$;
comment on function private.plan_new(text, bigint, jsonb, jsonb) is 'Rows that a list adds; models that have retired are not added.';

revoke execute on function private.price_words(jsonb), private.told_capabilities(public.llm_models, jsonb),
  private.plan_known(text, bigint, jsonb, jsonb), private.free_key(text, text, text, bigint),
  private.plan_new(text, bigint, jsonb, jsonb)
  from public, anon, authenticated, service_role;
