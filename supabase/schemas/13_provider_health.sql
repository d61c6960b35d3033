-- Purpose: circuits of providers, models and client nodes, shared by all instances.
-- Affects: public.provider_health
-- Access: admins read; only the ledger functions write.

create table public.provider_health (
  provider_key text constraint provider_health_pkey primary key,
  failures integer not null default 0,
  open_until timestamptz,
  reason text,
  updated_at timestamptz not null default now(),
  openings integer not null default 0,
  sole_user_id uuid,
  failing_since timestamptz
);
comment on table public.provider_health is
  'Circuits of providers, models and client nodes. Without a row the circuit is closed.';
comment on column public.provider_health.provider_key is
  'A provider''s name, for faults of its key or account; a model''s identifier, for its own faults; client:<node> '
  'for a client node.';
comment on column public.provider_health.failures is 'Faults in a row since the last success.';
comment on column public.provider_health.open_until is
  'No model request is sent before this time, for the users that sole_user_id names; null = requests are sent.';
comment on column public.provider_health.reason is 'Error code of the last failure; null after a success.';
comment on column public.provider_health.openings is
  'How often in a row faults opened the circuit for everyone. Each opening doubles the time of the next.';
comment on column public.provider_health.sole_user_id is
  'The only user who met the current faults: the circuit is open for this user alone. Null: open for everyone. No '
  'foreign key, so that deleting a user does not wait for a turn that writes here.';
comment on column public.provider_health.failing_since is
  'When the current faults began; null after a success and for faults of a key or account.';

alter table public.provider_health enable row level security;
revoke all on public.provider_health from public, anon, authenticated, service_role;
grant select on public.provider_health to authenticated;
grant select on public.provider_health to service_role;

create policy provider_health_select_admin on public.provider_health for select to authenticated
  using ((select private.is_admin()));
comment on policy provider_health_select_admin on public.provider_health is 'Admins only.';

create function private.circuit_until(p_provider_key text, p_identifier text) returns timestamptz
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (
    select max(h.open_until) from public.provider_health as h
    where h.provider_key in (p_provider_key, p_identifier) and h.open_until > now()
      and (h.sole_user_id is null or h.sole_user_id = (select auth.uid())));
end
$$;
comment on function private.circuit_until(text, text) is
  'Until when the circuit of this provider''s model is open for the caller; null = closed.';
revoke execute on function private.circuit_until from public, anon, authenticated, service_role;

create function private.open_until(p_failures integer, p_open_seconds double precision) returns timestamptz
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return case when p_open_seconds is not null or p_failures >= 3 then now() + make_interval(secs => least(3600,
    greatest(p_open_seconds, case when p_failures >= 3 then least(10 * 2 ^ least(p_failures - 3, 9), 300) end))) end;
end
$$;
comment on function private.open_until(integer, double precision) is
  'Until when a circuit opens: for the given seconds, or from the third fault in a row for 10 s, doubling up to five '
  'minutes; null = closed.';
revoke execute on function private.open_until from public, anon, authenticated, service_role;

create function private.record_fault(p_key text, p_reason text, p_open_seconds double precision, p_begun_at timestamptz,
  p_user_id uuid)
  returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v public.provider_health;
  v_is_anonymous boolean;
begin
  select u.is_anonymous is true into v_is_anonymous from auth.users as u where u.id = p_user_id;
  if not found then
    return;
  end if;
  insert into public.provider_health (provider_key) values (p_key) on conflict on
    constraint provider_health_pkey do nothing;
  select * into v from public.provider_health as h where h.provider_key = p_key for update;
  -- A turn that began before the circuit opened met the same incident, so its fault is not counted again.
  if v.open_until > p_begun_at and (v.sole_user_id is null or v.sole_user_id = p_user_id) then
    return;
  end if;
  if v.failures = 0 or v.updated_at < now() - interval '1 hour' then
    v.failures := 1; v.openings := 0; v.sole_user_id := p_user_id; v.failing_since := now();
  elsif v_is_anonymous and v.sole_user_id is distinct from p_user_id then
    return;  -- Anyone can create anonymous accounts, so the faults of one do not count for other users.
  elsif exists (select 1 from auth.users as u where u.id = v.sole_user_id and u.is_anonymous and u.id <> p_user_id) then
    v.failures := 1; v.sole_user_id := p_user_id; v.failing_since := now();
  elsif v.sole_user_id is null and v.open_until is not null then
    -- The last opening for everyone is over, so the next one needs two users again.
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
    set failures = v.failures, sole_user_id = v.sole_user_id, failing_since = v.failing_since,
      open_until = v.open_until,
        openings = v.openings + (v.sole_user_id is null and v.open_until is not null)::integer, reason = p_reason,
        updated_at = now()
    where h.provider_key = p_key;
end
$$;
comment on function private.record_fault(text, text, double precision, timestamptz, uuid) is
  'Counts a fault of a model or node that this user met. The circuit opens at the third fault in a row, or at once '
  'for the seconds that the provider asks for. It opens for this user only, or for everyone when two users met the '
  'faults or one user did over ten minutes. Faults end with a success or after an hour without a fault. Deleted '
  'users do not count.';
revoke execute on function private.record_fault from public, anon, authenticated, service_role;

create function private.record_health(p_attempts jsonb, p_begun_at timestamptz, p_user_id uuid) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v record;
begin
  -- One success while nothing fails, the usual turn, needs no more than this look.
  if jsonb_array_length(p_attempts) = 1 and p_attempts @> '[{"ok": true}]' and not exists (
      select 1 from public.provider_health as h where h.failures > 0
        and h.provider_key in (p_attempts #>> '{0,provider_key}', p_attempts #>> '{0,identifier}')) then
    return;
  end if;
  -- Sorted, so that two turns lock rows in the same order. Closed circuits are not written.
  for v in
    select distinct on (k.key) k.key, coalesce((a.attempt ->> 'ok')::boolean, false) as ok,
      a.attempt ->> 'error_code' as reason,
      coalesce((a.attempt ->> 'is_fault')::boolean, false) as is_fault,
      (a.attempt ->> 'open_seconds')::double precision as open_seconds,
      k.key = a.attempt ->> 'provider_key' and k.key not like 'client:%'
        and a.attempt ->> 'error_code' = 'provider_auth_failed' as is_account
    from jsonb_array_elements(p_attempts) with ordinality as a (attempt, place)
    cross join lateral (values (a.attempt ->> 'provider_key'),
      (case when a.attempt ->> 'provider_key' not like 'client:%' then a.attempt ->> 'identifier' end)) as k (key)
    -- A success counts for the model and its provider, a rejected key for the provider, any other fault for the model.
    where k.key is not null and ((a.attempt ->> 'ok')::boolean or k.key = case
      when a.attempt ->> 'provider_key' like 'client:%' or a.attempt ->> 'error_code' = 'provider_auth_failed'
      then a.attempt ->> 'provider_key' else coalesce(a.attempt ->> 'identifier', a.attempt ->> 'provider_key') end)
    order by k.key, a.place desc
  loop
    if v.ok then
      -- A success of a turn from before the opening does not close the circuit, unless it is open for another user
      -- only.
      update public.provider_health as h
        set failures = 0, openings = 0, open_until = null, reason = null, sole_user_id = null, failing_since = null,
        updated_at = now()
        where h.provider_key = v.key and h.failures > 0
          and (h.open_until is null or h.open_until <= p_begun_at or h.sole_user_id <> p_user_id);
    elsif v.is_account then
      insert into public.provider_health as h (provider_key, failures, open_until, reason)
        values (v.key, 1, now() + make_interval(secs => least(coalesce(v.open_seconds, 300), 3600)), v.reason)
        on conflict on constraint provider_health_pkey do update
          set failures = h.failures + 1, reason = excluded.reason, updated_at = now(), open_until = excluded.open_until,
              sole_user_id = null, failing_since = null
          where h.open_until is null or h.open_until <= p_begun_at or h.sole_user_id is not null
            or excluded.open_until > h.open_until;
    elsif v.is_fault or v.open_seconds is not null then
      perform private.record_fault(v.key, v.reason, v.open_seconds, p_begun_at, p_user_id);
    end if;
  end loop;
end
$$;
comment on function private.record_health(jsonb, timestamptz, uuid) is
  'Applies the last attempt at each provider, model or node: a success closes the circuit. A rejected key or account '
  'opens the provider''s circuit for everyone, for five minutes. record_fault() counts all other faults.';
revoke execute on function private.record_health from public, anon, authenticated, service_role;
