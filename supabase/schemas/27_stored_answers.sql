-- Purpose: the stored answers that a client of OpenAI's responses refers to.
-- Affects: public.stored_answers()
-- Access: the service and chat's own connection, for the user whom chat has authenticated.

create function public.stored_answers(wanted jsonb) returns jsonb
  language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('turn_id', m.turn_id, 'conversation_id', m.conversation_id,
      'content', m.content, 'parts', m.parts)), '[]')
    from public.messages as m
    join public.conversation_members as c
      on c.conversation_id = m.conversation_id and c.user_id = (wanted ->> 'person_id')::uuid
    where m.role = 'assistant' and m.turn_id in (
      select t.id::uuid from jsonb_array_elements_text(wanted -> 'turn_ids') as t (id) limit 100)
$$;
comment on function public.stored_answers(jsonb) is
  'wanted: person_id, turn_ids. [{turn_id, conversation_id, content, parts}]: the answers of at most 100 turns in '
  'conversations of the person; no others. Definer, because chat''s own connection reads no table.';
revoke execute on function public.stored_answers from public, anon, authenticated, service_role;
grant execute on function public.stored_answers(jsonb) to service_role;
