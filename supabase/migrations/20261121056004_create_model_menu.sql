-- Purpose: the models a frontend offers: active ones whose node, if they have one, is switched on.
-- Affects: function public.model_menu()
-- Access: everyone signed in, and the service; definer because a node that is not shared serves the catalogue all the same.

create function public.model_menu() returns jsonb
  language sql stable security definer set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'matcha_llm_id', m.matcha_llm_id, 'model_name', m.model_name,
      'model_key', m.model_key, 'provider', m.provider, 'capabilities', m.capabilities, 'pricing', m.pricing,
      'identifier', m.identifier, 'is_active', m.is_active, 'is_default', m.is_default, 'display_order', m.display_order,
      'created_at', m.created_at, 'last_synced_at', m.last_synced_at) order by m.display_order, m.id), '[]')
  from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id
  where m.is_active and (m.node_id is null or n.is_active)
$$;
comment on function public.model_menu() is 'All models that chat serves now, by display_order, in one value: the data API cuts rows at a thousand.';

revoke execute on function public.model_menu() from public, anon, authenticated, service_role;
grant execute on function public.model_menu() to authenticated, service_role;
