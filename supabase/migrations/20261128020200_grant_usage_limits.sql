-- Purpose: operators' scripts with the service key read and set caps.
-- Affects: grants of public.usage_limits
-- Access: the service reads, adds and changes rows; it deletes none, because a null removes a cap.

grant insert, update on public.usage_limits to service_role;
