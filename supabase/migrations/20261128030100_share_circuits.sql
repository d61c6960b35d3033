-- Purpose: a circuit opens for others only when two people met its faults, or one person for ten minutes; a model has its own.
-- Affects: columns of public.provider_health; functions private.circuit_until(), catalogue_route(), node_route(), matcha_route(),
--   policy_chain(), note_health(), note_fault(), public.store_node_models(), diagnose_catalogue()
-- Access: admins read; only the ledger functions write. store_node_models stays definer, because circuits are granted to nobody.

alter table public.provider_health
  add column openings integer not null default 0,
  add column sole_user_id uuid,
  add column failing_since timestamptz;
comment on table public.provider_health is
  'Circuits: how a provider, a model or a client node fared lately. A missing row is a healthy one.';
comment on column public.provider_health.provider_key is
  'A provider, for its key and account; a model''s identifier, for its own faults; client:<node> for a client node.';
comment on column public.provider_health.failures is 'Faults in a row since the last success.';
comment on column public.provider_health.openings is
  'How often in a row the circuit opened for everyone by faults; each opening doubles the time of the next.';
comment on column public.provider_health.sole_user_id is
  'The only person who met the current run of faults: the circuit is open for this person alone. Null: open for everyone. No foreign '
  'key: deleting a person must not wait for a turn that writes here.';
comment on column public.provider_health.failing_since is
  'When the current run of faults began; null after a success and for a provider''s key or account.';
comment on column public.provider_health.open_until is
  'No call goes there before this time, for the people that sole_user_id says; null = calls go.';

create function private.circuit_until(p_provider_key text, p_identifier text) returns timestamptz
  language sql stable security invoker set search_path = ''
as $$
  select max(h.open_until) from public.provider_health as h
  where h.provider_key in (p_provider_key, p_identifier) and h.open_until > now()
    and (h.sole_user_id is null or h.sole_user_id = (select auth.uid()))
$$;
comment on function private.circuit_until(text, text) is
  'Until when the caller''s turns cannot go to this provider''s model; null = calls go.';

create or replace function private.catalogue_route(m public.llm_models) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', m.identifier, 'model_key', m.model_key, 'provider', m.provider, 'upstream_id', m.upstream_id,
    'node_id', m.node_id, 'base_url', n.base_url, 'has_key', coalesce(n.has_key, false), 'pricing', m.pricing,
    'capabilities', case when m.node_id is null then m.capabilities
                    else private.node_capabilities(m.capabilities, n.may_use_tools) end,
    'label', case when m.node_id is null then m.model_name else format('%s (%s)', n.name, m.model_name) end,
    'open_until', private.circuit_until(coalesce('client:' || m.node_id, m.provider), m.identifier))
  from (select 1) as one left join public.client_nodes as n on n.id = m.node_id
  where m.node_id is null or n.is_active
$$;

create or replace function private.node_route(p_user_id uuid, p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'identifier', p_model, 'model_key', null, 'provider', 'client', 'upstream_id', e.model ->> 'id',
    'node_id', n.id, 'base_url', n.base_url, 'has_key', n.has_key, 'pricing', nullif(e.model -> 'pricing', 'null'),
    'capabilities', private.node_capabilities(e.model -> 'capabilities', n.may_use_tools),
    'label', format('%s (%s)', n.name, e.model ->> 'id'),
    'open_until', private.circuit_until('client:' || n.id, p_model))
  from public.client_nodes as n cross join lateral jsonb_array_elements(n.models) as e (model)
  where p_model ~ '^client:[1-9][0-9]{0,17}:.'
    and n.id = case when p_model ~ '^client:[1-9][0-9]{0,17}:.' then split_part(p_model, ':', 2)::bigint end
    -- What the catalogue knows is the catalogue's to price and to switch off.
    and not exists (select 1 from public.llm_models as m where m.node_id = n.id and m.upstream_id = e.model ->> 'id')
    and n.is_active and (n.is_shared or n.owner_id = p_user_id)
    and e.model ->> 'id' = substr(p_model, length('client:' || split_part(p_model, ':', 2) || ':') + 1)
  limit 1
$$;

create or replace function private.matcha_route(p_model text) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with asked as (
    select coalesce(
      substring(p_model from '^matcha:([1-9][0-9]{0,8})$')::integer,
      (select m.matcha_llm_id from public.llm_models as m
       where p_model like 'matcha:%' and m.model_key = substr(p_model, 8) and m.node_id is null)) as number
  )
  select private.catalogue_route(m) || jsonb_build_object(
    'identifier', 'matcha:' || a.number, 'provider', 'matcha', 'upstream_id', a.number::text,
    'pricing', case when m.provider = 'matcha' then m.pricing end,
    'capabilities', m.capabilities || '{"supports_tools": false, "supports_json": false, "supports_vision": false}',
    'open_until', private.circuit_until('matcha', 'matcha:' || a.number))
  from asked as a join public.llm_models as m
    on (m.provider = 'matcha' and m.upstream_id = a.number::text) or (m.matcha_llm_id = a.number and m.node_id is null)
  where m.is_active
  order by m.provider = 'matcha' desc limit 1
$$;

create or replace function private.policy_chain(p_alias text, p_how jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with fitting as (
    select m as model, m.display_order, m.id, q.mean_ttft_ms,
      exists (select 1 from public.provider_health as h
        where h.provider_key in (coalesce('client:' || m.node_id, m.provider), m.identifier) and h.open_until > now()
          and (h.sole_user_id is null or h.sole_user_id = (select auth.uid()))) as is_open,
      -- Three tokens are read for each that is written.
      3 * (m.pricing ->> 'input')::numeric + (m.pricing ->> 'output')::numeric as price,
      -- Seven turns of ten must have gone well, and three stars be given, of those who have been seen often enough.
      coalesce(q.error_rate <= 0.3, true) and coalesce(q.ratings < 5 or q.mean_rating >= 3, true) as is_acceptable,
      -- A few raters say little: five of 3.5 are added to them.
      coalesce((q.mean_rating * q.raters + 3.5 * 5) / (q.raters + 5), 3.5) as rating,
      p_how -> 'needs' ? 'supports_json' and not coalesce((m.capabilities ->> 'supports_json')::boolean, false) as is_wordy
    from public.llm_models as m
    left join public.client_nodes as n on n.id = m.node_id
    left join public.model_quality as q on q.model_identifier = m.identifier
    where m.is_active and (m.node_id is null or n.is_active)
      and (jsonb_typeof(p_how -> 'providers') is distinct from 'array' or p_how -> 'providers' ? m.provider)
      and private.is_able(case when m.node_id is null then m.capabilities
        else private.node_capabilities(m.capabilities, n.may_use_tools) end, p_how -> 'needs')
      and coalesce((m.capabilities ->> 'context_window')::bigint, 8192) >= (p_how ->> 'context')::bigint
  ), ranked as (
    select f.model, row_number() over (order by
      f.is_open, not f.is_acceptable, f.is_wordy,
      case p_alias when 'fast' then f.mean_ttft_ms end nulls last,
      case p_alias when 'best' then f.rating end desc nulls last,
      case p_alias when 'best' then f.price end desc nulls last,
      f.price nulls last, f.display_order, f.id) as place
    from fitting as f
    where f.price is not null or p_alias in ('fast', 'best')  -- who wants the cheapest wants to know what it costs
  )
  select jsonb_agg(private.catalogue_route(r.model) || jsonb_build_object('alias', p_alias) order by r.place)
  from ranked as r where r.place <= 3
$$;

comment on function private.catalogue_route(public.llm_models) is
  'A catalogue row as a route, with its label for people and until when its circuit is open for the caller; null when its '
  'node is switched off.';

create function private.note_fault(p_key text, p_reason text, p_open_seconds double precision, p_begun_at timestamptz, p_user_id uuid)
  returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v public.provider_health;
  v_is_anonymous boolean;
begin
  select u.is_anonymous is true into v_is_anonymous from auth.users as u where u.id = p_user_id;
  if not found then
    return;
  end if;
  insert into public.provider_health (provider_key) values (p_key) on conflict on constraint provider_health_pkey do nothing;
  select * into v from public.provider_health as h where h.provider_key = p_key for update;
  -- A turn that began before the circuit opened met the incident that opened it: it does not count again.
  if v.open_until > p_begun_at and (v.sole_user_id is null or v.sole_user_id = p_user_id) then
    return;
  end if;
  if v.failures = 0 or v.updated_at < now() - interval '1 hour' then
    v.failures := 1; v.openings := 0; v.sole_user_id := p_user_id; v.failing_since := now();
  elsif v_is_anonymous and v.sole_user_id is distinct from p_user_id then
    return;  -- Anonymous accounts cost nothing: their faults close a circuit for themselves only.
  elsif exists (select 1 from auth.users as u where u.id = v.sole_user_id and u.is_anonymous and u.id <> p_user_id) then
    v.failures := 1; v.sole_user_id := p_user_id; v.failing_since := now();
  elsif v.sole_user_id is null and v.open_until is not null then
    -- The last opening for everyone is over: the next needs two people again.
    v.failures := v.failures + 1; v.sole_user_id := p_user_id; v.failing_since := now();
  else
    v.failures := v.failures + 1;
    if v.sole_user_id <> p_user_id or (v.failing_since <= now() - interval '10 minutes' and not v_is_anonymous) then
      v.sole_user_id := null;
    end if;
  end if;
  v.open_until := case when v.sole_user_id is not null then private.open_until(v.failures, p_open_seconds)
    when p_open_seconds is not null or v.failures >= 3 then now() + make_interval(secs => least(3600,
      greatest(p_open_seconds, case when v.failures >= 3 then least(10 * 2 ^ least(v.openings, 9), 300) end))) end;
  update public.provider_health as h
    set failures = v.failures, sole_user_id = v.sole_user_id, failing_since = v.failing_since, open_until = v.open_until,
        openings = v.openings + (v.sole_user_id is null and v.open_until is not null)::integer, reason = p_reason, updated_at = now()
    where h.provider_key = p_key;
end
$$;
comment on function private.note_fault(text, text, double precision, timestamptz, uuid) is
  'Counts a fault of a model or node that this person met. From the third in a row, or at once for the seconds that the provider asked '
  'for, it opens: for this person, or for everyone when two people met the run, or one person over ten minutes. Open for 10 s, doubling '
  'up to five minutes. A run ends with a success, or after an hour without a fault; deleted people do not count.';

drop function private.note_health(jsonb, timestamptz);
create function private.note_health(p_attempts jsonb, p_begun_at timestamptz, p_user_id uuid) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v record;
begin
  -- Sorted, so that two turns lock rows in the same order; a healthy row is not touched at all.
  for v in
    select distinct on (k.key) k.key, coalesce((a.attempt ->> 'ok')::boolean, false) as ok, a.attempt ->> 'error_code' as reason,
      coalesce((a.attempt ->> 'is_fault')::boolean, false) as is_fault,
      (a.attempt ->> 'open_seconds')::double precision as open_seconds,
      k.key = a.attempt ->> 'provider_key' and k.key not like 'client:%' and a.attempt ->> 'error_code' = 'provider_auth_failed' as is_account
    from jsonb_array_elements(p_attempts) with ordinality as a (attempt, place)
    cross join lateral (values (a.attempt ->> 'provider_key'),
      (case when a.attempt ->> 'provider_key' not like 'client:%' then a.attempt ->> 'identifier' end)) as k (key)
    -- A success speaks for the model and its provider, a refused key or account for the provider, any other fault for the model.
    where k.key is not null and ((a.attempt ->> 'ok')::boolean or k.key = case
      when a.attempt ->> 'provider_key' like 'client:%' or a.attempt ->> 'error_code' = 'provider_auth_failed'
      then a.attempt ->> 'provider_key' else coalesce(a.attempt ->> 'identifier', a.attempt ->> 'provider_key') end)
    order by k.key, a.place desc
  loop
    if v.ok then
      -- A success of a turn that began before the circuit opened does not close it; another person's does, if it is open for one only.
      update public.provider_health as h
        set failures = 0, openings = 0, open_until = null, reason = null, sole_user_id = null, failing_since = null, updated_at = now()
        where h.provider_key = v.key and h.failures > 0
          and (h.open_until is null or h.open_until <= p_begun_at or h.sole_user_id <> p_user_id);
    elsif v.is_account then
      insert into public.provider_health as h (provider_key, failures, open_until, reason)
        values (v.key, 1, now() + make_interval(secs => least(coalesce(v.open_seconds, 300), 3600)), v.reason)
        on conflict on constraint provider_health_pkey do update
          set failures = h.failures + 1, reason = excluded.reason, updated_at = now(), open_until = excluded.open_until,
              sole_user_id = null, failing_since = null
          where h.open_until is null or h.open_until <= p_begun_at or h.sole_user_id is not null or excluded.open_until > h.open_until;
    elsif v.is_fault or v.open_seconds is not null then
      perform private.note_fault(v.key, v.reason, v.open_seconds, p_begun_at, p_user_id);
    end if;
  end loop;
end
$$;
comment on function private.note_health(jsonb, timestamptz, uuid) is
  'The last attempt at each provider, model or node decides: ok closes its circuit. A key or account that the provider refuses opens the '
  'provider''s for everyone, for five minutes; any other fault counts by note_fault() against the model or node.';

create or replace function public.store_node_models(node_id bigint, models jsonb) returns jsonb
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
  update public.provider_health as h set failures = 0, openings = 0, open_until = null, reason = null, sole_user_id = null, failing_since = null,
      updated_at = now()
    where h.provider_key = 'client:' || store_node_models.node_id;
  return v_stored;
end
$$;

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
        'open_until', h.open_until, 'is_shared', h.sole_user_id is null) order by h.provider_key), '[]')
      from public.provider_health as h where h.open_until > now()))
$$;
comment on function public.diagnose_catalogue() is
  '{now, default, unpriced, last_run, last_good_run, open_circuits} as the caller may see them; is_shared says that a circuit is open for '
  'everyone. Volatile so that now is the clock.';

revoke execute on function private.circuit_until(text, text),
  private.note_fault(text, text, double precision, timestamptz, uuid), private.note_health(jsonb, timestamptz, uuid)
  from public, anon, authenticated, service_role;
