-- Purpose: what API keys and OAuth apps may read of their user, through the tools of the MCP server.
-- Affects: public.read_for_client()
-- Access: the service and the ledger's role, for the owner of a key or the user of an app with the scope.

create function private.act_for_client(p_client jsonb, p_scope text) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_claims jsonb := coalesce(p_client -> 'claims', '{}');
  v_user_id uuid := (v_claims ->> 'sub')::uuid;
  v_key public.api_keys;
begin
  if p_client ? 'key_hash' then
    v_key := private.active_api_key(p_client ->> 'key_hash');
    v_user_id := v_key.user_id;
    if (p_scope = any (v_key.scopes)) is not true then
      perform private.refuse('PT403', 'insufficient_scope', format('This API key lacks the scope %s.', p_scope),
        jsonb_build_object('scope', p_scope));
    end if;
  elsif (p_scope = any (private.app_scopes(v_user_id, v_claims ->> 'client_id', v_claims ->> 'session_id')))
      is not true then
    perform private.refuse('PT403', 'app_not_allowed',
      format('The operator does not allow this app the scope %s, or the user has revoked it.', p_scope),
      jsonb_build_object('scope', p_scope));
  end if;
  perform set_config('request.jwt.claims', jsonb_build_object('role', 'authenticated', 'sub', v_user_id,
    'is_anonymous', false)::text, true);
end
$$;
comment on function private.act_for_client(jsonb, text) is
  'Gives the transaction the claims of the user of a key or an app. Refuses with invalid_api_key (401), '
  'insufficient_scope (403) or app_not_allowed (403).';
revoke execute on function private.act_for_client from public, anon, authenticated, service_role;

create function public.read_for_client(client jsonb, name text, arguments jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
begin
  case name
    when 'search_messages' then
      perform private.act_for_client(client, 'history');
      return (select coalesce(jsonb_agg(to_jsonb(m) order by m.created_at desc), '[]')
        from public.search_messages(arguments ->> 'query', arguments ->> 'chat_id',
          (arguments ->> 'before')::timestamptz, (arguments ->> 'max_rows')::integer) as m);
    when 'my_usage' then
      perform private.act_for_client(client, 'usage');
      return public.my_usage(arguments ->> 'time_zone');
    else
      perform private.refuse('PT404', 'not_found', 'There is no such function.');
  end case;
end
$$;
comment on function public.read_for_client(jsonb, text, jsonb) is
  'The rows of search_messages or the value of my_usage (name) for the user of client: {key_hash} of an API key with '
  'the scope history or usage, or the verified {claims} of the token of an OAuth app that may do this. Definer, '
  'because neither reaches a table; both functions read only what belongs to the caller.';
revoke execute on function public.read_for_client from public, anon, authenticated, service_role;
grant execute on function public.read_for_client(jsonb, text, jsonb) to service_role;
