-- Purpose: who succeeds a default is decided in one place, not among the retired where others are, and is noted as the run's own choice.
-- Affects: functions private.is_served() (new), choose_heir(), public.merge_models() (replaced)
-- Access: as before: the service only.

create function private.is_served(p_model public.llm_models) returns boolean
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(p_model.is_active and (p_model.node_id is null
    or exists (select from public.client_nodes as n where n.id = p_model.node_id and n.is_active)), false)
$$;
comment on function private.is_served(public.llm_models) is 'Whether it is active, and so is the node it lives on.';

create or replace function private.choose_heir(p_id integer, p_leaving integer[], p_usable text[]) returns integer
  language sql stable security invoker set search_path = ''
as $$
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

create or replace function public.merge_models(merge jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_provider text := merge ->> 'provider';
  v_node_id bigint := (merge ->> 'node_id')::bigint;
  v_retirements jsonb := coalesce(merge -> 'retirements', '[]');
  v_listed jsonb;
  v_plan jsonb;
  v_new jsonb;
  v_leaving integer[];
  v_default public.llm_models;
  v_heir public.llm_models;
  v_words jsonb;
begin
  perform private.hold_lease('refresh', (merge ->> 'fence')::bigint);
  select coalesce(jsonb_agg(d.entry), '[]') into v_listed from (
    select distinct on (l.entry ->> 'upstream_id') l.entry
    from jsonb_array_elements(merge -> 'listed') with ordinality as l (entry, place)
    order by l.entry ->> 'upstream_id', l.place) as d;
  -- Locked first, then read: what an admin is changing right now is seen, not overwritten.
  perform from public.llm_models as m
    where m.provider = v_provider and m.node_id is not distinct from v_node_id order by m.id for update;
  perform private.check_list(v_provider, v_node_id, v_listed);
  begin
    select coalesce(jsonb_agg(to_jsonb(p)), '[]') into v_plan
      from private.plan_known(v_provider, v_node_id, v_listed, v_retirements) as p;
    select coalesce(jsonb_agg(to_jsonb(n)), '[]') into v_new
      from private.plan_new(v_provider, v_node_id, v_listed, v_retirements) as n;
    insert into public.llm_models as m (model_key, model_name, provider, upstream_id, node_id, capabilities, pricing,
        retires_on, replaced_by, source, last_synced_at, matcha_llm_id, told)
      select n.model_key, n.model_name, v_provider, n.upstream_id, v_node_id, n.capabilities, nullif(n.pricing, 'null'),
        n.retires_on, n.replaced_by, 'sync', now(),
        case when v_provider = 'matcha' and not exists (select from public.llm_models as o
          where o.matcha_llm_id::text = n.upstream_id) then n.upstream_id::integer end,
        jsonb_build_object('model_name', n.model_name, 'capabilities', n.capabilities,
          'pricing', nullif(n.pricing, 'null'), 'price_seen', case when nullif(n.pricing, 'null') is not null then true end, 'is_active', true)
      from jsonb_to_recordset(v_new) as n (model_key text, model_name text, upstream_id text, capabilities jsonb,
        pricing jsonb, retires_on date, replaced_by text);
    update public.llm_models as m
      set model_name = p.model_name, capabilities = p.capabilities, pricing = nullif(p.pricing, 'null'), told = p.told,
          replaced_by = p.replaced_by, retires_on = p.retires_on, is_active = m.is_active or p.is_active,
          missing_since = case when p.is_missing then coalesce(m.missing_since, now()) when not p.is_listed then m.missing_since end,
          last_synced_at = case when p.is_listed then now() else m.last_synced_at end
      from jsonb_to_recordset(v_plan) as p (action text, id integer, is_active boolean, is_listed boolean, is_missing boolean, model_name text,
        capabilities jsonb, pricing jsonb, replaced_by text, retires_on date, told jsonb)
      where m.id = p.id and p.action <> 'kept';
    v_leaving := array(select p.id from jsonb_to_recordset(v_plan) as p (action text, id integer) where p.action = 'deactivated');
    select m.* into v_default from public.llm_models as m where m.is_default;
    -- The heir first: at no instant is there no default, or one that is not active. Nobody may have left the catalogue
    -- without one that serves, by whatever way.
    if v_default.id = any (v_leaving) or not private.is_served(v_default) then
      select m.* into v_heir from public.llm_models as m where m.id = private.choose_heir(coalesce(v_default.id, 0), v_leaving,
        array(select jsonb_array_elements_text(coalesce(merge -> 'usable', '[]'))));
      update public.llm_models as m set is_default = true, default_by = 'sync' where m.id = v_heir.id;
    end if;
    update public.llm_models as m set is_active = false where m.id = any (v_leaving) and not m.is_default;
    update public.llm_models as m set replaced_by = v_heir.model_key, told = coalesce(m.told, '{}') || jsonb_build_object('heir', v_heir.model_key)
      where m.id = v_default.id and m.id = any (v_leaving) and v_heir.id is not null and m.replaced_by is null;
    select coalesce(jsonb_agg(w.words order by w.place, w.words), '[]') into v_words from (
      select format('added %s "%s" (%s)', n.model_key, n.model_name, private.price_words(nullif(n.pricing, 'null'))) as words, 1 as place
        from jsonb_to_recordset(v_new) as n (model_key text, model_name text, pricing jsonb)
      union all
      select p.words, 2 from jsonb_to_recordset(v_plan) as p (action text, id integer, words text)
        where p.action in ('updated', 'missing')
          or (p.action = 'deactivated' and (v_heir.id is not null or p.id is distinct from v_default.id))
      union all
      select format('the default is now %s instead of %s', v_heir.model_key, coalesce(v_default.model_key, 'none')), 3
        where v_heir.id is not null
      union all
      select format('%s is gone, but stays: it is the default and no other model is active', v_default.model_key), 3
        where v_default.id = any (v_leaving) and v_heir.id is null) as w;
    if coalesce((merge ->> 'dry_run')::boolean, false) then
      raise exception using errcode = 'PDRY0';
    end if;
  exception when sqlstate 'PDRY0' then
    null;  -- everything above is undone, what was found out about it stays in the variables
  end;
  return jsonb_build_object('added', jsonb_array_length(v_new), 'changes', v_words,
    'updated', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "updated")')),
    'missing', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "missing")')),
    'deactivated', jsonb_array_length(jsonb_path_query_array(v_plan, '$[*] ? (@.action == "deactivated")'))
      - coalesce(v_default.id = any (v_leaving) and v_heir.id is null, false)::integer);
end
$$;

revoke execute on function private.is_served(public.llm_models) from public, anon, authenticated, service_role;
