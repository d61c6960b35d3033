-- Purpose: a user's rating of a turn.
-- Affects: public.feedback
-- Access: users read, insert and update their own; admins read all.

create table public.feedback (
  id bigint generated always as identity constraint feedback_pkey primary key,
  turn_id uuid not null,
  user_id uuid not null default auth.uid() constraint feedback_user_id_fkey
    references auth.users (id) on delete cascade,
  rating smallint constraint feedback_rating_check check (rating between 1 and 5),
  sentiment text constraint feedback_sentiment_check check (sentiment in ('positive', 'neutral', 'negative')),
  note text constraint feedback_note_check check (char_length(note) <= 4000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint feedback_turn_id_user_id_key unique (turn_id, user_id),
  constraint feedback_rating_sentiment_note_check check (num_nonnulls(rating, sentiment, note) > 0)
);
comment on table public.feedback is 'A user''s rating of a turn.';
comment on column public.feedback.turn_id is
  'The turn, as in chat_logs and messages. No foreign key, so that ratings outlive the log row.';
comment on column public.feedback.rating is '1 to 5, 5 is best; null when only a note or a sentiment was given.';
comment on column public.feedback.note is 'Free text of the user, verbatim; deleted with the user.';

create index feedback_user_id_created_at_idx on public.feedback (user_id, created_at desc);
create index feedback_created_at_idx on public.feedback (created_at);
create trigger feedback_touch_updated_at before update on public.feedback
  for each row execute function private.touch_updated_at();

alter table public.feedback enable row level security;
revoke all on public.feedback from public, anon, authenticated, service_role;
revoke all on sequence public.feedback_id_seq from public, anon, authenticated, service_role;
grant select on public.feedback to authenticated;
grant insert (turn_id, user_id, rating, sentiment, note) on public.feedback to authenticated;
grant update (turn_id, user_id, rating, sentiment, note) on public.feedback to authenticated;
grant select on public.feedback to service_role;

create policy feedback_select_own on public.feedback for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy feedback_select_own on public.feedback is 'Users see their own feedback.';
create policy feedback_select_admin on public.feedback for select to parley_admin using (true);
comment on policy feedback_select_admin on public.feedback is 'Admins see all.';

create function private.can_see_turn(p_turn_id uuid) returns boolean
  language sql stable security definer set search_path = '' as $$
  select exists (select 1 from public.chat_logs as l where l.turn_id = p_turn_id and l.user_id = (select auth.uid()))
    or exists (select 1 from public.messages as m where m.turn_id = p_turn_id
               and m.conversation_id in (select private.my_conversations()))
$$;
comment on function private.can_see_turn(uuid) is
  'Whether the turn is the caller''s own or in one of the caller''s conversations. Definer, to look up by key '
  'instead of through policies.';
revoke execute on function private.can_see_turn from public, anon, authenticated, service_role;
grant execute on function private.can_see_turn(uuid) to authenticated;

create policy feedback_insert_own on public.feedback for insert to authenticated
  with check (user_id = (select auth.uid()) and private.can_see_turn(turn_id));
comment on policy feedback_insert_own on public.feedback is 'Users rate only turns that they can see.';
create policy feedback_update_own on public.feedback for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()) and private.can_see_turn(turn_id));
comment on policy feedback_update_own on public.feedback is
  'Users change their own feedback, and only to turns that they can see.';

create function private.rating_value(p_rating smallint, p_sentiment text) returns smallint
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  return coalesce(p_rating, case p_sentiment when 'positive' then 5 when 'negative' then 1 end);
end
$$;
comment on function private.rating_value(smallint, text) is
  'The rating; without one 5 for a positive and 1 for a negative sentiment, else null.';
revoke execute on function private.rating_value from public, anon, authenticated, service_role;

create function private.rating_of_turn(p_turn_id uuid, p_user_id uuid) returns smallint
  language plpgsql stable security invoker set search_path = '' as $$
begin
  return (select private.rating_value(f.rating, f.sentiment) from public.feedback as f
    where f.turn_id = p_turn_id and f.user_id = p_user_id);
end
$$;
comment on function private.rating_of_turn(uuid, uuid) is 'The rating that a user gave a turn; null without one.';
revoke execute on function private.rating_of_turn from public, anon, authenticated, service_role;

create function private.rate_log(p_turn_id uuid, p_user_id uuid, p_rating smallint) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_conversation_id uuid := (
    select l.conversation_id from public.chat_logs as l where l.turn_id = p_turn_id and l.user_id = p_user_id);
begin
  -- The lock order of a finish: conversation, log row, roll-up.
  perform 1 from public.llm_conversations as c where c.id = v_conversation_id for no key update;
  update public.chat_logs as l set rating = p_rating
    where l.turn_id = p_turn_id and l.user_id = p_user_id and l.rating is distinct from p_rating;
  if found then
    update public.llm_conversations as c
      set user_satisfaction_avg = (
        select avg(l.rating) from public.chat_logs as l where l.conversation_id = v_conversation_id)
      where c.id = v_conversation_id;
  end if;
end
$$;
comment on function private.rate_log(uuid, uuid, smallint) is
  'Writes the rating of the user who asked into the log row and into the mean of the conversation.';
revoke execute on function private.rate_log from public, anon, authenticated, service_role;

create function private.count_feedback() returns trigger
  language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if tg_op = 'INSERT' then
    -- A finish that runs now writes the log row before this continues, or reads the rating after it.
    perform 1 from private.turns as r where r.id = new.turn_id for key share;
  elsif (new.turn_id, new.user_id) <> (old.turn_id, old.user_id) then
    perform private.rate_log(old.turn_id, old.user_id, null);
  end if;
  perform private.rate_log(new.turn_id, new.user_id, private.rating_value(new.rating, new.sentiment));
  return null;
exception when lock_not_available or deadlock_detected then
  perform private.refuse_busy();
end
$$;
comment on function private.count_feedback() is
  'Trigger: the rating of the user who asked counts in chat_logs, in the roll-up and in the conversation. A deletion '
  'leaves it counted. Definer, because chat_logs is not granted.';
revoke execute on function private.count_feedback from public, anon, authenticated, service_role;

create trigger feedback_count_inserted after insert on public.feedback
  for each row execute function private.count_feedback();
create trigger feedback_count_updated after update of turn_id, user_id, rating, sentiment on public.feedback
  for each row execute function private.count_feedback();
