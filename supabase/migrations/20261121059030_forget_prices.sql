-- Purpose: a price that nobody tells any more becomes unknown, and an heir that a run appointed gives way to a named one.
-- Affects: function private.plan_known() (replaced); told has price_seen (false after one run without a price) and heir
-- Access: called by merge_models only.

create or replace function private.plan_known(p_provider text, p_node_id bigint, p_listed jsonb, p_retirements jsonb)
  returns table (action text, id integer, is_active boolean, is_listed boolean, is_missing boolean, model_name text, capabilities jsonb, pricing jsonb,
                 replaced_by text, retires_on date, told jsonb, words text)
  language sql stable security invoker set search_path = ''
as $$
  with known as (
    select m as row, m.*, l.upstream_id is not null as is_listed, l.model_name as new_name, l.capabilities as new_capabilities,
      l.pricing as new_pricing, case when m.source = 'manual' then m.retires_on else coalesce(l.retires_on, r.retires_on, m.retires_on) end as new_retires_on,
      r.replaced_by as known_heir, m.source = 'manual' as is_pinned,
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
        then k.pricing
        -- As with models, once untold is no evidence: the second run without it makes a price unknown.
        when k.new_pricing is null and k.told ->> 'price_seen' = 'false' then null
        else coalesce(k.new_pricing, k.pricing) end as next_pricing,
      -- Only what refresh itself switched off does it switch on again.
      k.is_active or (k.is_listed and not k.is_pinned and coalesce(k.told ->> 'is_active' = 'false',
        k.source = 'sync' and k.missing_since is not null)) as next_active,
      -- And what a person switched on again after that stays on.
      k.is_active and not k.is_pinned and not k.is_listed and coalesce(k.told ->> 'is_active', 'true') = 'true' as is_gone
    from known as k
  ), planned as (
    select m.*,
      case when m.is_pinned then m.replaced_by
           -- Whom a run appointed only because nobody was named gives way to who is, and goes when the model is back.
           when m.replaced_by = m.told ->> 'heir' then coalesce(m.known_heir, case when not m.next_active then m.replaced_by end)
           else coalesce(m.replaced_by, m.known_heir) end as new_replaced_by
    from merged as m
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
    case when m.is_listed then coalesce(m.told, '{}') - 'heir' || jsonb_build_object('is_active', true,
        'price_seen', case when m.new_pricing is not null then true when m.told ->> 'price_seen' = 'true' then false end,
        'model_name', coalesce(m.new_name, m.told ->> 'model_name', m.model_name),
        'capabilities', coalesce(m.told -> 'capabilities', '{}') || coalesce(m.new_capabilities, '{}'),
        'pricing', coalesce(m.new_pricing, case when m.told is null then m.pricing
          when m.told ->> 'price_seen' is distinct from 'false' then nullif(m.told -> 'pricing', 'null') end))
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
        case when m.new_replaced_by is distinct from m.replaced_by then 'replaced by ' || coalesce(m.new_replaced_by, 'none') end) end
  from planned as m
$$;
