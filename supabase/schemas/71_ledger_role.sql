-- Purpose: the role of chat's and assist's own connection to this database.
-- Affects: role parley_ledger; public.diagnose_ledger_role()
-- Access: parley_ledger may execute what chat and assist call, and nothing else; admins may see what it may do.

-- A role belongs to the server, so another database may have created it. The operator gives it a login and a password.
do $$
begin
  create role parley_ledger nologin noinherit;
exception when duplicate_object or unique_violation then null;
end
$$;
alter role parley_ledger set statement_timeout = '8s';
alter role parley_ledger set lock_timeout = '8s';
alter role parley_ledger set idle_in_transaction_session_timeout = '10s';
grant usage on schema public to parley_ledger;
grant execute on function public.chat_begin(jsonb), public.chat_extend(jsonb), public.chat_finish(jsonb),
  public.node_key(bigint, text), public.api_key_person(text), public.chat_begin_with_key(text, jsonb),
  public.model_menu(jsonb), public.keep_piece(jsonb), public.follow_turn(jsonb), public.stop_turn(text),
  public.follow_turn_with_key(text, jsonb), public.stop_turn_with_key(text, text), public.stored_answers(jsonb),
  public.find_insights(jsonb, jsonb), public.renew_insight_lease(jsonb),
  public.release_insight_lease(jsonb), public.finish_insight(jsonb, jsonb), public.preset_costs(jsonb),
  public.read_for_client(jsonb, text, jsonb) to parley_ledger;

create function public.diagnose_ledger_role() returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if not private.is_admin() then
    perform private.refuse('PT403', 'forbidden', 'This is for admins.');
  end if;
  return (select jsonb_build_object('has_login', o.rolcanlogin,
      'is_admin', o.rolsuper or o.rolbypassrls or o.rolcreaterole or o.rolcreatedb or o.rolreplication,
      'member_of', coalesce((select jsonb_agg(r.rolname order by r.rolname) from pg_auth_members as m
        join pg_roles as r on r.oid = m.roleid where m.member = o.oid), '[]'),
      'may_use', coalesce((select jsonb_agg(u.object order by u.object) from (
        select c.object from private.own_relations() as c where case when c.kind = 'sequence'
          then has_sequence_privilege(o.oid, c.oid, 'usage, select, update')
          else has_table_privilege(o.oid, c.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(o.oid, c.oid, 'select, insert, update, references') end
        union all
        select p.oid::regprocedure::text from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
          where n.nspname in ('public', 'private') and has_function_privilege(o.oid, p.oid, 'execute')
            and not exists (select from pg_depend as d
              where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')) as u), '[]'))
    from pg_roles as o where o.rolname = 'parley_ledger');
end
$$;
comment on function public.diagnose_ledger_role() is
  '{has_login, is_admin, member_of, may_use}: whether functions may connect as parley_ledger, and the relations and '
  'functions of the schemas public and private that this role may use. For admins.';
revoke execute on function public.diagnose_ledger_role from public, anon, authenticated, service_role;
grant execute on function public.diagnose_ledger_role() to authenticated;
