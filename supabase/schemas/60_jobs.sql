-- Purpose: leases of jobs, and one row for each refresh run.
-- Affects: private.job_leases, public.refresh_runs, public.take_lease(), public.extend_lease(), public.release_lease()
-- Access: the service takes leases and writes runs; admins read runs.

create table private.job_leases (
  job text constraint job_leases_pkey primary key,
  holder_id uuid not null,
  lease_until timestamptz not null,
  fence bigint not null default 1
);
comment on table private.job_leases is 'The holder of each job''s lease, and when it ends.';
comment on column private.job_leases.fence is
  'Increases with every holder, so that writes of an earlier holder are detected.';

alter table private.job_leases enable row level security;
revoke all on private.job_leases from public, anon, authenticated, service_role;

create table public.refresh_runs (
  id uuid default gen_random_uuid() constraint refresh_runs_pkey primary key,
  trigger text not null,
  status text not null default 'running'
    constraint refresh_runs_status_check check (status in ('running', 'succeeded', 'partial', 'failed', 'abandoned')),
  is_dry_run boolean not null default false,
  steps jsonb not null default '{}',
  sync_results jsonb not null default '{}',
  fence bigint,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  changes jsonb not null default '[]'
    constraint refresh_runs_changes_check check (jsonb_typeof(changes) = 'array')
);
comment on table public.refresh_runs is 'One run of the refresh function, with the outcome of each step.';
comment on column public.refresh_runs.trigger is 'What started it: cron-secret, google-oidc, admin, aws-event.';
comment on column public.refresh_runs.steps is '{step: {ok, ms, …counts}}.';
comment on column public.refresh_runs.sync_results is
  '{added, updated, deactivated, failed, errors: [{provider, message}]}.';
comment on column public.refresh_runs.fence is 'Fencing number of the run''s lease; a later run has a higher one.';
comment on column public.refresh_runs.status is
  'abandoned: the run was killed. The next run writes this when it begins.';
comment on column public.refresh_runs.finished_at is
  'Null while it runs; of an abandoned run, when the next one began.';
comment on column public.refresh_runs.changes is
  'Changes to the catalogue, one sentence each; of a dry run, what it would change.';

create index refresh_runs_started_at_idx on public.refresh_runs (started_at desc);

alter table public.refresh_runs enable row level security;
revoke all on public.refresh_runs from public, anon, authenticated, service_role;
grant select on public.refresh_runs to authenticated;
grant insert, select, update on public.refresh_runs to service_role;

create policy refresh_runs_select_admin on public.refresh_runs for select to authenticated
  using ((select private.is_admin()));
comment on policy refresh_runs_select_admin on public.refresh_runs is 'Admins only.';

create function private.hold_lease(p_job text, p_fence bigint) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- Blocks a takeover until this transaction ends.
  perform from private.job_leases as l where l.job = p_job and l.fence = p_fence and l.lease_until >= now() for share;
  if not found then
    perform private.refuse('PT409', 'conflict', 'This run''s lease has ended; it changes nothing more.');
  end if;
end
$$;
comment on function private.hold_lease(text, bigint) is
  'Locks the lease with this fence to the end of the transaction; refuses when it has ended or was taken over.';
revoke execute on function private.hold_lease from public, anon, authenticated, service_role;

create function public.take_lease(job text, holder_id uuid, ttl_seconds integer) returns bigint
  language sql volatile security definer set search_path = '' as $$
  insert into private.job_leases as l (job, holder_id, lease_until)
  values (take_lease.job, take_lease.holder_id,
          now() + make_interval(secs => least(greatest(take_lease.ttl_seconds, 1), 3600)))
  on conflict on constraint job_leases_pkey do update
    set holder_id = excluded.holder_id, lease_until = excluded.lease_until, fence = l.fence + 1
    where l.lease_until < now()
  returning fence
$$;
comment on function public.take_lease(text, uuid, integer) is
  'The fence of the lease that holder_id now holds, or null while another holds it. Definer, because leases are not '
  'granted.';
revoke execute on function public.take_lease from public, anon, authenticated, service_role;
grant execute on function public.take_lease(text, uuid, integer) to service_role;

create function public.extend_lease(job text, holder_id uuid, fence bigint, ttl_seconds integer) returns boolean
  language sql volatile security definer set search_path = '' as $$
  update private.job_leases as l
  set lease_until = now() + make_interval(secs => least(greatest(extend_lease.ttl_seconds, 1), 3600))
  where l.job = extend_lease.job and l.holder_id = extend_lease.holder_id and l.fence = extend_lease.fence
    and l.lease_until >= now()
  returning true
$$;
comment on function public.extend_lease(text, uuid, bigint, integer) is
  'True when the holder still had the lease and it is extended; null when it had ended or was taken over. Definer, '
  'because leases are not granted.';
revoke execute on function public.extend_lease from public, anon, authenticated, service_role;
grant execute on function public.extend_lease(text, uuid, bigint, integer) to service_role;

create function public.release_lease(job text, holder_id uuid, fence bigint) returns boolean
  language sql volatile security definer set search_path = '' as $$
  update private.job_leases as l set lease_until = '-infinity'
  where l.job = release_lease.job and l.holder_id = release_lease.holder_id and l.fence = release_lease.fence
  returning true
$$;
comment on function public.release_lease(text, uuid, bigint) is
  'True when the holder still had the lease and it is free now; null when it was taken over. Definer, because leases '
  'are not granted.';
revoke execute on function public.release_lease from public, anon, authenticated, service_role;
grant execute on function public.release_lease(text, uuid, bigint) to service_role;
