-- Purpose: where a client node may live, decided when its URL is written; the connection vets what a name resolves to.
-- Affects: table private.settings; functions private.is_public_address(), may_be_host(), may_be_node_url(), vet_node_url(), vet_client_node(); trigger client_nodes_vet_url
-- Access: nobody; the trigger is definer because settings are granted to nobody.

create table private.settings (
  name text constraint settings_pkey primary key,
  value text not null
);
comment on table private.settings is 'What the database must know about its deployment; a missing row is the safe choice.';
comment on column private.settings.name is
  'allow_private_nodes = on: client nodes may live on http, any port and private addresses; on a laptop only, and '
  'together with the functions'' ALLOW_PRIVATE_NODES.';
alter table private.settings enable row level security;
revoke all on private.settings from public, anon, authenticated, service_role;

-- IANA's special-purpose registries, read 2026-11-21; the last but one of IPv4 is Azure's wire server.
create function private.is_public_address(p_address inet) returns boolean
  language sql immutable security invoker set search_path = ''
as $$
  select case family(p_address)
    when 4 then not p_address <<= any (array[
      '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24',
      '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
      '168.63.129.16/32', '224.0.0.0/3']::inet[])
    -- 2001::/23 has Teredo in it and 2002::/16 is 6to4: both stand for an IPv4 address, as do mapped ones and NAT64's.
    else p_address <<= '2000::/3'::inet
      and not p_address <<= any (array['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']::inet[])
    end
$$;
comment on function private.is_public_address(inet) is
  'Whether a server on the Internet may have this address; false for those that stand for another one.';

create function private.may_be_host(p_host text, p_is_private_fine boolean) returns boolean
  language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_address inet;
begin
  if p_host ~ '^\[' then
    begin
      v_address := trim(both '[]' from p_host)::inet;
    exception when invalid_text_representation then
      return false;
    end;
    if family(v_address) <> 6 then
      return false;
    end if;
  elsif p_host ~ '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.(?!$)|$)){4}$' then
    v_address := p_host::inet;
  elsif p_host ~ '(^|\.)([0-9]+|0x[0-9a-f]*)$' then
    return false;  -- 2130706433, 127.1, 0177.0.0.1, 0x7f.1: some resolvers read them as addresses
  end if;
  if v_address is not null then
    return private.is_public_address(v_address) or (p_is_private_fine and not v_address <<= any (array[
      '169.254.0.0/16', '168.63.129.16', '100.100.100.200', '192.0.0.192',  -- link-local, and metadata services
      'fe80::/10', 'fd00:ec2::/32', 'fd20:ce::254',
      '::ffff:0:0/96', '64:ff9b::/32', '2001::/32', '2002::/16']::inet[]));
  end if;
  return char_length(p_host) <= 253
    and p_host ~ '^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$'
    and p_host not in ('metadata.google.internal', 'metadata.goog')
    and (p_is_private_fine or (p_host ~ '\.' and p_host !~ '\.(localhost|local|internal)$'));
end
$$;
comment on function private.may_be_host(text, boolean) is
  'Whether a node may live at this lower-case name, IPv4 address or [IPv6 address], by its shape alone.';

create function private.may_be_node_url(p_url text, p_is_private_fine boolean) returns boolean
  language plpgsql immutable security invoker set search_path = ''
as $$
declare
  -- No room for credentials, a query or a fragment. Printable ASCII only: there are other digits and dots than ASCII's.
  v_parts text[] := regexp_match(p_url, '^(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([1-9][0-9]{0,4}))?(?:/[!-~]*)?$');
begin
  return v_parts is not null and p_url !~ '[\\?#]'
    and (p_is_private_fine or (v_parts[1] = 'https' and coalesce(v_parts[3], '443') in ('443', '8443')))
    and coalesce(v_parts[3]::integer, 443) <= 65535
    and private.may_be_host(lower(v_parts[2]), p_is_private_fine);
end
$$;
comment on function private.may_be_node_url(text, boolean) is
  'Whether a client node may be registered at this URL; the boolean says that http, any port and private addresses are fine.';

create function private.vet_node_url(url text) returns void
  language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_is_private_fine boolean :=
    exists (select 1 from private.settings as s where s.name = 'allow_private_nodes' and s.value = 'on');
begin
  if private.may_be_node_url(url, v_is_private_fine) is not true then
    perform private.refuse('PT422', 'validation_failed', 'A client node is reached over https, on port 443 or 8443, '
      'at a public name or address, without credentials in its URL.');
  end if;
end
$$;
comment on function private.vet_node_url(text) is
  'Refuses a URL where no client node may live, with one message whatever is wrong with it.';

create function private.vet_client_node() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  perform private.vet_node_url(new.base_url);
  return new;
end
$$;
comment on function private.vet_client_node() is
  'Trigger: no role writes a URL where no node may live. Definer, because settings are granted to nobody.';

revoke execute on function private.is_public_address(inet), private.may_be_host(text, boolean),
  private.may_be_node_url(text, boolean), private.vet_node_url(text), private.vet_client_node()
  from public, anon, authenticated, service_role;

create trigger client_nodes_vet_url before insert or update of base_url on public.client_nodes
  for each row execute function private.vet_client_node();
