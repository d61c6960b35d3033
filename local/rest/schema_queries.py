"""The SQL that reads the schema cache from PostgreSQL's catalogue; $1 is the exposed schema."""

from __future__ import annotations

TABLES = """
    select c.relname,
      (select json_object_agg(a.attname, format_type(a.atttypid, -1) order by a.attnum) from pg_attribute as a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      coalesce((select json_agg(a.attname order by a.attnum) from pg_index as i
                join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
                where i.indrelid = c.oid and i.indisprimary), '[]'),
      c.relkind in ('v', 'm'),
      case when c.relkind in ('r', 'p') then 28 else pg_relation_is_updatable(c.oid, true) end
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = $1 and not c.relispartition
"""
FOREIGN_KEYS = """
    select k.conname, source.relname, target.relname,
      (select json_agg(json_build_array(a.attname, b.attname)) from unnest(k.conkey, k.confkey) as u (x, y)
       join pg_attribute as a on a.attrelid = source.oid and a.attnum = x
       join pg_attribute as b on b.attrelid = target.oid and b.attnum = y),
      exists (select 1 from pg_index as i where i.indrelid = source.oid and i.indisunique and i.indpred is null
              and string_to_array(i.indkey::text, ' ')::int2[] = k.conkey)
    from pg_constraint as k
    join pg_class as source on source.oid = k.conrelid join pg_class as target on target.oid = k.confrelid
    where k.contype = 'f' and source.relnamespace = $1::regnamespace and target.relnamespace = $1::regnamespace
      and not source.relispartition
"""
VIEW_COLUMNS = """
    select v.relname, b.relname, json_agg(distinct a.attname)
    from pg_class as v
    join pg_rewrite as r on r.ev_class = v.oid
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
      and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.refobjid <> v.oid
    join pg_class as b on b.oid = d.refobjid and b.relnamespace = v.relnamespace
    join pg_attribute as a on a.attrelid = b.oid and a.attnum = d.refobjsubid
    join pg_attribute as same on same.attrelid = v.oid and same.attname = a.attname
    where v.relkind in ('v', 'm') and v.relnamespace = $1::regnamespace
    group by v.relname, b.relname
"""
FUNCTIONS = """
    select p.proname,
      (select coalesce(json_agg(json_build_array(coalesce(a.name, ''), format_type(a.type, -1)) order by a.i)
                       filter (where coalesce(a.mode, 'i') in ('i', 'b', 'v')), '[]')
       from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes, p.proargnames) with ordinality
         as a (type, mode, name, i)),
      p.pronargdefaults,
      (select coalesce(json_agg(s), '[]') from unnest(p.proconfig) as s where s like 'statement_timeout=%'),
      p.provariadic <> 0, p.provolatile <> 'v', p.proretset, p.prorettype = 'void'::regtype,
      t.typtype = 'c' or coalesce(p.proargmodes && '{t,b,o}', false),
      (select c.relname from pg_class as c where c.oid = t.typrelid and c.relnamespace = p.pronamespace),
      (select c.relname from pg_class as c join pg_type as own on own.oid = p.proargtypes[0]
       where p.pronargs = 1 and c.oid = own.typrelid and c.relnamespace = p.pronamespace),
      p.proretset and p.prorows = 1
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace join pg_type as t on t.oid = p.prorettype
    where p.prokind = 'f' and p.prorettype <> 'trigger'::regtype and n.nspname = $1
"""
ROLE_SETTINGS = """
    select r.rolname, coalesce(
      (select json_agg(s order by d.setdatabase)
       from pg_db_role_setting as d, unnest(d.setconfig) as s
       where d.setrole = r.oid and (d.setdatabase = 0 and s ~ '^(statement_timeout|lock_timeout)='
         or d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
           and s ~ '^pgrst[.](db_plan_enabled|db_pre_request)=')), '[]')
    from pg_roles as r
"""
