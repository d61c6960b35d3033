-- Purpose: finds faults in row security, policies, grants and functions, and rows that other users can see.
-- Affects: public.diagnose_access(), public.diagnose_visibility()
-- Access: admins; invoker because pg_catalog is readable by every role and a definer function cannot change the role.

--   public.diagnose_access(); comment on public.model_menu()
create function private.own_relations() returns table (oid oid, object text, kind text, is_private boolean)
  language sql stable security invoker set search_path = '' as $$
  select c.oid, format('%I.%I', n.nspname, c.relname),
    case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
      when 'S' then 'sequence' else 'table' end,
    n.nspname = 'private'
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (select from pg_depend as d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
$$;
comment on function private.own_relations() is
  'Tables, views and sequences of the schemas public and private, without those of extensions.';
revoke execute on function private.own_relations from public, anon, authenticated, service_role;
grant execute on function private.own_relations() to authenticated;

create function private.api_grants()
  returns table (object text, kind text, is_private boolean, oid oid, grantee text, privilege text, column_name text)
  language sql stable security invoker set search_path = '' as $$
  with held as (
    select r.object, r.kind, r.is_private, r.oid, c.relacl as acl, null as column_name
      from private.own_relations() as r join pg_class as c on c.oid = r.oid
    union all
    select r.object, r.kind, r.is_private, r.oid, a.attacl, a.attname::text
      from private.own_relations() as r join pg_attribute as a on a.attrelid = r.oid
      where a.attacl is not null and not a.attisdropped
    union all
    -- Without an access list every role may execute a function. Trigger functions cannot be called.
    select p.oid::regprocedure::text, 'function', n.nspname = 'private', p.oid,
        coalesce(p.proacl, acldefault('f', p.proowner)), null
      from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
      where n.nspname in ('public', 'private') and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
        and not exists (select from pg_depend as d
          where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    union all
    select n.nspname::text, 'schema', n.nspname = 'private', n.oid, n.nspacl, null
      from pg_namespace as n where n.nspname in ('public', 'private')
  )
  select h.object, h.kind, h.is_private, h.oid, coalesce(r.rolname, 'public'), lower(g.privilege_type), h.column_name
  from held as h cross join lateral aclexplode(h.acl) as g left join pg_roles as r on r.oid = g.grantee
  where g.grantee = 0 or r.rolname in ('anon', 'authenticated', 'parley_admin', 'service_role')
$$;
comment on function private.api_grants() is
  'Privileges of anon, authenticated, parley_admin, service_role and public in the schemas public and private, one row '
  'each. '
  'column_name is null unless the privilege is on one column.';
revoke execute on function private.api_grants from public, anon, authenticated, service_role;
grant execute on function private.api_grants() to authenticated;

create function private.table_findings() returns table (object text, problem text, is_broken boolean, fix text)
  language sql stable security invoker set search_path = '' as $$
  with policies as (
    select distinct r.object, p.polname
    from pg_policy as p join private.own_relations() as r on r.oid = p.polrelid
    cross join lateral (values (pg_get_expr(p.polqual, p.polrelid)),
      (pg_get_expr(p.polwithcheck, p.polrelid))) as e (expression)
    where p.polpermissive and e.expression !~ '(auth\.\w+|private\.\w+|current_setting)\('
      and exists (select from unnest(p.polroles) as g (oid) left join pg_roles as o on o.oid = g.oid
        where g.oid = 0 or o.rolname in ('anon', 'authenticated'))
  )
  select r.object, 'row-level security is off', not r.is_private,
      format('alter table %s enable row level security;', r.object)
    from private.own_relations() as r join pg_class as c on c.oid = r.oid
    where r.kind = 'table' and not c.relrowsecurity
  union all
  select r.object, 'row-level security does not bind its owner ' || o.rolname, true,
      format('alter table %s owner to postgres;', r.object)
    from private.own_relations() as r join pg_class as c on c.oid = r.oid join pg_roles as o on o.oid = c.relowner
    where o.rolname in ('anon', 'authenticated')
  union all
  select p.object, format('policy %I does not depend on the caller', p.polname), true,
      format('drop policy %I on %s; or let its condition use auth.uid().', p.polname, p.object)
    from policies as p
  union all
  select r.object, format('policy %I lets admins change rows of others', p.polname), true,
      format('drop policy %I on %s;', p.polname, r.object)
    from pg_policy as p join private.own_relations() as r on r.oid = p.polrelid
    where p.polcmd <> 'r' and 'parley_admin'::regrole = any (p.polroles)
  union all
  select r.object, 'the view does not apply the caller''s row-level security',
      exists (select from private.api_grants() as g where g.oid = r.oid and g.grantee <> 'service_role'),
      format('alter view %s set (security_invoker = true);', r.object)
    from private.own_relations() as r join pg_class as c on c.oid = r.oid
    where r.kind = 'view' and not coalesce((select t.option_value::boolean
      from pg_options_to_table(c.reloptions) as t where t.option_name = 'security_invoker'), false)
$$;
comment on function private.table_findings() is
  'Tables without row-level security or owned by an API role, permissive policies that do not look at the caller, '
  'and views without security_invoker.';
revoke execute on function private.table_findings from public, anon, authenticated, service_role;
grant execute on function private.table_findings() to authenticated;

create function private.grant_findings() returns table (object text, problem text, is_broken boolean, fix text)
  language sql stable security invoker set search_path = '' as $$
  with grants as materialized (
    select g.*, case when g.kind in ('function', 'sequence', 'schema') then g.kind else 'table' end as word
    from private.api_grants() as g
    where g.object <> 'private.pre_request()'  -- the data API calls it as every role
  ), odd as (
    -- anon has no privileges on objects, parley_admin only those of authenticated, and API roles none in private except
    -- for policies' helpers.
    select g.*, case
        when g.grantee = 'parley_admin' then true
        when g.kind = 'schema' then g.privilege = 'create' or (g.is_private and g.grantee = 'public')
        when g.kind in ('materialized view', 'foreign table') and g.privilege = 'select'
          then g.grantee <> 'service_role'
        when g.is_private then g.kind <> 'function' or g.grantee in ('anon', 'public')
        when g.grantee in ('anon', 'public') then p.prosecdef
        when g.kind <> 'function' and g.privilege in ('truncate', 'references', 'trigger', 'maintain') then false
        when g.kind <> 'function' and g.privilege = 'delete' and g.grantee = 'service_role' then false
      end as is_broken,
      g.grantee in ('anon', 'public') and g.kind <> 'schema' as is_for_visitors
    from grants as g left join pg_proc as p on p.oid = g.oid and g.kind = 'function'
  )
  select o.object, format('%s may %s', o.grantee, string_agg(distinct o.privilege, ', ')),
      coalesce(bool_or(o.is_broken), false),
      format('revoke %s on %s %s from %s;', string_agg(distinct o.privilege, ', '), o.word, o.object, o.grantee)
    from odd as o
    where o.is_broken or (o.is_broken is not null and o.kind <> 'schema' and not o.is_private) or o.is_for_visitors
    group by o.object, o.word, o.grantee
  union all
  select distinct g.object, format('%s may %s every column, not only those granted one by one', g.grantee, g.privilege),
      true, format('revoke %s on %s from %s; then grant it on the columns again.', g.privilege, g.object, g.grantee)
    from grants as g join grants as c on c.oid = g.oid and c.grantee = g.grantee and c.privilege = g.privilege
    where g.column_name is null and c.column_name is not null
  union all
  select 'role ' || r.rolname, 'row-level security does not bind it', true,
      format('alter role %I nosuperuser nobypassrls;', r.rolname)
    from pg_roles as r where r.rolname in ('anon', 'authenticated', 'parley_admin') and (r.rolsuper or r.rolbypassrls)
  union all
  select 'role ' || m.rolname, 'it is a member of ' || r.rolname, true,
      format('revoke %I from %I;', r.rolname, m.rolname)
    from pg_auth_members as a join pg_roles as r on r.oid = a.roleid join pg_roles as m on m.oid = a.member
    where m.rolname in ('anon', 'authenticated') or (r.rolname = 'parley_admin' and m.rolname <> 'authenticator'
      and not m.rolsuper and m.oid <> (select n.nspowner from pg_namespace as n where n.nspname = 'private'))
  union all
  select 'role authenticator', 'requests of admins do not go on as parley_admin, so admins see only their own rows of '
      'users'' tables', false,
      format('grant authenticated to parley_admin; grant parley_admin to authenticator; alter role authenticator in '
        'database %I set pgrst.db_pre_request = %L; notify pgrst, %L; a function that is set already calls '
        'private.pre_request() instead, and is not security definer.', current_database(), 'private.pre_request',
        'reload config')
    where current_user = 'authenticated'
  union all
  select 'role authenticator', format('%s is not called, because this database has another function', s.setting), false,
      format('alter role authenticator in database %I set %s; let that function call private.pre_request().',
        current_database(), s.setting)
    from pg_db_role_setting as d cross join unnest(d.setconfig) as s (setting)
    where d.setrole = to_regrole('authenticator') and d.setdatabase = 0
      and s.setting ~ '^pgrst\.db_pre_request=.' and s.setting <> 'pgrst.db_pre_request=private.pre_request'
      and exists (select from pg_db_role_setting as o join pg_database as b on b.oid = o.setdatabase
        where o.setrole = d.setrole and b.datname = current_database()
          and 'pgrst.db_pre_request=private.pre_request' = any (o.setconfig))
$$;
comment on function private.grant_findings() is
  'Privileges beyond the rules: any for anon or public, any in private, truncate, references, trigger or maintain '
  'for an API role, delete for the service, a whole table where columns are granted; roles that bypass policies; and '
  'a data API that does not know admins.';
revoke execute on function private.grant_findings from public, anon, authenticated, service_role;
grant execute on function private.grant_findings() to authenticated;

create function private.function_findings() returns table (object text, problem text, is_broken boolean, fix text)
  language sql stable security invoker set search_path = '' as $$
  with definers as (
    select p.oid::regprocedure::text as object, p.prosrc, p.proconfig,
      coalesce(obj_description(p.oid, 'pg_proc'), '') as description, g.grantees
    from (select g.oid, array_agg(g.grantee) as grantees from private.api_grants() as g
      where g.kind = 'function' group by g.oid) as g join pg_proc as p on p.oid = g.oid where p.prosecdef
  )
  -- The comment of a function that is meant for every signed-in user contains "for everyone signed in".
  select d.object, 'authenticated may execute it with its owner''s rights, and it does not look at the caller', true,
      format('revoke execute on function %s from authenticated;', d.object)
    from definers as d
    where 'authenticated' = any (d.grantees) and d.prosrc !~ '(auth\.(uid|jwt)|private\.(is_admin|signed_in_user))\('
      and d.description !~* 'for everyone signed in'
  union all
  select d.object, 'it runs with its owner''s rights and the caller''s search_path', false,
      format('alter function %s set search_path = '''';', d.object)
    from definers as d
    where not exists (select from unnest(d.proconfig) as s (setting) where s.setting ~ '^search_path=')
$$;
comment on function private.function_findings() is
  'Security-definer functions that API roles may execute and that do not look at the caller or set no search_path.';
revoke execute on function private.function_findings from public, anon, authenticated, service_role;
grant execute on function private.function_findings() to authenticated;

create function private.person_condition(p_relation oid) returns text
  language sql stable security invoker set search_path = '' as $$
  select '(' || string_agg(case a.attname when 'scope' then 't.scope <> ''public''' else format('t.%I is not null',
      a.attname) end, ' or ') filter (where a.attname <> 'is_shared') || ')'
    || coalesce(' and ' || min('not t.is_shared') filter (where a.attname = 'is_shared'), '')
  from pg_attribute as a
  where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped
    and (a.attname in ('user_id', 'owner_id', 'scope', 'is_shared') or exists (select from pg_constraint as k
      where k.conrelid = p_relation and k.contype = 'f' and k.confrelid = 'auth.users'::regclass
        and k.conkey = array[a.attnum]))
$$;
comment on function private.person_condition(oid) is
  'The condition, on t, for rows that name a user and are neither shared nor public: by user_id, owner_id, scope or a '
  'foreign key to auth.users. Null when the relation has no such column.';
revoke execute on function private.person_condition from public, anon, authenticated, service_role;
grant execute on function private.person_condition(oid) to authenticated;

create function public.diagnose_access() returns jsonb
  language plpgsql stable security invoker set search_path = '' set lock_timeout = '1s'
as $$
begin
  if not private.is_admin() then
    raise exception using errcode = 'PT403', message = 'This is for admins.',
      detail = '{"code": "forbidden", "metadata": {}}';
  end if;
  return jsonb_build_object(
    'relations', (select count(*) from private.own_relations() as r where not r.is_private and r.kind <> 'sequence'),
    'functions', (select count(*) from pg_proc as p where p.pronamespace = 'public'::regnamespace),
    'findings', (
      select coalesce(jsonb_agg(to_jsonb(f) order by f.is_broken desc, f.object, f.problem), '[]')
      from (select * from private.table_findings() union all select * from private.grant_findings()
        union all select * from private.function_findings()) as f));
end
$$;
comment on function public.diagnose_access() is
  '{relations, functions, findings: [{object, problem, is_broken, fix}]} of the schemas public and private, for '
  'admins. is_broken: rows or rights are open to others; otherwise the object differs from the migrations without '
  'opening anything.';
revoke execute on function public.diagnose_access from public, anon, authenticated, service_role;
grant execute on function public.diagnose_access() to authenticated;

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
        -- About 16 MB of a large table: a condition without an index would read all of it.
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
      raise exception using errcode = 'PT000';  -- rolls back the block, which restores the caller's role and claims
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
  '{visible, unchecked: [{relation, role, reason?}]}: tables and views of public in which anon sees a row, or a user '
  'without data sees a row of person_condition(). For admins. Every check is rolled back.';
revoke execute on function public.diagnose_visibility from public, anon, authenticated, service_role;
grant execute on function public.diagnose_visibility() to authenticated;
