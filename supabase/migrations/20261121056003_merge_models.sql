-- Purpose: one provider's list becomes catalogue rows in one transaction, and the default is always an active model.
-- Affects: functions private.choose_heir(), private.check_list(), public.merge_models()
-- Access: the service only; definer because the lease is granted to nobody.

create function private.choose_heir(p_id integer, p_leaving integer[], p_usable text[]) returns integer
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
  order by n.depth, not m.provider = any (p_usable), m.missing_since is not null, m.display_order, m.id
  limit 1
$$;
comment on function private.choose_heir(integer, integer[], text[]) is
  'Who succeeds this model as default: what replaced it, else the next by display_order, of a provider that is configured if '
  'there is any; null when no other model is active.';

create function private.check_list(p_provider text, p_node_id bigint, p_listed jsonb) returns void
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_active bigint;
  v_present bigint;
begin
  -- Counted are models that a list has shown before: what the seed hopes for is no evidence against a list.
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
comment on function private.check_list(text, bigint, jsonb) is 'Refuses a list that is empty or lacks more than half of the models that were listed before.';

create function public.merge_models(merge jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_provider text := merge ->> 'provider';
  v_node_id bigint := (merge ->> 'node_id')::bigint;
  v_retirements jsonb := coalesce(merge -> 'retirements', '[]');
  v_listed jsonb;
  v_plan jsonb;
  v_new jsonb;
  v_default public.llm_models;
  v_heir integer;
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
          'pricing', nullif(n.pricing, 'null'), 'is_active', true)
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
    -- The heir first: at no instant is there no default, or one that is not active.
    select m.* into v_default from public.llm_models as m join jsonb_to_recordset(v_plan) as p (action text, id integer)
      on p.id = m.id and p.action = 'deactivated' where m.is_default;
    if v_default.id is not null then
      v_heir := private.choose_heir(v_default.id, array(select p.id from jsonb_to_recordset(v_plan) as p (action text, id integer)
        where p.action = 'deactivated'), array(select jsonb_array_elements_text(coalesce(merge -> 'usable', '[]'))));
      update public.llm_models as m set is_default = true, default_by = 'sync' where m.id = v_heir;
    end if;
    -- Nobody may have left the catalogue without a default that serves, by whatever way.
    if v_default.id is null and not exists (
        select from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id
        where m.is_default and m.is_active and (m.node_id is null or n.is_active)) then
      select m.* into v_default from public.llm_models as m where m.is_default;
      v_heir := private.choose_heir(coalesce(v_default.id, 0), array(select p.id from jsonb_to_recordset(v_plan) as p (action text, id integer)
        where p.action = 'deactivated'), array(select jsonb_array_elements_text(coalesce(merge -> 'usable', '[]'))));
      update public.llm_models as m set is_default = true, default_by = 'sync' where m.id = v_heir;
      if v_heir is null then
        v_default := null;
      end if;
    end if;
    update public.llm_models as m set is_active = false, replaced_by = coalesce(m.replaced_by,
          case when m.id = v_default.id then (select h.model_key from public.llm_models as h where h.id = v_heir) end)
      from jsonb_to_recordset(v_plan) as p (action text, id integer)
      where m.id = p.id and p.action = 'deactivated' and not m.is_default;
    select coalesce(jsonb_agg(w.words order by w.place, w.words), '[]') into v_words from (
      select format('added %s "%s" (%s)', n.model_key, n.model_name, private.price_words(nullif(n.pricing, 'null'))) as words, 1 as place
        from jsonb_to_recordset(v_new) as n (model_key text, model_name text, pricing jsonb)
      union all
      select p.words, 2 from jsonb_to_recordset(v_plan) as p (action text, id integer, words text)
        where p.action in ('updated', 'missing', 'deactivated') and (v_heir is not null or p.id is distinct from v_default.id)
      union all
      select format('the default is now %s instead of %s', h.model_key, coalesce(v_default.model_key, 'none')), 3
        from public.llm_models as h where h.id = v_heir
      union all
      select format('%s is gone, but stays: it is the default and no other model is active', v_default.model_key), 3
        where v_default.id is not null and v_heir is null) as w;
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
      - (v_default.id is not null and v_heir is null)::integer);
end
$$;
comment on function public.merge_models(jsonb) is
  'Brings a provider''s or node''s rows up to its list: {provider, node_id, listed: [{upstream_id, model_key, model_name, '
  'capabilities, pricing, retires_on, is_addable}], retirements: [{upstream_id, retires_on, replaced_by}], usable: [provider], '
  'fence, dry_run}. Returns {added, updated, missing, deactivated, changes}. Refuses implausible lists and runs whose lease has ended.';

revoke execute on function private.choose_heir(integer, integer[], text[]), private.check_list(text, bigint, jsonb),
  public.merge_models(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.merge_models(jsonb) to service_role;
