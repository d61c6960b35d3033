-- Purpose: what a probe of a client node found is stored, and its owner may let its models call tools.
-- Affects: column public.client_nodes.may_use_tools; functions private.is_plain_name(), private.told_capabilities(), private.listed_models(), public.store_node_models()
-- Access: owners set the column; the service stores; definer because circuits are granted to nobody.

alter table public.client_nodes add column may_use_tools boolean not null default false;
comment on column public.client_nodes.may_use_tools is
  'Its owner lets this node''s models call tools; off, because what a node answers is a stranger''s text.';
grant insert (may_use_tools), update (may_use_tools) on public.client_nodes to authenticated;

create function private.told_capabilities(p_capabilities jsonb) returns jsonb
  language sql immutable security invoker set search_path = ''
as $$
  select jsonb_object_agg(c.key, c.value)
  from jsonb_each(case jsonb_typeof(p_capabilities) when 'object' then p_capabilities else '{}' end) as c (key, value)
  where (c.key ~ '^supports_[a-z]{1,30}$' and jsonb_typeof(c.value) = 'boolean')
    or (c.key in ('context_window', 'max_output_tokens') and c.value::text ~ '^[1-9][0-9]{0,8}$')
$$;
comment on function private.told_capabilities(jsonb) is
  'Those that mean something and have the right type, because admission casts them; null when there are none.';

create function private.is_plain_name(p_json jsonb) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select coalesce(jsonb_typeof(p_json) = 'string' and char_length(p_json #>> '{}') between 1 and 150
    -- Control characters, and those that turn or hide the text around them.
    and p_json #>> '{}' !~ '[\u0001-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]', false)
$$;
comment on function private.is_plain_name(jsonb) is 'Whether this is a string of 1 to 150 characters that can be shown; null is not.';

create function private.listed_models(p_models jsonb) returns jsonb
  language sql immutable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'id', m.model -> 'id', 'name', case when private.is_plain_name(m.model -> 'name') then m.model -> 'name' end,
      'capabilities', private.told_capabilities(m.model -> 'capabilities'))) order by m.place), '[]')
  from jsonb_array_elements(case jsonb_typeof(p_models) when 'array' then p_models end) with ordinality as m (model, place)
  having jsonb_typeof(p_models) = 'array' and count(*) <= 300
    and coalesce(bool_and(private.is_plain_name(m.model -> 'id')), true)
$$;
comment on function private.listed_models(jsonb) is
  'At most 300 objects as {id, name?, capabilities?} and nothing else, least of all a price; null when that is not what they are.';

create function public.store_node_models(node_id bigint, models jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_models jsonb := private.listed_models(store_node_models.models);
  v_stored jsonb;
begin
  if v_models is null then
    perform private.refuse('PT422', 'validation_failed',
      'Models are an array of at most 300 objects, each with a printable id of at most 150 characters.');
  end if;
  update public.client_nodes as n set models = v_models, last_seen_at = now() where n.id = store_node_models.node_id
    returning jsonb_build_object('id', n.id, 'models', n.models, 'last_seen_at', n.last_seen_at) into v_stored;
  if not found then
    perform private.refuse('PT404', 'not_found', 'There is no such client node.');
  end if;
  update public.provider_health as h set failures = 0, open_until = null, reason = null, updated_at = now()
    where h.provider_key = 'client:' || store_node_models.node_id;
  return v_stored;
end
$$;
comment on function public.store_node_models(bigint, jsonb) is
  'Stores what a node lists, [{id, name?, capabilities?}], as seen now, and closes its circuit; gives {id, models, '
  'last_seen_at}. Definer, because circuits are granted to nobody.';

revoke execute on function private.is_plain_name(jsonb), private.told_capabilities(jsonb),
  private.listed_models(jsonb), public.store_node_models(bigint, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.store_node_models(bigint, jsonb) to service_role;
