-- Purpose: what runs now, or was left by a function that died, for operators and diagnostics.
-- Affects: function public.open_turns()
-- Access: the service only; definer because write-ahead rows are granted to nobody.

create function public.open_turns() returns table (
  turn_id uuid, user_id uuid, conversation_id uuid, endpoint text, route text, reserved_usd numeric,
  started_at timestamptz, lease_until timestamptz)
  language sql stable security definer set search_path = ''
as $$
  select r.id, r.user_id, r.conversation_id, r.endpoint, r.routes #>> '{0,identifier}', r.reserved_usd,
    r.started_at, r.lease_until
  from private.turns as r where r.state = 'started' order by r.started_at
$$;
comment on function public.open_turns() is
  'Admitted turns that nobody has finished, without their content; one whose lease_until has passed was left by a dead function.';
revoke execute on function public.open_turns() from public, anon, authenticated, service_role;
grant execute on function public.open_turns() to service_role;
