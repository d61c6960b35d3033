-- Purpose: one run of a job at a time, also through poolers and across many calls.
-- Affects: table private.job_leases; functions public.take_lease(), public.release_lease()
-- Access: the service only.

create table private.job_leases (
  job text constraint job_leases_pkey primary key,
  holder_id uuid not null,
  lease_until timestamptz not null,
  fence bigint not null default 1
);
comment on table private.job_leases is 'Who runs a job now, and until when at most.';
comment on column private.job_leases.fence is 'Grows with every holder; writes of an earlier holder can be told by it.';
alter table private.job_leases enable row level security;
revoke all on private.job_leases from public, anon, authenticated, service_role;

create function public.take_lease(job text, holder_id uuid, ttl_seconds integer) returns bigint
  language sql volatile security definer set search_path = ''
as $$
  insert into private.job_leases as l (job, holder_id, lease_until)
  values (take_lease.job, take_lease.holder_id,
          now() + make_interval(secs => least(greatest(take_lease.ttl_seconds, 1), 3600)))
  on conflict on constraint job_leases_pkey do update
    set holder_id = excluded.holder_id, lease_until = excluded.lease_until, fence = l.fence + 1
    where l.lease_until < now()
  returning fence
$$;
comment on function public.take_lease(text, uuid, integer) is
  'The fence of a lease now held by holder_id, or null while another holds it. Definer, because leases are granted to nobody.';

create function public.release_lease(job text, holder_id uuid, fence bigint) returns boolean
  language sql volatile security definer set search_path = ''
as $$
  update private.job_leases as l set lease_until = '-infinity'
  where l.job = release_lease.job and l.holder_id = release_lease.holder_id and l.fence = release_lease.fence
  returning true
$$;
comment on function public.release_lease(text, uuid, bigint) is
  'True when the lease was still this holder''s and is free now; null when it had gone to another. Definer, as take_lease.';

revoke execute on function public.take_lease(text, uuid, integer), public.release_lease(text, uuid, bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.take_lease(text, uuid, integer), public.release_lease(text, uuid, bigint) to service_role;
