-- Purpose: a default that LLM_PROVIDER asks for is told among a run's changes, and in a dry run before it is made.
-- Affects: function public.adopt_default(text, text) replaced by adopt_default(text, text, boolean)
-- Access: the service only; definer because it may not change rows it does not name.

drop function public.adopt_default(text, text);
create function public.adopt_default(provider_name text, model_id text, dry_run boolean default false) returns jsonb
  language plpgsql volatile security definer set search_path = ''
as $$
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
      -- Not listed yet: its price and what it can do stay unknown until a refresh or a person tells.
      insert into public.llm_models (model_key, model_name, provider, upstream_id, display_order, source)
        values (private.free_key(provider_name, model_id, v_readable, 1), model_id, provider_name, model_id, 20, 'sync')
        returning * into v_wanted;
      v_added := format('added %s "%s" (%s)', v_wanted.model_key, v_wanted.model_name, private.price_words(null));
    end if;
    update public.llm_models as m set is_default = true, default_by = 'settings'
      where m.id = v_wanted.id and m.is_active and not m.is_default;
    if dry_run then
      raise exception using errcode = 'PDRY0';
    end if;
  exception when sqlstate 'PDRY0' then
    null;  -- undone; the variables know what would have been
  end;
  return jsonb_build_object('identifier', (select m.identifier from public.llm_models as m where m.is_default),
    'added', (v_added is not null)::integer, 'changes', to_jsonb(array_remove(array[v_added,
    case when v_wanted.is_active and not v_wanted.is_default
      then format('the default is now %s instead of %s', v_wanted.model_key, coalesce(v_before.model_key, 'none')) end], null)));
end
$$;
comment on function public.adopt_default(text, text, boolean) is
  'Makes this model the default unless a person chose one; adds it when nothing lists it. Returns {identifier: the default''s, '
  'added, changes: [words]}; with dry_run what it would do.';
revoke execute on function public.adopt_default(text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.adopt_default(text, text, boolean) to service_role;
