-- Purpose: a forgotten person's own model servers lose address and models' names, too, and that somebody was forgotten is known.
-- Affects: table private.forgotten_people; functions private.note_forgotten(), unnamed_model(), unnamed_attempts(), unnamed_entry(), forget_turns(), forget_words()
-- Access: called by the ledger's functions and the deletion of a person only.

create table private.forgotten_people (
  user_id uuid constraint forgotten_people_pkey primary key,
  forgotten_at timestamptz not null default clock_timestamp(),
  is_complete boolean not null default true
);
comment on table private.forgotten_people is 'Whose words were deleted, with or without their account, so that none of before comes back from a spool.';
comment on column private.forgotten_people.user_id is 'No foreign key: most of them are gone.';
comment on column private.forgotten_people.forgotten_at is 'The last time, by the database''s clock.';
comment on column private.forgotten_people.is_complete is
  'False while a finish may have held one of their write-ahead rows when their account was deleted; sweep_turns looks again.';
create index forgotten_people_user_id_idx on private.forgotten_people (user_id) where not is_complete;
alter table private.forgotten_people enable row level security;
revoke all on private.forgotten_people from public, anon, authenticated, service_role;

create function private.note_forgotten(p_user_id uuid, p_is_complete boolean) returns void
  language sql volatile security invoker set search_path = ''
as $$
  insert into private.forgotten_people (user_id, is_complete) values (p_user_id, p_is_complete)
    on conflict on constraint forgotten_people_pkey do update
      set forgotten_at = excluded.forgotten_at, is_complete = excluded.is_complete
$$;
comment on function private.note_forgotten(uuid, boolean) is 'Remembers that somebody''s words were deleted just now.';

create function private.unnamed_model(p_identifier text, p_user_id uuid) returns text
  language sql stable security invoker set search_path = ''
as $$
  select case when p_identifier ~ '^client:[0-9]{1,18}:' and not exists (
      select 1 from public.client_nodes as n where n.owner_id is distinct from p_user_id
        and n.id = case when p_identifier ~ '^client:[0-9]{1,18}:' then split_part(p_identifier, ':', 2)::bigint end)
    then 'client:' || split_part(p_identifier, ':', 2) else p_identifier end
$$;
comment on function private.unnamed_model(text, uuid) is
  'The identifier; client:<node> alone when the node is this person''s own or gone, for its owner gave the model its name.';

create function private.unnamed_attempts(p_attempts jsonb, p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(case when a.attempt ? 'identifier'
      then a.attempt || jsonb_build_object('identifier', private.unnamed_model(a.attempt ->> 'identifier', p_user_id))
      else a.attempt end order by a.place), '[]')
  from jsonb_array_elements(case jsonb_typeof(p_attempts) when 'array' then p_attempts else '[]' end)
    with ordinality as a (attempt, place)
$$;
comment on function private.unnamed_attempts(jsonb, uuid) is 'The attempts with their identifiers as unnamed_model() gives them.';

create function private.unnamed_entry(p_entry jsonb, p_user_id uuid) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  select p_entry || jsonb_build_object('identifier', private.unnamed_model(p_entry ->> 'identifier', p_user_id),
    'attempts', private.unnamed_attempts(p_entry -> 'attempts', p_user_id))
$$;
comment on function private.unnamed_entry(jsonb, uuid) is 'chat_finish''s entry with its identifiers as unnamed_model() gives them.';

create or replace function private.forget_turns(p_ids uuid[]) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update private.turns as r
    set question = null, metadata = '{}', requested_model = null, request_id = null, idempotency_key = null,
        body_hash = null, regenerates = null, is_forgotten = true,
        -- While a turn runs its calls are priced by their routes' names.
        routes = (select coalesce(jsonb_agg((e.route - 'base_url') || case
              when r.state = 'started' or u.identifier is not distinct from e.route ->> 'identifier' then '{}'
              else jsonb_build_object('identifier', u.identifier, 'upstream_id', null) end order by e.place), '[]')
          from jsonb_array_elements(r.routes) with ordinality as e (route, place)
          cross join lateral (select private.unnamed_model(e.route ->> 'identifier', r.user_id) as identifier) as u)
    where r.id = any (p_ids)
$$;
comment on function private.forget_turns(uuid[]) is
  'Takes everything a person wrote out of write-ahead rows, and the addresses of nodes; money and state stay. The names of their own '
  'nodes'' models go when the turn is over: whoever ends a forgotten turn calls this again.';

create or replace function private.forget_words(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = ''
as $$
  update public.chat_logs as l
    set user_id = null, question = null, response = null, request_id = null, requested_model = null,
        conversation_id = null, user_id_hash = null, escalation_metadata = null, tools_used = '[]', metadata = '{}',
        model = case when private.unnamed_model(l.model_identifier, p_user_id) is not distinct from l.model_identifier then l.model end,
        model_identifier = private.unnamed_model(l.model_identifier, p_user_id),
        route_arm = private.unnamed_model(l.route_arm, p_user_id), attempts = private.unnamed_attempts(l.attempts, p_user_id)
    where l.user_id = p_user_id;
  update public.usage_daily as d  -- what purged rows had counted
    set user_id = null, model_identifier = private.unnamed_model(d.model_identifier, p_user_id) where d.user_id = p_user_id;
  delete from private.spool_quarantine as q where q.user_id = p_user_id
$$;
comment on function private.forget_words(uuid) is
  'Log rows keep what was used and spent, without the person, their words and the names of their own nodes'' models; quarantined records of theirs go.';

revoke execute on function private.note_forgotten(uuid, boolean), private.unnamed_model(text, uuid),
  private.unnamed_attempts(jsonb, uuid), private.unnamed_entry(jsonb, uuid)
  from public, anon, authenticated, service_role;
