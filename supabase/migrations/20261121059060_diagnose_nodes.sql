-- Purpose: an operator is told when the default lives on a node that is switched off.
-- Affects: function public.diagnose_catalogue() (replaced)
-- Access: as before: signed-in people may call it; only an admin sees runs, circuits and every node.

create or replace function public.diagnose_catalogue() returns jsonb
  language sql volatile security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'now', clock_timestamp(),
    'default', (select jsonb_build_object('model_key', m.model_key, 'identifier', m.identifier, 'provider', m.provider,
        'is_active', m.is_active, 'missing_since', m.missing_since, 'retires_on', m.retires_on,
        'is_node_active', case when m.node_id is not null then coalesce(n.is_active, false) end)
      from public.llm_models as m left join public.client_nodes as n on n.id = m.node_id where m.is_default),
    'unpriced', (select coalesce(jsonb_agg(m.model_key order by m.display_order, m.id), '[]')
      from public.llm_models as m where m.is_active and m.pricing is null),
    'last_run', (select jsonb_build_object('status', r.status, 'trigger', r.trigger, 'started_at', r.started_at, 'finished_at', r.finished_at)
      from public.refresh_runs as r where not r.is_dry_run order by r.started_at desc limit 1),
    'last_good_run', (select max(r.finished_at) from public.refresh_runs as r
      where r.status = 'succeeded' and r.steps ? 'models' and not r.is_dry_run),
    'open_circuits', (select coalesce(jsonb_agg(jsonb_build_object('provider_key', h.provider_key, 'reason', h.reason,
        'open_until', h.open_until) order by h.provider_key), '[]')
      from public.provider_health as h where h.open_until > now()))
$$;
