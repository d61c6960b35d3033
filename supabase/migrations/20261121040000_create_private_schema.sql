-- Purpose: the schema nobody outside reaches: write-ahead rows, leases and the helpers of policies.
-- Affects: schema private; private.is_admin(), private.touch_updated_at()
-- Access: authenticated may call policy helpers; no table in this schema is granted to anyone.

create schema private;
comment on schema private is
  'Never exposed by the data API: write-ahead rows, leases, and functions that policies and the ledger call.';
revoke all on schema private from public;
grant usage on schema private to authenticated;

create function private.is_admin() returns boolean
  language sql stable security invoker set search_path = ''
as $$
  select coalesce((select auth.jwt()) -> 'app_metadata' ->> 'role', '') = 'admin'
$$;
comment on function private.is_admin() is
  'True when the caller''s token carries app_metadata.role = admin, which only the service may set; user_metadata is never read.';
revoke execute on function private.is_admin() from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to authenticated;

create function private.touch_updated_at() returns trigger
  language plpgsql security invoker set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;
comment on function private.touch_updated_at() is 'Trigger: updated_at is the time of the last change.';
revoke execute on function private.touch_updated_at() from public, anon, authenticated, service_role;
