-- Purpose: merges a provider's list of models into the catalogue, and updates the default.
-- Affects: public.merge_models(), public.adopt_default(), public.diagnose_catalogue()
-- Access: the service merges; diagnose_catalogue() reads as its caller.

create function private.validate_model_list(p_provider text, p_node_id bigint, p_listed jsonb) returns void
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_active bigint;
  v_present bigint;
begin
  -- Only models that an earlier list contained count, because a list may always have lacked a seed model.
  select count(*), count(*) filter (where exists (select from jsonb_to_recordset(p_listed) as l (upstream_id text)
      where l.upstream_id = m.upstream_id))
    into v_active, v_present
    from public.llm_models as m
    where m.provider = p_provider and m.node_id is not distinct from p_node_id
      and m.is_active and m.source <> 'manual' and m.last_synced_at is not null;
  if jsonb_array_length(p_listed) = 0 then
    perform private.refuse('PT422', 'validation_failed', 'The list is empty; nothing was changed.');
  elsif 2 * v_present < v_active then
    perform private.refuse('PT422', 'validation_failed',
      format('The list has %s of %s active models, fewer than half; nothing was changed.', v_present, v_active));
  end if;
end
$$;
comment on function private.validate_model_list(text, bigint, jsonb) is
  'Refuses a list that is empty or lacks more than half of the models listed before.';
revoke execute on function private.validate_model_list from public, anon, authenticated, service_role;

create function private.unused_model_key(p_provider text, p_upstream_id text, p_key text, p_rank bigint) returns text
  language sql stable security invoker set search_path = '' as $$
  select k.key from (values (p_key, 1), (left(p_key, 150) || '-' || p_provider, 2),
      (left(p_key, 150) || '-' || substr(md5(p_provider || ':' || p_upstream_id), 1, 8), 3)) as k (key, place)
  where k.place = 3 or (p_rank = 1 and k.key not in ('auto', 'cheap', 'fast', 'best', 'default', 'general', 'technical',
    'research')
    and not exists (select from public.llm_models as m where m.model_key = k.key)
    and not exists (select from public.llm_routes as r where r.alias = k.key))
  order by k.place limit 1
$$;
comment on function private.unused_model_key(text, text, text, bigint) is
  'The key of a new model: the readable one, else with its provider, else with a digest of its identifier. A row '
  'keeps its key.';
revoke execute on function private.unused_model_key from public, anon, authenticated, service_role;

create function private.plan_known_models(p_provider text, p_node_id bigint, p_listed jsonb, p_retirements jsonb)
  returns table (action text, id integer, is_active boolean, is_listed boolean, is_missing boolean, model_name text,
    capabilities jsonb, pricing jsonb,
                 replaced_by text, retires_on date, synced_values jsonb, words text)
  language sql stable security invoker set search_path = '' as $$
  with known as (
    select m as row, m.*, l.upstream_id is not null as is_listed, l.model_name as new_name,
      l.capabilities as new_capabilities,
      l.pricing as new_pricing, case when m.source = 'manual' then m.retires_on
        else coalesce(l.retires_on, r.retires_on, m.retires_on) end as new_retires_on,
      r.replaced_by as known_successor, m.source = 'manual' as is_pinned,
      m.source = 'seed' and m.matcha_llm_id is not null as is_named
    from public.llm_models as m
    left join jsonb_to_recordset(p_listed) as l
      (upstream_id text, model_name text, capabilities jsonb, pricing jsonb,
        retires_on date) on l.upstream_id = m.upstream_id
    left join jsonb_to_recordset(p_retirements) as r (upstream_id text, retires_on date, replaced_by text)
      on r.upstream_id = m.upstream_id
    where m.provider = p_provider and m.node_id is not distinct from p_node_id
  ), merged as (
    select k.*,
      case when k.is_pinned or k.is_named or not k.is_listed
          or (k.synced_values ? 'model_name' and k.synced_values ->> 'model_name' is distinct from k.model_name)
        then k.model_name else coalesce(k.new_name, k.model_name) end as next_name,
      case when k.is_pinned or not k.is_listed then k.capabilities
        else private.merge_capabilities(k.row, k.new_capabilities) end as next_capabilities,
      case when k.is_pinned or not k.is_listed
          or (k.synced_values ? 'pricing' and nullif(k.synced_values -> 'pricing', 'null') is distinct from k.pricing)
        then k.pricing
        -- The second run in a row without a price makes the price unknown.
        when k.new_pricing is null and k.synced_values ->> 'price_seen' = 'false' then null
        else coalesce(k.new_pricing, k.pricing) end as next_pricing,
      -- Refresh activates only what it deactivated itself.
      k.is_active or (k.is_listed and not k.is_pinned and coalesce(k.synced_values ->> 'is_active' = 'false',
        k.source = 'sync' and k.missing_since is not null)) as next_active,
      -- A model that an admin activated again stays active.
      k.is_active and not k.is_pinned and not k.is_listed
        and coalesce(k.synced_values ->> 'is_active', 'true') = 'true' as is_gone
    from known as k
  ), planned as (
    select m.*,
      case when m.is_pinned then m.replaced_by
           -- A named successor replaces one that a run chose. The chosen one is removed when the model is listed again.
           when m.replaced_by = m.synced_values ->> 'successor'
             then coalesce(m.known_successor, case when not m.next_active
             then m.replaced_by end)
           else coalesce(m.replaced_by, m.known_successor) end as new_replaced_by
    from merged as m
  )
  select
    case when m.is_gone and m.missing_since is not null then 'deactivated'
         when m.is_gone then 'missing'
         when row (m.model_name, m.capabilities, m.pricing, m.is_active, m.replaced_by, m.retires_on)
           is distinct from row (m.next_name, m.next_capabilities, m.next_pricing, m.next_active, m.new_replaced_by,
             m.new_retires_on)
           then 'updated'
         when m.is_listed then 'seen' else 'kept' end,
    m.id, m.next_active and not (m.is_gone and m.missing_since is not null), m.is_listed, m.is_gone,
    m.next_name, m.next_capabilities, m.next_pricing, m.new_replaced_by, m.new_retires_on,
    case when m.is_listed then coalesce(m.synced_values, '{}') - 'successor' || jsonb_build_object('is_active', true,
        'price_seen', case when m.new_pricing is not null then true when m.synced_values ->> 'price_seen' = 'true'
          then false end,
        'model_name', coalesce(m.new_name, m.synced_values ->> 'model_name', m.model_name),
        'capabilities', coalesce(m.synced_values -> 'capabilities', '{}') || coalesce(m.new_capabilities, '{}'),
        'pricing', coalesce(m.new_pricing, case when m.synced_values is null then m.pricing
          when m.synced_values ->> 'price_seen' is distinct from 'false'
            then nullif(m.synced_values -> 'pricing', 'null') end))
      when m.is_gone and m.missing_since is not null then coalesce(m.synced_values, '{}') || '{"is_active": false}'
      else m.synced_values end,
    case when m.is_gone and m.missing_since is not null then
        'deactivated ' || m.model_key || coalesce(', replaced by ' || m.new_replaced_by, '')
      when m.is_gone then m.model_key || ' is missing for the first time'
      else 'updated ' || m.model_key || ': ' || concat_ws('; ',
        case when m.next_name <> m.model_name then format('name "%s" is now "%s"', m.model_name, m.next_name) end,
        case when m.next_pricing is distinct from m.pricing then
          format('price %s is now %s', private.price_text(m.pricing), private.price_text(m.next_pricing)) end,
        case when m.next_capabilities <> m.capabilities then 'capabilities ' || (
          select string_agg(format('%s %s', c.name, c.value), ', ')
            from jsonb_each(m.next_capabilities) as c (name, value)
          where c.value is distinct from m.capabilities -> c.name) end,
        case when m.next_active and not m.is_active then 'active again' end,
        case when m.new_retires_on is distinct from m.retires_on then 'retires on ' || m.new_retires_on end,
        case when m.new_replaced_by is distinct from m.replaced_by then 'replaced by '
          || coalesce(m.new_replaced_by, 'none') end) end
  from planned as m
$$;
comment on function private.plan_known_models(text, bigint, jsonb, jsonb) is
  'The next values of each row of a provider or node, and whether it is seen, updated, missing (first run without '
  'it), deactivated (second run) or kept.';
revoke execute on function private.plan_known_models from public, anon, authenticated, service_role;

create function private.plan_new_models(p_provider text, p_node_id bigint, p_listed jsonb, p_retirements jsonb)
  returns table (model_key text, model_name text, upstream_id text, capabilities jsonb, pricing jsonb, retires_on date,
    replaced_by text)
  language sql stable security invoker set search_path = '' as $$
  -- Two names of one list may give the same key: then both get a digest.
  select case when count(*) over (partition by n.key) > 1
      then left(n.key, 150) || '-' || substr(md5(p_provider || ':' || n.upstream_id), 1, 8) else n.key end,
    n.model_name, n.upstream_id, n.capabilities, n.pricing, n.retires_on, n.replaced_by
  from (
  select case when p_node_id is not null then l.model_key
    else private.unused_model_key(p_provider, l.upstream_id, l.model_key,
      row_number() over (partition by l.model_key order by l.upstream_id)) end as key,
    coalesce(l.model_name, l.upstream_id) as model_name, l.upstream_id, coalesce(l.capabilities, '{}') as capabilities,
      l.pricing,
    coalesce(l.retires_on, r.retires_on) as retires_on, r.replaced_by
  from jsonb_to_recordset(p_listed) as l
    (upstream_id text, model_key text, model_name text, capabilities jsonb, pricing jsonb, retires_on date,
      is_addable boolean)
  left join jsonb_to_recordset(p_retirements) as r (upstream_id text, retires_on date, replaced_by text)
    on r.upstream_id = l.upstream_id
  -- A retirement without a day has already happened.
  where l.is_addable and coalesce(coalesce(l.retires_on, r.retires_on) > (now() at time zone 'utc')::date,
    r.upstream_id is null)
    and not exists (select from public.llm_models as m where m.provider = p_provider
      and m.node_id is not distinct from p_node_id and m.upstream_id = l.upstream_id)
  ) as n
  order by n.upstream_id
$$;
comment on function private.plan_new_models(text, bigint, jsonb, jsonb) is
  'Rows that a list adds; retired models are not added.';
revoke execute on function private.plan_new_models from public, anon, authenticated, service_role;

create function private.next_default(p_id integer, p_leaving integer[], p_usable text[]) returns integer
  language sql stable security invoker set search_path = '' as $$
  with recursive named (id, replaced_by, depth) as (
    select m.id, m.replaced_by, 0 from public.llm_models as m where m.id = p_id
    union all
    select m.id, m.replaced_by, n.depth + 1
      from named as n join public.llm_models as m on m.model_key = n.replaced_by where n.depth < 5)
  select m.id
  from public.llm_models as m left join named as n on n.id = m.id left join public.client_nodes as c on c.id = m.node_id
  where m.is_active and m.id <> p_id and m.id <> all (p_leaving) and coalesce(c.is_active, m.node_id is null)
  order by n.depth, not m.provider = any (p_usable), m.missing_since is not null,
    coalesce(m.retires_on <= (now() at time zone 'utc')::date, false), m.display_order, m.id
  limit 1
$$;
comment on function private.next_default(integer, integer[], text[]) is
  'The model that succeeds this one as default: its replacement, else the next by display_order, of a configured '
  'provider if there is one; null when no other model is active.';
revoke execute on function private.next_default from public, anon, authenticated, service_role;

create function public.merge_models(merge jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_provider text := merge ->> 'provider';
  v_node_id bigint := (merge ->> 'node_id')::bigint;
  v_retirements jsonb := coalesce(merge -> 'retirements', '[]');
  v_listed jsonb;
  v_plan jsonb;
  v_new jsonb;
  v_leaving integer[];
  v_default public.llm_models;
  v_successor public.llm_models;
  v_words jsonb;
begin
  perform private.hold_lease('refresh', (merge ->> 'fence')::bigint);
  select coalesce(jsonb_agg(d.entry), '[]') into v_listed from (
    select distinct on (l.entry ->> 'upstream_id') l.entry
    from jsonb_array_elements(merge -> 'listed') with ordinality as l (entry, place)
    order by l.entry ->> 'upstream_id', l.place) as d;
  -- Locked before it is read, so that concurrent edits of an admin are not overwritten.
  perform from public.llm_models as m
    where m.provider = v_provider and m.node_id is not distinct from v_node_id order by m.id for update;
  perform private.validate_model_list(v_provider, v_node_id, v_listed);
  begin
    select coalesce(jsonb_agg(to_jsonb(p)), '[]') into v_plan
      from private.plan_known_models(v_provider, v_node_id, v_listed, v_retirements) as p;
    select coalesce(jsonb_agg(to_jsonb(n)), '[]') into v_new
      from private.plan_new_models(v_provider, v_node_id, v_listed, v_retirements) as n;
    insert into public.llm_models as m (model_key, model_name, provider, upstream_id, node_id, capabilities, pricing,
        retires_on, replaced_by, source, last_synced_at, matcha_llm_id, synced_values)
      select n.model_key, n.model_name, v_provider, n.upstream_id, v_node_id, n.capabilities, nullif(n.pricing, 'null'),
        n.retires_on, n.replaced_by, 'sync', now(),
        case when v_provider = 'matcha' and not exists (select from public.llm_models as o
          where o.matcha_llm_id::text = n.upstream_id) then n.upstream_id::integer end,
        jsonb_build_object('model_name', n.model_name, 'capabilities', n.capabilities,
          'pricing', nullif(n.pricing, 'null'), 'price_seen', case when nullif(n.pricing, 'null') is not null
            then true end, 'is_active', true)
      from jsonb_to_recordset(v_new) as n (model_key text, model_name text, upstream_id text, capabilities jsonb,
        pricing jsonb, retires_on date, replaced_by text);
    update public.llm_models as m
      set model_name = p.model_name, capabilities = p.capabilities, pricing = nullif(p.pricing, 'null'),
        synced_values = p.synced_values,
          replaced_by = p.replaced_by, retires_on = p.retires_on, is_active = m.is_active or p.is_active,
          missing_since = case when p.is_missing then coalesce(m.missing_since, now()) when not p.is_listed
            then m.missing_since end,
          last_synced_at = case when p.is_listed then now() else m.last_synced_at end
      from jsonb_to_recordset(v_plan) as p (action text, id integer, is_active boolean, is_listed boolean,
        is_missing boolean, model_name text,
        capabilities jsonb, pricing jsonb, replaced_by text, retires_on date, synced_values jsonb)
      where m.id = p.id and p.action <> 'kept';
    v_leaving := array(select p.id from jsonb_to_recordset(v_plan) as p (action text, id integer)
      where p.action = 'deactivated');
    select m.* into v_default from public.llm_models as m where m.is_default;
    -- The new default first, so that there is always an active default, whatever made the old one unusable.
    if v_default.id = any (v_leaving) or not private.is_served(v_default) then
      select m.* into v_successor from public.llm_models as m
        where m.id = private.next_default(coalesce(v_default.id, 0), v_leaving,
        array(select jsonb_array_elements_text(coalesce(merge -> 'usable', '[]'))));
      update public.llm_models as m set is_default = true, default_by = 'sync' where m.id = v_successor.id;
    end if;
    update public.llm_models as m set is_active = false where m.id = any (v_leaving) and not m.is_default;
    update public.llm_models as m set replaced_by = v_successor.model_key,
      synced_values = coalesce(m.synced_values, '{}')
      || jsonb_build_object('successor', v_successor.model_key)
      where m.id = v_default.id and m.id = any (v_leaving) and v_successor.id is not null and m.replaced_by is null;
    select coalesce(jsonb_agg(w.words order by w.place, w.words), '[]') into v_words from (
      select format('added %s "%s" (%s)', n.model_key, n.model_name,
        private.price_text(nullif(n.pricing, 'null'))) as words, 1 as place
        from jsonb_to_recordset(v_new) as n (model_key text, model_name text, pricing jsonb)
      union all
      select p.words, 2 from jsonb_to_recordset(v_plan) as p (action text, id integer, words text)
        where p.action in ('updated', 'missing')
          or (p.action = 'deactivated' and (v_successor.id is not null or p.id is distinct from v_default.id))
      union all
      select format('the default is now %s instead of %s', v_successor.model_key,
        coalesce(v_default.model_key, 'none')), 3
        where v_successor.id is not null
      union all
      select format('%s is gone, but stays: it is the default and no other model is active', v_default.model_key), 3
        where v_default.id = any (v_leaving) and v_successor.id is null) as w;
    if coalesce((merge ->> 'dry_run')::boolean, false) then
      raise exception using errcode = 'PDRY0';
    end if;
  exception when sqlstate 'PDRY0' then
    null;  -- rolls back the writes; the variables keep the result
  end;
  return jsonb_build_object('added', jsonb_array_length(v_new), 'changes', v_words,
    'updated', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "updated")')),
    'missing', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "missing")')),
    'deactivated', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "deactivated")'))
      - coalesce(v_default.id = any (v_leaving) and v_successor.id is null, false)::integer);
end
$$;
comment on function public.merge_models(jsonb) is
  'Merges the list of a provider or node into the catalogue. merge: {provider, node_id, listed: [{upstream_id, '
  'model_key, model_name, capabilities, pricing, retires_on, is_addable}], retirements: [{upstream_id, retires_on, '
  'replaced_by}], usable: [provider], fence, dry_run}. Returns {added, updated, missing, deactivated, changes}. '
  'Refuses implausible lists and runs whose lease has ended.';
revoke execute on function public.merge_models from public, anon, authenticated, service_role;
grant execute on function public.merge_models(jsonb) to service_role;

create function public.adopt_default(provider_name text, model_id text, dry_run boolean default false) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_readable text := trim(both '-' from regexp_replace(lower(model_id), '[^a-z0-9]+', '-', 'g'));
  v_before public.llm_models;
  v_wanted public.llm_models;
  v_added text;
begin
  if coalesce(provider_name !~ '^[a-z][a-z0-9_-]{0,39}$' or provider_name = 'client' or v_readable = ''
      or char_length(model_id) > 150, true) then
    perform private.refuse('PT422', 'validation_failed', 'A default is a provider''s name and a model''s.');
  end if;
  select m.* into v_before from public.llm_models as m where m.is_default;
  if v_before.default_by = 'person' then
    return jsonb_build_object('identifier', v_before.identifier, 'added', 0, 'changes', '[]'::jsonb);
  end if;
  begin
    select m.* into v_wanted from public.llm_models as m
      where m.provider = provider_name and model_id in (m.upstream_id, m.model_key)
      order by m.upstream_id = model_id desc limit 1;
    if v_wanted.id is null then
      -- Not listed yet: price and capabilities stay unknown until a refresh or an admin sets them.
      insert into public.llm_models (model_key, model_name, provider, upstream_id, display_order, source)
        values (private.unused_model_key(provider_name, model_id, v_readable, 1), model_id, provider_name, model_id, 20,
          'sync')
        returning * into v_wanted;
      v_added := format('added %s "%s" (%s)', v_wanted.model_key, v_wanted.model_name, private.price_text(null));
    end if;
    update public.llm_models as m set is_default = true, default_by = 'settings'
      where m.id = v_wanted.id and m.is_active and not m.is_default;
    if dry_run then
      raise exception using errcode = 'PDRY0';
    end if;
  exception when sqlstate 'PDRY0' then
    null;  -- rolls back the writes; the variables keep the result
  end;
  return jsonb_build_object('identifier', (select m.identifier from public.llm_models as m where m.is_default),
    'added', (v_added is not null)::integer, 'changes', to_jsonb(array_remove(array[v_added,
    case when v_wanted.is_active and not v_wanted.is_default
      then format('the default is now %s instead of %s', v_wanted.model_key, coalesce(v_before.model_key, 'none')) end],
        null)));
end
$$;
comment on function public.adopt_default(text, text, boolean) is
  'Makes this model the default unless an admin chose one; adds it when no list has it. Returns {identifier (of the '
  'default), added, changes: [text]}; with dry_run what it would do.';
revoke execute on function public.adopt_default from public, anon, authenticated, service_role;
grant execute on function public.adopt_default(text, text, boolean) to service_role;

create function public.diagnose_catalogue() returns jsonb
  language sql volatile security invoker set search_path = '' as $$
  select jsonb_build_object(
    'now', clock_timestamp(),
    'default', (select jsonb_build_object('model_key', m.model_key, 'identifier', m.identifier, 'provider', m.provider,
        'is_active', m.is_active, 'missing_since', m.missing_since, 'retires_on', m.retires_on,
        'is_node_active', case when m.node_id is not null then coalesce(n.is_active, false) end)
      from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id where m.is_default),
    'unpriced', (select coalesce(jsonb_agg(m.model_key order by m.display_order, m.id), '[]')
      from public.llm_models as m where m.is_active and m.pricing is null),
    'last_run', (select jsonb_build_object('status', r.status, 'trigger', r.trigger, 'started_at', r.started_at,
      'finished_at', r.finished_at)
      from public.refresh_runs as r where not r.is_dry_run order by r.started_at desc limit 1),
    'last_good_run', (select max(r.finished_at) from public.refresh_runs as r
      where r.status = 'succeeded' and r.steps ? 'models' and not r.is_dry_run),
    'open_circuits', (select coalesce(jsonb_agg(jsonb_build_object('provider_key', h.provider_key, 'reason', h.reason,
        'open_until', h.open_until, 'is_shared', h.sole_user_id is null) order by h.provider_key), '[]')
      from public.provider_health as h where h.open_until > now()))
$$;
comment on function public.diagnose_catalogue() is
  '{now, default, unpriced, last_run, last_good_run, open_circuits} as the caller may see them. is_shared says that '
  'a circuit is open for everyone. Volatile, because now is the clock.';
revoke execute on function public.diagnose_catalogue from public, anon, authenticated, service_role;
grant execute on function public.diagnose_catalogue() to authenticated;
