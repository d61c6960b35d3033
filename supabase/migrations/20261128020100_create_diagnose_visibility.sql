-- Purpose: an admin asks which rows a visitor, and a person who exists nowhere, can see.
-- Affects: functions private.person_condition(), public.diagnose_visibility()
-- Access: admins; invoker, because a definer function may not change the role.

create function private.person_condition(p_relation oid) returns text
  language sql stable security invoker set search_path = ''
as $$
  select '(' || string_agg(format('t.%I is not null', a.attname), ' or ') filter (where a.attname <> 'is_shared') || ')'
    || coalesce(' and ' || min('not t.is_shared') filter (where a.attname = 'is_shared'), '')
  from pg_attribute as a
  where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped
    and (a.attname in ('user_id', 'owner_id', 'scope', 'is_shared') or exists (select from pg_constraint as k
      where k.conrelid = p_relation and k.contype = 'f' and k.confrelid = 'auth.users'::regclass
        and k.conkey = array[a.attnum]))
$$;
comment on function private.person_condition(oid) is
  'The condition, on t, of rows that name a person and are not shared: by user_id, owner_id, scope or a key into '
  'auth.users. Null when the relation has no such column.';

create function public.diagnose_visibility() returns jsonb
  language plpgsql volatile security invoker set search_path = '' set lock_timeout = '1s'
as $$
declare
  v record;
  v_sees boolean;
  v_started timestamptz := clock_timestamp();
  v_visible jsonb := '[]';
  v_unchecked jsonb := '[]';
begin
  if not private.is_admin() then
    raise exception using errcode = 'PT403', message = 'This is for admins.',
      detail = '{"code": "forbidden", "metadata": {}}';
  end if;
  for v in
    select g.role, g.claims, r.object, format('select exists (select from %s as t%s where %s)', r.object,
        -- About 16 MB of a large table: a condition that no index serves would read all of it.
        case when c.relkind = 'r' and c.relpages > 2000
          then format(' tablesample system (%s)', 200000.0 / c.relpages) else '' end,
        case when g.role = 'anon' then 'true' else private.person_condition(r.oid) end) as query
    from private.own_relations() as r join pg_class as c on c.oid = r.oid
    cross join (values ('anon', '{"role": "anon"}'::jsonb), ('authenticated', jsonb_build_object(
      'role', 'authenticated', 'aud', 'authenticated', 'sub', gen_random_uuid()))) as g (role, claims)
    where not r.is_private and r.kind <> 'sequence' and (g.role = 'anon' or private.person_condition(r.oid) is not null)
    order by r.object, g.role
  loop
    if clock_timestamp() > v_started + interval '3 seconds' then
      v_unchecked := v_unchecked || jsonb_build_object('relation', v.object, 'role', v.role, 'reason', 'no time left');
      continue;
    end if;
    v_sees := false;
    begin
      perform set_config('request.jwt.claims', v.claims::text, true), set_config('request.jwt.claim', '', true),
        set_config('request.jwt.claim.sub', '', true), set_config('role', v.role, true);
      execute v.query into v_sees;
      raise exception using errcode = 'PT000';  -- rolls the block back: role and claims are the caller's again
    exception
      when sqlstate 'PT000' or insufficient_privilege then
        null;
      when others then
        v_unchecked := v_unchecked || jsonb_build_object('relation', v.object, 'role', v.role, 'reason', sqlstate);
    end;
    if v_sees then
      v_visible := v_visible || jsonb_build_object('relation', v.object, 'role', v.role);
    end if;
  end loop;
  return jsonb_build_object('visible', v_visible, 'unchecked', v_unchecked);
end
$$;
comment on function public.diagnose_visibility() is
  '{visible, unchecked: [{relation, role, reason?}]}: tables and views of public in which anon sees any row, or a '
  'person who exists nowhere sees a row of person_condition(). For admins. Every look is rolled back: nothing stays.';

revoke execute on function private.person_condition(oid), public.diagnose_visibility()
  from public, anon, authenticated, service_role;
grant execute on function private.person_condition(oid), public.diagnose_visibility() to authenticated;
