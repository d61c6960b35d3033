-- Purpose: a short lease that its holder keeps alive, so that a killed run does not stop the next for minutes.
-- Affects: functions public.extend_lease(), private.hold_lease()
-- Access: the service only.

create function public.extend_lease(job text, holder_id uuid, fence bigint, ttl_seconds integer) returns boolean
  language sql volatile security definer set search_path = ''
as $$
  update private.job_leases as l
  set lease_until = now() + make_interval(secs => least(greatest(extend_lease.ttl_seconds, 1), 3600))
  where l.job = extend_lease.job and l.holder_id = extend_lease.holder_id and l.fence = extend_lease.fence
    and l.lease_until >= now()
  returning true
$$;
comment on function public.extend_lease(text, uuid, bigint, integer) is
  'True when the lease was still this holder''s and lasts longer now; null when it had ended or gone to another. Definer, as take_lease.';

create function private.hold_lease(p_job text, p_fence bigint) returns void
  language plpgsql volatile security invoker set search_path = ''
as $$
begin
  -- Shared with nobody who would take it over: until this transaction ends, the fence stays the newest.
  perform from private.job_leases as l where l.job = p_job and l.fence = p_fence and l.lease_until >= now() for share;
  if not found then
    perform private.refuse('PT409', 'conflict', 'This run''s lease has ended; it changes nothing more.');
  end if;
end
$$;
comment on function private.hold_lease(text, bigint) is 'Returns while the lease with this fence is in force, and keeps it so to the end of the transaction; else refuses.';

revoke execute on function public.extend_lease(text, uuid, bigint, integer), private.hold_lease(text, bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.extend_lease(text, uuid, bigint, integer) to service_role;
