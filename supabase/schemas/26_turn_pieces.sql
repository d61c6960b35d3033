-- Purpose: the stream of a running resumable turn, kept so that other requests and devices can read it.
-- Affects: private.turn_pieces, public.keep_piece(), public.follow_turn(), public.stop_turn()
-- Access: chat writes; members of the conversation read and stop; definer because write-ahead rows are not granted.

create table private.turn_pieces (
  turn_id uuid not null,
  place integer not null,
  frames text not null constraint turn_pieces_frames_check check (octet_length(frames) <= 4194304),
  is_last boolean not null default false,
  kept_at timestamptz not null default now(),
  constraint turn_pieces_pkey primary key (turn_id, place)
);
comment on table private.turn_pieces is
  'Pieces of the streams of resumable turns, as the AI SDK reads them. Deleted a minute after the end of the turn.';
comment on column private.turn_pieces.turn_id is
  'No foreign key: keep_piece locks the turn so that a deletion of its words sees every piece.';
comment on column private.turn_pieces.place is 'Counts from 1 without gaps.';
comment on column private.turn_pieces.frames is
  'Server-sent events. A piece may end inside of one; all pieces of a turn in their order are its stream.';
comment on column private.turn_pieces.is_last is 'The end of the stream, written after chat_finish.';

create index turn_pieces_kept_at_idx on private.turn_pieces (kept_at) where is_last;

alter table private.turn_pieces enable row level security;
revoke all on private.turn_pieces from public, anon, authenticated, service_role;

create function public.keep_piece(piece jsonb) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '2s'
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_id uuid := (piece ->> 'turn_id')::uuid;
  v_frames text := coalesce(piece ->> 'frames', '');
  v_is_last boolean := coalesce((piece ->> 'is_last')::boolean, false);
  v_row record;
begin
  -- A crash of the server may lose the last pieces; the answer itself is in chat_finish.
  perform set_config('synchronous_commit', 'off', true);
  -- A deletion of the turn's words waits for this lock, so that it sees the piece.
  select r.state, r.lease_until, r.stopped_at,
      r.is_resumable and not r.is_forgotten and r.worker_id = (piece ->> 'worker_id')::uuid and exists (
        select 1 from public.conversation_members as m
        where m.conversation_id = r.conversation_id and m.user_id = r.user_id) as is_open
    into v_row from private.turns as r where r.id = v_id for share of r;
  if v_row.is_open is not true then
    return '{"outcome": "closed"}';
  end if;
  if v_frames <> '' or v_is_last then
    insert into private.turn_pieces (turn_id, place, frames, is_last)
      values (v_id, (piece ->> 'place')::integer, v_frames, v_is_last)
      on conflict on constraint turn_pieces_pkey do nothing;
  end if;
  if v_is_last then
    delete from private.turn_pieces as p where p.turn_id = any (array(
      select e.turn_id from private.turn_pieces as e where e.is_last and e.kept_at < now() - interval '1 minute'
      order by e.kept_at limit 20 for update skip locked));
  elsif v_row.state = 'started' and v_row.lease_until < now() + interval '20 seconds' then
    update private.turns as r set lease_until = now() + interval '30 seconds' where r.id = v_id;
  end if;
  return case when v_row.stopped_at is null then '{"outcome": "kept"}' else '{"outcome": "stopped"}' end;
end
$$;
comment on function public.keep_piece(jsonb) is
  'Keeps a piece of a resumable turn''s stream and renews the turn''s lease; safe to repeat. piece: turn_id, '
  'worker_id, place, frames? (none: only the lease is renewed), is_last?. Returns outcome: kept; stopped (a user '
  'stopped the turn); closed (the turn is not resumable, is deleted, has another worker, or its user left the '
  'conversation). The last piece of a turn deletes pieces of turns that ended over a minute ago.';
revoke execute on function public.keep_piece from public, anon, authenticated, service_role;
grant execute on function public.keep_piece(jsonb) to service_role;

create function private.members_conversation(p_user_id uuid, p_chat_id text) returns uuid
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (select c.id from public.llm_conversations as c
  join public.conversation_members as m on m.conversation_id = c.id and m.user_id = p_user_id
  where c.id = case when p_chat_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_chat_id::uuid end
    or (c.user_id = p_user_id and c.client_id = p_chat_id)
  -- the conversation's id goes before a client's id
  order by c.client_id is not distinct from p_chat_id limit 1);
end
$$;
comment on function private.members_conversation(uuid, text) is
  'The conversation of this id or client''s id, of which the user is a member; null when there is none.';
revoke execute on function private.members_conversation from public, anon, authenticated, service_role;

create function private.turn_to_follow(p_conversation_id uuid) returns uuid
  language sql stable security invoker set search_path = '' as $$
  select r.id from private.turns as r
  where r.conversation_id = p_conversation_id and r.state = 'started' and r.is_resumable and not r.is_forgotten
    -- The words of a killed instance are shown while its question is the latest message. A tentative question is not
    -- shown, so its words could follow only the answer that they were to replace.
    and (r.lease_until > now() or r.id = (
      select case when m.role = 'user' and not m.is_tentative then m.turn_id end from public.messages as m
      where m.conversation_id = p_conversation_id order by m.created_at desc, m.id desc limit 1))
  order by r.lease_until > now() desc, r.started_at desc limit 1
$$;
comment on function private.turn_to_follow(uuid) is
  'The conversation''s resumable turn that runs, else the last turn when its instance was killed; null when there is '
  'none.';
revoke execute on function private.turn_to_follow from public, anon, authenticated, service_role;

create function public.follow_turn(follow jsonb) returns jsonb
  language plpgsql stable security definer set search_path = ''
  set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_user_id uuid := private.signed_in_user();
  v_conversation_id uuid;
  v_id uuid;
  v_row record;
  v_found record;
begin
  perform private.refuse_apps();
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to read an answer.');
  end if;
  v_conversation_id := private.members_conversation(v_user_id, follow ->> 'chat_id');
  v_id := coalesce((follow ->> 'turn_id')::uuid, private.turn_to_follow(v_conversation_id));
  select r.state, r.lease_until > now() as is_held, r.finished_at into v_row from private.turns as r
    where r.id = v_id and r.conversation_id = v_conversation_id and r.is_resumable and not r.is_forgotten;
  if not found then
    return '{"outcome": "none"}';
  end if;
  select string_agg(p.frames, '' order by p.place) as frames, max(p.place) as place, bool_or(p.is_last) as is_last
    into v_found from private.turn_pieces as p
    where p.turn_id = v_id and p.place > coalesce((follow ->> 'after')::integer, 0);
  return jsonb_build_object('turn_id', v_id, 'frames', coalesce(v_found.frames, ''),
    'place', coalesce(v_found.place, (follow ->> 'after')::integer, 0), 'is_whole', coalesce(v_found.is_last, false),
    'outcome', case
      when v_found.is_last then 'ended'
      when v_row.state in ('settled', 'failed') then
        case when v_row.finished_at > now() - interval '5 seconds' then 'running' else 'ended' end
      when v_row.state = 'started' and v_row.is_held then 'running'
      else 'lost' end);
end
$$;
comment on function public.follow_turn(jsonb) is
  'The stream of a resumable turn in a conversation of the caller. follow: chat_id (the conversation''s or the '
  'client''s id), turn_id? (by default the turn that runs), after? (place of the last piece that was read). Returns '
  'outcome (none, running, ended, or lost: the instance was killed), turn_id, frames, place, is_whole (the frames have '
  'the end of the stream). For members only.';
revoke execute on function public.follow_turn from public, anon, authenticated, service_role;
grant execute on function public.follow_turn(jsonb) to authenticated;

create function public.stop_turn(chat_id text) returns jsonb
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '3s' as $$
declare
  v_user_id uuid := private.signed_in_user();
  v_conversation_id uuid := private.members_conversation(v_user_id, stop_turn.chat_id);
  v_id uuid;
begin
  perform private.refuse_apps();
  if v_user_id is null then
    perform private.refuse('PT401', 'invalid_token', 'Sign in to stop an answer.');
  elsif v_conversation_id is null then
    perform private.refuse('PT404', 'conversation_not_found', 'There is no such conversation.');
  end if;
  perform set_config('synchronous_commit', 'off', true);
  update private.turns as r set stopped_at = coalesce(r.stopped_at, now())
    where r.conversation_id = v_conversation_id and r.state = 'started' and r.is_resumable and r.lease_until > now()
      and (r.user_id = v_user_id or exists (
        select 1 from public.llm_conversations as c where c.id = v_conversation_id and c.user_id = v_user_id))
    returning r.id into v_id;
  return jsonb_build_object('stopped', v_id is not null, 'turn_id', v_id);
exception when lock_not_available or deadlock_detected or serialization_failure or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.stop_turn(text) is
  'Stops the resumable turn that runs in a conversation, for its user and for the conversation''s owner. Returns '
  '{stopped, turn_id}; stopped is false when none runs. chat ends the turn at its next piece and keeps its words.';
revoke execute on function public.stop_turn from public, anon, authenticated, service_role;
grant execute on function public.stop_turn(text) to authenticated;

create function private.kept_words(p_turn_id uuid) returns text
  language sql stable security invoker set search_path = '' as $$
  select string_agg(e.delta, '' order by e.place)
  from (
    select l.place, substr(l.line, 7)::jsonb ->> 'delta' as delta
    from (select string_agg(p.frames, '' order by p.place) as frames
          from private.turn_pieces as p where p.turn_id = p_turn_id) as k
    cross join lateral regexp_split_to_table(k.frames, '\n\n') with ordinality as l (line, place)
    -- A piece whose end is lost may end inside of an event.
    where l.line ~ '^data: \{"type":"text-delta".*"\}$' and position('\u0000' in l.line) = 0
  ) as e
$$;
comment on function private.kept_words(uuid) is 'The text of the answer in a turn''s pieces; null when there is none.';
revoke execute on function private.kept_words from public, anon, authenticated, service_role;

create function private.keep_lost_answers(p_rows private.turns[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into public.messages
    (id, conversation_id, user_id, role, content, model_used, model_label, agent_type, turn_id, status)
    select r.id, r.conversation_id, null, 'assistant', k.words, r.routes #>> '{0,identifier}',
      private.model_label(r.routes, r.routes #>> '{0,identifier}'), r.agent_type, r.id, 'partial'
    from unnest(p_rows) as r
    -- The question is gone when another turn has replaced this one; a tentative one replaces nothing without an answer.
    join public.messages as q on q.turn_id = r.id and q.role = 'user' and not q.is_tentative
    cross join lateral (select private.kept_words(r.id) as words) as k
    where r.is_resumable and not r.is_forgotten and k.words <> ''
    on conflict (turn_id, role) where turn_id is not null do nothing;
  delete from private.turn_pieces as p where p.turn_id in (select r.id from unnest(p_rows) as r);
end
$$;
comment on function private.keep_lost_answers(private.turns[]) is
  'Stores the kept words of turns of killed instances as partial answers, and deletes the pieces. A later finish '
  'replaces the words.';
revoke execute on function private.keep_lost_answers from public, anon, authenticated, service_role;
