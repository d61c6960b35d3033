-- Purpose: read-only shares of a conversation, and invitations to it.
-- Affects: public.conversation_shares, public.conversation_invitations, their functions
-- Access: owners make, list and delete them; who has a token reads or joins; definer because tokens are not granted.

create function private.token_hash(p_token text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select encode(sha256(convert_to(p_token, 'utf8')), 'hex')
$$;
comment on function private.token_hash(text) is 'SHA-256 of a token, in hex. Tokens are random and long, so no salt.';
revoke execute on function private.token_hash from public, anon, authenticated, service_role;

create table public.conversation_shares (
  id uuid default gen_random_uuid() constraint conversation_shares_pkey primary key,
  conversation_id uuid not null constraint conversation_shares_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  created_by uuid not null constraint conversation_shares_created_by_fkey references auth.users (id) on delete cascade,
  token_hash text not null constraint conversation_shares_token_hash_key unique,
  title text,
  messages jsonb not null constraint conversation_shares_messages_check
    check (jsonb_typeof(messages) = 'array' and octet_length(messages::text) <= 8388608),
  authors uuid[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz
);
comment on table public.conversation_shares is
  'A copy of a conversation, as it was when its owner shared it, for all who have the token. Deleting the row revokes '
  'it.';
comment on column public.conversation_shares.messages is 'UIMessages without ids, names, costs and files.';
comment on column public.conversation_shares.authors is
  'Users whose questions are in messages: the share is deleted with the data of any of them.';
comment on column public.conversation_shares.expires_at is 'Null when it does not expire.';

create index conversation_shares_conversation_id_idx on public.conversation_shares (conversation_id);
create index conversation_shares_created_by_idx on public.conversation_shares (created_by);
create index conversation_shares_authors_idx on public.conversation_shares using gin (authors);

alter table public.conversation_shares enable row level security;
revoke all on public.conversation_shares from public, anon, authenticated, service_role;
grant select (id, conversation_id, created_by, title, created_at, expires_at)
  on public.conversation_shares to authenticated;
grant delete on public.conversation_shares to authenticated;

create policy conversation_shares_select_owner on public.conversation_shares for select to authenticated
  using (created_by = (select auth.uid()));
comment on policy conversation_shares_select_owner on public.conversation_shares is 'Owners list their shares.';
create policy conversation_shares_delete_owner on public.conversation_shares for delete to authenticated
  using (created_by = (select auth.uid()));
comment on policy conversation_shares_delete_owner on public.conversation_shares is 'Owners revoke their shares.';

create function private.owned_conversation(p_conversation_id uuid, p_verb text) returns public.llm_conversations
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_row public.llm_conversations;
begin
  select c.* into v_row from public.llm_conversations as c
    join public.conversation_members as m on m.conversation_id = c.id and m.user_id = (select auth.uid())
    where c.id = p_conversation_id;
  if v_row.id is null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  elsif v_row.user_id <> (select auth.uid()) then
    perform private.refuse('PT403', 'forbidden', format('Only its owner %s a conversation.', p_verb));
  end if;
  return v_row;
end
$$;
comment on function private.owned_conversation(uuid, text) is
  'The conversation of the caller. Refuses with 404 for non-members and 403 for members who are not the owner.';
revoke execute on function private.owned_conversation from public, anon, authenticated, service_role;

create function private.expiry(p_days integer) returns timestamptz
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_days not between 1 and 365 then
    perform private.refuse('PT422', 'validation_failed', 'expires_in_days is 1 to 365.');
  end if;
  return now() + make_interval(days => p_days);
end
$$;
comment on function private.expiry(integer) is 'The time in so many days, 1 to 365; null for null.';
revoke execute on function private.expiry from public, anon, authenticated, service_role;

create function public.create_share(conversation_id uuid, expires_in_days integer default null) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_row public.llm_conversations := private.owned_conversation(create_share.conversation_id, 'shares');
  v_token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_max integer := private.setting('shares_per_person', 200);
  v_share public.conversation_shares;
begin
  perform private.refuse_apps();
  perform pg_advisory_xact_lock(hashtextextended('private.create_share:' || v_user_id, 0));
  if (select count(*) from public.conversation_shares as s where s.created_by = v_user_id) >= v_max then
    perform private.refuse('PT429', 'too_many_shares', format('A user has at most %s shares: delete one.', v_max));
  end if;
  with newest as (
    select m.* from public.messages as m where m.conversation_id = v_row.id and not m.is_tentative
    order by m.created_at desc, m.id desc limit 1000
  ), shown as (  -- the share goes with each author's words, so an answer is not shown without its question
    select n.* from newest as n where n.role = 'user' or exists (
      select 1 from newest as q where q.turn_id = n.turn_id and q.role = 'user')
  ), people as (
    select array_agg(p.user_id order by p.first_at) as ids from (
      select s.user_id, min(s.created_at) as first_at from shown as s where s.user_id is not null
      group by s.user_id) as p
  )
  insert into public.conversation_shares
    (conversation_id, created_by, token_hash, title, authors, expires_at, messages)
    select v_row.id, v_user_id, private.token_hash(v_token), v_row.title, coalesce(p.ids, '{}'),
      private.expiry(create_share.expires_in_days), coalesce((
        select jsonb_agg(jsonb_build_object('role', s.role,
            'parts', coalesce(case when s.role = 'assistant' then s.parts end,
              jsonb_build_array(jsonb_build_object('type', 'text', 'text', s.content))
              -- Files stay with the members: a place in the copy says that there was one.
              || coalesce((select jsonb_agg(jsonb_build_object('type', 'file', 'mediaType', e.part ->> 'mediaType',
                  'url', '')) from jsonb_array_elements(s.parts) as e (part) where e.part ->> 'type' = 'file'), '[]')),
            -- A node's name and its models' are its owner's words.
            'metadata', jsonb_strip_nulls(jsonb_build_object('author', array_position(p.ids, s.user_id),
              'model_label', case when s.model_used not like 'client:%' then s.model_label end,
              'agent', s.agent_type, 'status', s.status, 'created_at', s.created_at)))
          order by s.created_at, s.id) from shown as s), '[]')
    from people as p
    returning * into v_share;
  return jsonb_build_object('id', v_share.id, 'token', v_token, 'expires_at', v_share.expires_at);
end
$$;
comment on function public.create_share(uuid, integer) is
  '{id, token, expires_at}: shares a conversation of the caller as it is now; without expires_in_days the share does '
  'not expire. Only this call shows the token. 403 for members, 429 too_many_shares at shares_per_person.';
revoke execute on function public.create_share from public, anon, authenticated, service_role;
grant execute on function public.create_share(uuid, integer) to authenticated;

create function public.shared_conversation(token text) returns jsonb
  language plpgsql stable security definer set search_path = '' as $$
declare
  v_found jsonb := (
    select jsonb_build_object('title', s.title, 'messages', s.messages, 'created_at', s.created_at,
      'expires_at', s.expires_at)
    from public.conversation_shares as s
    where s.token_hash = private.token_hash(shared_conversation.token)
      and (s.expires_at is null or s.expires_at > now()));
begin
  perform private.refuse_apps();
  if v_found is null then
    perform private.refuse('PT404', 'share_not_found', 'This share does not exist, was revoked or has expired.');
  end if;
  return v_found;
end
$$;
comment on function public.shared_conversation(text) is
  '{title, messages, created_at, expires_at} of a share; messages are UIMessages without ids, and metadata.author '
  'counts the people. For everyone signed in who has the token. 404 share_not_found when it was revoked or has '
  'expired.';
revoke execute on function public.shared_conversation from public, anon, authenticated, service_role;
grant execute on function public.shared_conversation(text) to authenticated;

create table public.conversation_invitations (
  id uuid default gen_random_uuid() constraint conversation_invitations_pkey primary key,
  conversation_id uuid not null constraint conversation_invitations_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  created_by uuid not null
    constraint conversation_invitations_created_by_fkey references auth.users (id) on delete cascade,
  token_hash text not null constraint conversation_invitations_token_hash_key unique,
  email text constraint conversation_invitations_email_check check (char_length(email) between 3 and 320),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
comment on table public.conversation_invitations is
  'An invitation to a conversation, by a link or to an e-mail address. Deleting the row revokes it.';
comment on column public.conversation_invitations.email is
  'In lower case: only a user with this confirmed address may accept, once. Null for a link, which many may use.';

create index conversation_invitations_conversation_id_idx on public.conversation_invitations (conversation_id);
create index conversation_invitations_created_by_idx on public.conversation_invitations (created_by);
create index conversation_invitations_email_idx on public.conversation_invitations (email) where email is not null;

alter table public.conversation_invitations enable row level security;
revoke all on public.conversation_invitations from public, anon, authenticated, service_role;
grant select (id, conversation_id, created_by, email, created_at, expires_at)
  on public.conversation_invitations to authenticated;
grant delete on public.conversation_invitations to authenticated;

create policy conversation_invitations_select_owner on public.conversation_invitations for select to authenticated
  using (created_by = (select auth.uid()));
comment on policy conversation_invitations_select_owner on public.conversation_invitations is
  'Owners list their invitations.';
create policy conversation_invitations_delete_owner on public.conversation_invitations for delete to authenticated
  using (created_by = (select auth.uid()));
comment on policy conversation_invitations_delete_owner on public.conversation_invitations is
  'Owners revoke their invitations.';

create function private.confirmed_email(p_user_id uuid) returns text
  language sql stable security invoker set search_path = '' as $$
  select lower(u.email) from auth.users as u
  where u.id = p_user_id and u.email_confirmed_at is not null and u.email <> ''
$$;
comment on function private.confirmed_email(uuid) is 'The user''s confirmed e-mail address; null when there is none.';
revoke execute on function private.confirmed_email from public, anon, authenticated, service_role;

create function public.create_invitation(
  conversation_id uuid, email text default null, expires_in_days integer default 7) returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_row public.llm_conversations := private.owned_conversation(create_invitation.conversation_id, 'opens');
  v_email text := lower(btrim(create_invitation.email));
  v_token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_invitation public.conversation_invitations;
begin
  perform private.refuse_apps();
  if v_email !~ '^[^\s@]+@[^\s@]+$' or char_length(v_email) > 320 then
    perform private.refuse('PT422', 'validation_failed', 'email is no e-mail address.');
  end if;
  perform 1 from public.llm_conversations as c where c.id = v_row.id for no key update;
  delete from public.conversation_invitations as i
    where i.conversation_id = v_row.id and (i.email = v_email or i.expires_at < now());
  if (select count(*) from public.conversation_invitations as i where i.conversation_id = v_row.id) >= 50 then
    perform private.refuse('PT429', 'too_many_invitations', 'A conversation has at most 50 invitations: delete one.');
  end if;
  insert into public.conversation_invitations (conversation_id, created_by, token_hash, email, expires_at)
    values (v_row.id, (select auth.uid()), private.token_hash(v_token), v_email,
      private.expiry(coalesce(create_invitation.expires_in_days, 7)))
    returning * into v_invitation;
  return jsonb_build_object('id', v_invitation.id, 'token', v_token, 'expires_at', v_invitation.expires_at);
end
$$;
comment on function public.create_invitation(uuid, text, integer) is
  '{id, token, expires_at}: an invitation to a conversation of the caller. With email only the user with this '
  'confirmed address may accept it, once; a new one to the same address replaces the old one. Parley sends no e-mail. '
  'Only this call shows the token. 403 for members, 429 too_many_invitations at 50.';
revoke execute on function public.create_invitation from public, anon, authenticated, service_role;
grant execute on function public.create_invitation(uuid, text, integer) to authenticated;

create function public.my_invitations() returns table (
  id uuid, conversation_id uuid, title text, created_at timestamptz, expires_at timestamptz)
  language sql stable security definer set search_path = '' as $$
  select i.id, i.conversation_id, c.title, i.created_at, i.expires_at
  from public.conversation_invitations as i join public.llm_conversations as c on c.id = i.conversation_id
  where i.email = private.confirmed_email((select auth.uid())) and i.expires_at > now()
    and not (select private.is_app())
  order by i.created_at desc
$$;
comment on function public.my_invitations() is
  'Invitations to the caller''s confirmed e-mail address, newest first, with the titles of their conversations.';
revoke execute on function public.my_invitations from public, anon, authenticated, service_role;
grant execute on function public.my_invitations() to authenticated;

create function public.accept_invitation(token text) returns uuid
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_user_id uuid := (select auth.uid());
  v_email text := private.confirmed_email(v_user_id);
  v_row public.conversation_invitations;
begin
  perform private.refuse_apps();
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to accept an invitation.');
  end if;
  select i.* into v_row from public.conversation_invitations as i
    where (i.token_hash = private.token_hash(accept_invitation.token)
        or (i.email = v_email and i.id::text = accept_invitation.token))
      and (i.email is null or i.email = v_email) and i.expires_at > now()
    for update;
  if not found then
    perform private.refuse('PT404', 'invitation_not_found',
      'This invitation does not exist, is for another address, was revoked or has expired.');
  end if;
  perform 1 from public.llm_conversations as c where c.id = v_row.conversation_id for no key update;
  if (select count(*) from public.conversation_members as m where m.conversation_id = v_row.conversation_id) >= 100 then
    perform private.refuse('PT422', 'validation_failed', 'A conversation has at most 100 members by invitation.');
  end if;
  insert into public.conversation_members (conversation_id, user_id) values (v_row.conversation_id, v_user_id)
    on conflict do nothing;
  if v_row.email is not null then
    delete from public.conversation_invitations as i where i.id = v_row.id;
  end if;
  return v_row.conversation_id;
end
$$;
comment on function public.accept_invitation(text) is
  'Makes the caller a member of the conversation, whose id it returns. token is that of the invitation, or the id of '
  'one of my_invitations(). 404 invitation_not_found for another address and after it was revoked or has expired.';
revoke execute on function public.accept_invitation from public, anon, authenticated, service_role;
grant execute on function public.accept_invitation(text) to authenticated;

create function private.close_invitations() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  -- A member who leaves may come back by the link; a member whom the owner removes may not.
  if old.user_id is distinct from (select auth.uid()) then
    delete from public.conversation_invitations as i
      where i.conversation_id = old.conversation_id
        and (i.email is null or i.email = (select lower(u.email) from auth.users as u where u.id = old.user_id));
  end if;
  return null;
end
$$;
comment on function private.close_invitations() is
  'Trigger: revokes the links of a conversation, and invitations to the member''s address, when a member is removed. '
  'Definer, because members do not delete invitations.';
revoke execute on function private.close_invitations from public, anon, authenticated, service_role;
create trigger conversation_members_close_invitations after delete on public.conversation_members
  for each row execute function private.close_invitations();
