-- Purpose: a policy that finds no able model says so, instead of that it does not exist.
-- Affects: function private.resolve_routes() (replaced)
-- Access: called by chat_begin only.

create or replace function private.resolve_routes(
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
    if p_is_strict and v.kind = 'requested' and v.model in ('auto', 'cheap', 'fast', 'best') then
      perform private.refuse('PT422', 'validation_failed', 'No active model can do what this turn asks for.');
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
