-- Purpose: the key a client node asks for: its owner leaves it with us, only the service reads it, only the node is told.
-- Affects: table private.client_node_keys; column public.client_nodes.has_key; functions public.set_node_key(), public.node_key(), private.forget_node_key()
-- Access: owners set and remove it (admins for the project's own nodes); the service reads it; definer because keys are granted to nobody.

create table private.client_node_keys (
  node_id bigint constraint client_node_keys_pkey primary key
    constraint client_node_keys_node_id_fkey references public.client_nodes (id) on delete cascade,
  api_key text not null constraint client_node_keys_api_key_check check (char_length(api_key) between 1 and 500 and api_key !~ '[^!-~]'),
  updated_at timestamptz not null default now()
);
comment on table private.client_node_keys is 'The API key of a client node that wants one; written by set_node_key, read by node_key.';
comment on column private.client_node_keys.api_key is 'Printable ASCII without spaces, as it travels in the Authorization header.';
alter table private.client_node_keys enable row level security;
revoke all on private.client_node_keys from public, anon, authenticated, service_role;

alter table public.client_nodes add column has_key boolean not null default false;
comment on column public.client_nodes.has_key is 'Whether its owner left a key for it; written by set_node_key.';

create function public.set_node_key(node_id bigint, api_key text) returns void
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_is_kept boolean := coalesce(set_node_key.api_key, '') <> '';
begin
  -- Locked, so that neither another key nor another URL comes in between.
  perform 1 from public.client_nodes as n
    where n.id = set_node_key.node_id
      and (n.owner_id = (select auth.uid()) or (n.owner_id is null and (select private.is_admin())))
    for no key update;
  if not found then
    perform private.refuse('PT404', 'not_found', 'There is no such client node.');
  end if;
  if v_is_kept and (char_length(set_node_key.api_key) > 500 or set_node_key.api_key ~ '[^!-~]') then
    perform private.refuse('PT422', 'validation_failed',
      'A key has at most 500 characters, all of them printable ASCII and none a space.');
  end if;
  if v_is_kept then
    insert into private.client_node_keys as k (node_id, api_key) values (set_node_key.node_id, set_node_key.api_key)
      on conflict on constraint client_node_keys_pkey do update set api_key = excluded.api_key, updated_at = now();
  else
    delete from private.client_node_keys as k where k.node_id = set_node_key.node_id;
  end if;
  update public.client_nodes as n set has_key = v_is_kept where n.id = set_node_key.node_id and n.has_key <> v_is_kept;
end
$$;
comment on function public.set_node_key(bigint, text) is
  'Leaves a node''s key with us; null or an empty one removes it. Somebody else''s node is not found, as is one that does '
  'not exist. Definer, because keys are granted to nobody.';

create function public.node_key(node_id bigint, base_url text) returns text
  language sql stable security definer set search_path = ''
as $$
  select k.api_key from private.client_node_keys as k join public.client_nodes as n on n.id = k.node_id
  where n.id = node_key.node_id and n.base_url = node_key.base_url
$$;
comment on function public.node_key(bigint, text) is
  'The key to send to this node at this address; null when it has none, or has moved since the caller read where it lives. Definer, because keys are granted to nobody.';

create function private.forget_node_key() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.client_node_keys as k where k.node_id = new.id;
  new.has_key := false;
  return new;
end
$$;
comment on function private.forget_node_key() is
  'Trigger: a key was given for one URL and is not sent to another. Definer, because keys are granted to nobody.';

revoke execute on function public.set_node_key(bigint, text), public.node_key(bigint, text), private.forget_node_key()
  from public, anon, authenticated, service_role;
grant execute on function public.set_node_key(bigint, text) to authenticated;
grant execute on function public.node_key(bigint, text) to service_role;

create trigger client_nodes_forget_key before update of base_url on public.client_nodes
  for each row when (old.base_url is distinct from new.base_url) execute function private.forget_node_key();
