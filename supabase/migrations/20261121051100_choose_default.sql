-- Purpose: the default model a project starts with follows LLM_PROVIDER, until a person chooses one.
-- Affects: column public.llm_models.default_by; functions private.note_default(), public.adopt_default()
-- Access: the service adopts; admins choose by setting is_default.

alter table public.llm_models add column default_by text
  constraint llm_models_default_by_check check (default_by in ('seed', 'settings', 'sync', 'person'));
comment on column public.llm_models.default_by is
  'Who made it the default: the seed, LLM_PROVIDER (settings), a refresh run (sync) or a person; null while it is not.';
update public.llm_models set default_by = 'seed' where is_default;

create function private.note_default() returns trigger
  language plpgsql security invoker set search_path = ''
as $$
begin
  if not new.is_default then
    new.default_by := null;
  elsif current_user = 'authenticated' then
    new.default_by := 'person';  -- also when they confirm what is the default already
  elsif new.default_by is null then
    new.default_by := case when current_user = 'service_role' then 'sync' else 'person' end;
  end if;
  return new;
end
$$;
comment on function private.note_default() is 'Trigger: who made this model the default, unless the statement says so itself.';
revoke execute on function private.note_default() from public, anon, authenticated, service_role;

create trigger llm_models_note_default before insert or update of is_default, default_by on public.llm_models
  for each row execute function private.note_default();

create function public.adopt_default(provider_name text, model_id text) returns text
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_key text := trim(both '-' from regexp_replace(lower(model_id), '[^a-z0-9]+', '-', 'g'));
  v_is_free boolean := not exists (select 1 from public.llm_models as m where m.is_default and m.default_by = 'person');
begin
  if coalesce(provider_name !~ '^[a-z][a-z0-9_-]{0,39}$' or provider_name = 'client' or v_key = ''
      or char_length(model_id) > 150, true) then
    perform private.refuse('PT422', 'validation_failed', 'A default is a provider''s name and a model''s.');
  end if;
  if v_is_free and not exists (
    select 1 from public.llm_models as m
    where m.provider = provider_name and model_id in (m.upstream_id, m.model_key))
  then
    -- Not listed yet: its price and what it can do stay unknown until a refresh or a person tells.
    insert into public.llm_models (model_key, model_name, provider, upstream_id, display_order, source)
      values (case when exists (select 1 from public.llm_models as m where m.model_key = v_key)
              then provider_name || ':' || model_id else v_key end, model_id, provider_name, model_id, 20, 'sync');
  end if;
  update public.llm_models as m set is_default = true, default_by = 'settings'
    where v_is_free and m.is_active and not m.is_default and m.id = (
      select f.id from public.llm_models as f
      where f.provider = provider_name and model_id in (f.upstream_id, f.model_key)
      order by f.upstream_id = model_id desc limit 1);
  return (select m.identifier from public.llm_models as m where m.is_default);
end
$$;
comment on function public.adopt_default(text, text) is
  'Makes this model the default unless a person chose one; adds it when nothing lists it. Returns the default''s identifier. '
  'Definer, because the service may not change rows it does not name.';
revoke execute on function public.adopt_default(text, text) from public, anon, authenticated, service_role;
grant execute on function public.adopt_default(text, text) to service_role;
