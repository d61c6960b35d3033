-- Purpose: OAuth apps that may run turns for users who consented, each with a daily cap for each user.
-- Affects: public.oauth_apps, public.my_rights(); a restrictive policy on every table of schema public
-- Access: admins manage the list; tokens of apps reach no table.

create table public.oauth_apps (
  client_id text constraint oauth_apps_pkey primary key
    constraint oauth_apps_client_id_check check (char_length(client_id) between 1 and 200),
  name text not null
    constraint oauth_apps_name_check check (char_length(name) between 1 and 80 and private.is_one_line(name)),
  scopes text[] not null default '{chat,models}'
    constraint oauth_apps_scopes_check check (scopes <@ array['chat', 'history', 'models', 'usage']),
  daily_cost_usd numeric(18, 9) constraint oauth_apps_daily_cost_usd_check check (daily_cost_usd >= 0),
  created_at timestamptz not null default now()
);
comment on table public.oauth_apps is
  'An OAuth app whose tokens (claim client_id) the functions accept. The row * holds for every app without a row of '
  'its own, as clients of MCP register themselves. Without it such apps are refused.';
comment on column public.oauth_apps.scopes is
  'chat: run single turns and completions; models: list models; history: search the user''s messages; usage: read the '
  'user''s usage.';
comment on column public.oauth_apps.daily_cost_usd is
  'US dollars per UTC day and user, reservations included; null = only the caps of the user.';

alter table public.oauth_apps enable row level security;
revoke all on public.oauth_apps from public, anon, authenticated, service_role;
grant insert, select, update, delete on public.oauth_apps to authenticated;

create policy oauth_apps_select_admin on public.oauth_apps for select to authenticated
  using ((select private.is_admin()));
comment on policy oauth_apps_select_admin on public.oauth_apps is 'Admins only.';
create policy oauth_apps_insert_admin on public.oauth_apps for insert to authenticated
  with check ((select private.is_admin()));
comment on policy oauth_apps_insert_admin on public.oauth_apps is 'Admins only.';
create policy oauth_apps_update_admin on public.oauth_apps for update to authenticated
  using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy oauth_apps_update_admin on public.oauth_apps is 'Admins only.';
create policy oauth_apps_delete_admin on public.oauth_apps for delete to authenticated
  using ((select private.is_admin()));
comment on policy oauth_apps_delete_admin on public.oauth_apps is 'Admins only.';

create function private.app_row(p_client_id text) returns public.oauth_apps
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_app public.oauth_apps;
begin
  select * into v_app from public.oauth_apps as a where a.client_id in (p_client_id, '*')
    order by a.client_id = '*' limit 1;
  if v_app.client_id = '*' then
    v_app.name := left(v_app.name, 40) || ' ' || left(p_client_id, 39);
  end if;
  return v_app;
end
$$;
comment on function private.app_row(text) is
  'The row of the app, else the row * with the app''s id in its name; null when no row allows the app.';
revoke execute on function private.app_row from public, anon, authenticated, service_role;

create function private.has_session(p_session_id text) returns boolean
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return p_session_id is null or exists (select from auth.sessions as s
    where s.id = case when p_session_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_session_id::uuid end);
end
$$;
comment on function private.has_session(text) is
  'Whether the session of a token still exists: Supabase Auth deletes it when the user revokes the app. True without a '
  'session.';
revoke execute on function private.has_session from public, anon, authenticated, service_role;

create function private.app_scopes(p_user_id uuid, p_client_id text, p_session_id text) returns text[]
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if not private.has_session(p_session_id) or exists (select from public.api_keys as k
      where k.user_id = p_user_id and k.client_id = p_client_id and k.revoked_at is not null) then
    return '{}';
  end if;
  return coalesce((private.app_row(p_client_id)).scopes, '{}');
end
$$;
comment on function private.app_scopes(uuid, text, text) is
  'What the app may do for the user: nothing when it is not allowed, or when the user has revoked it.';
revoke execute on function private.app_scopes from public, anon, authenticated, service_role;

create function private.app_key(p_user_id uuid, p_client_id text, p_turn private.turn_request) returns uuid
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_app public.oauth_apps := private.app_row(p_client_id);
  v_key public.api_keys;
begin
  if ('chat' = any (v_app.scopes)) is not true then
    perform private.refuse('PT403', 'app_not_allowed', 'The operator does not allow this app.');
  end if;
  -- A stored conversation would show the app what its grant does not cover.
  if num_nonnulls(p_turn.conversation_id, p_turn.client_id, p_turn.message_id) > 0 or p_turn.regenerate then
    perform private.refuse('PT403', 'app_not_allowed', 'An app may not continue a conversation.');
  end if;
  insert into public.api_keys (user_id, client_id, name, key_prefix, scopes, daily_cost_usd, expires_at)
    values (p_user_id, p_client_id, v_app.name, '', '{chat}', v_app.daily_cost_usd, 'infinity')
    on conflict on constraint api_keys_user_id_client_id_key do nothing;
  select * into v_key from public.api_keys as k where k.user_id = p_user_id and k.client_id = p_client_id;
  if v_key.revoked_at is not null or not private.has_session(auth.jwt() ->> 'session_id') then
    perform private.refuse('PT403', 'app_not_allowed', 'The user has revoked this app.');
  end if;
  if v_key.daily_cost_usd is distinct from v_app.daily_cost_usd
      or (v_key.last_used_at > now() - interval '1 minute') is not true then
    update public.api_keys as k set daily_cost_usd = v_app.daily_cost_usd, last_used_at = now() where k.id = v_key.id;
  end if;
  return v_key.id;
end
$$;
comment on function private.app_key(uuid, text, private.turn_request) is
  'The row of api_keys that counts an app''s turns for a user; the first turn inserts it. Refuses with app_not_allowed '
  '(403) when the app is not listed for chat, when the user has revoked it, and for turns of a conversation.';
revoke execute on function private.app_key from public, anon, authenticated, service_role;

create function public.my_rights() returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('is_admin', private.is_admin(), 'app_scopes', case when private.is_app()
    then to_jsonb(private.app_scopes((select auth.uid()), auth.jwt() ->> 'client_id', auth.jwt() ->> 'session_id'))
    end);
end
$$;
comment on function public.my_rights() is
  '{is_admin, app_scopes}: whether the caller''s token has the rights of an admin, and what its OAuth app may do: '
  'nothing when the user has revoked it; null for a token of no app. Definer, because the list of apps is not granted.';
revoke execute on function public.my_rights from public, anon, authenticated, service_role;
grant execute on function public.my_rights() to authenticated;

do $$
declare
  v_table text;
begin
  for v_table in
    select c.relname from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname
  loop
    execute format(
      'create policy %I on public.%I as restrictive to authenticated using (not (select private.is_app()))',
      v_table || '_no_apps', v_table);
    execute format('comment on policy %I on public.%I is %L', v_table || '_no_apps', v_table,
      'Tokens of OAuth apps reach no table.');
  end loop;
end
$$;
