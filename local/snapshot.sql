-- Purpose: one row (kind, name, definition) for each object of the schemas public and private, and each trigger on auth.
-- Affects: nothing.
-- Access: the owner of the database. Not-null constraints are read from columns: PostgreSQL 18 lists them as constraints too.

with relations as (
  select n.nspname || '.' || c.relname as name, c.* from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'c')
), functions as (
  select format('%s.%s(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) as name, p.*
  from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private')
), triggers as (
  select format('%s on %s', t.tgname, t.tgrelid::regclass) as name, t.*
  from pg_catalog.pg_trigger as t join pg_catalog.pg_class as c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where not t.tgisinternal and n.nspname in ('public', 'private', 'auth')
), policies as (
  select format('%s on %s', p.polname, p.polrelid::regclass) as name, p.* from pg_catalog.pg_policy as p
), constraints as (
  select c.oid, format('%s on %s', c.conname, r.name) as name, c.conname
  from pg_catalog.pg_constraint as c join relations as r on r.oid = c.conrelid where c.contype <> 'n'
), privileges (kind, name, acl) as (
  select 'privileges of relation', r.name,
    coalesce(r.relacl, pg_catalog.acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner))
  from relations as r where r.relkind <> 'c'
  union all
  select 'privileges of column', r.name || '.' || a.attname, a.attacl
  from relations as r join pg_catalog.pg_attribute as a on a.attrelid = r.oid where a.attacl is not null
  union all
  select 'privileges of function', f.name, coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner)) from functions as f
  union all
  select 'privileges of schema', n.nspname::text, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
  from pg_catalog.pg_namespace as n where n.nspname in ('public', 'private')
  union all
  select 'default privileges', format('%s %s %s', d.defaclrole::regrole, d.defaclnamespace::regnamespace, d.defaclobjtype),
    d.defaclacl from pg_catalog.pg_default_acl as d
), comments (kind, name, body) as (
  select 'comment on relation', r.name, pg_catalog.obj_description(r.oid, 'pg_class') from relations as r
  union all
  select 'comment on column', r.name || '.' || a.attname, pg_catalog.col_description(r.oid, a.attnum)
  from relations as r join pg_catalog.pg_attribute as a on a.attrelid = r.oid and a.attnum > 0
  union all
  select 'comment on function', f.name, pg_catalog.obj_description(f.oid, 'pg_proc') from functions as f
  union all
  select 'comment on policy', p.name, pg_catalog.obj_description(p.oid, 'pg_policy') from policies as p
  union all
  select 'comment on trigger', t.name, pg_catalog.obj_description(t.oid, 'pg_trigger') from triggers as t
  union all
  select 'comment on constraint', c.name, pg_catalog.obj_description(c.oid, 'pg_constraint') from constraints as c
  union all
  select 'comment on type', n.nspname || '.' || t.typname, pg_catalog.obj_description(t.oid, 'pg_type')
  from pg_catalog.pg_type as t join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  where n.nspname in ('public', 'private')
  union all
  select 'comment on schema', n.nspname::text, pg_catalog.obj_description(n.oid, 'pg_namespace')
  from pg_catalog.pg_namespace as n where n.nspname in ('public', 'private')
)
select 'relation' as kind, r.name as name, format('%s owner %s rls %s forced %s options %s%s', r.relkind, r.relowner::regrole,
    r.relrowsecurity, r.relforcerowsecurity, r.reloptions,
    case when r.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(r.oid) end) as definition
  from relations as r
union all
select 'column', r.name || '.' || a.attname, format('%s %s%s%s%s%s',
    row_number() over (partition by r.oid order by a.attnum), pg_catalog.format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then ' not null' end, ' identity ' || nullif(a.attidentity::text, ''),
    case when a.attgenerated <> '' then ' generated' end, ' default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid))
  from relations as r join pg_catalog.pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where r.relkind <> 'S'
union all
select 'constraint', c.name, pg_catalog.pg_get_constraintdef(c.oid) from constraints as c
union all
select 'index', i.indexrelid::regclass::text, pg_catalog.pg_get_indexdef(i.indexrelid)
  from pg_catalog.pg_index as i join relations as r on r.oid = i.indrelid
union all
select 'trigger', t.name, format('%s enabled %s', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled) from triggers as t
union all
select 'policy', p.name, format('%s permissive %s to %s using %s check %s', p.polcmd, p.polpermissive,
    (select string_agg(x::regrole::text, ', ' order by x::regrole::text) from unnest(p.polroles) as x),
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  from policies as p
union all
select 'function', f.name, format('owner %s %s', f.proowner::regrole, pg_catalog.pg_get_functiondef(f.oid)) from functions as f
  where f.prokind in ('f', 'p')
union all
select 'type', n.nspname || '.' || t.typname, format('%s %s', t.typtype, (select string_agg(e.enumlabel, ',' order by e.enumsortorder)
    from pg_catalog.pg_enum as e where e.enumtypid = t.oid))
  from pg_catalog.pg_type as t join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  where n.nspname in ('public', 'private') and t.typtype in ('e', 'd')
union all
select p.kind, p.name, (select string_agg(item::text, ' ' order by item::text) from unnest(p.acl) as item)
  from privileges as p
union all
select c.kind, c.name, c.body from comments as c where c.body is not null
