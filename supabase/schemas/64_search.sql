-- Purpose: full-text search in the messages of the caller's conversations.
-- Affects: private.message_words, public.search_messages()
-- Access: members, for their conversations; definer because the words are not granted.

create table private.message_words (
  message_id uuid constraint message_words_pkey primary key
    constraint message_words_message_id_fkey references public.messages (id) on delete cascade,
  conversation_id uuid not null,
  words tsvector not null
);
comment on table private.message_words is
  'The words of messages for the search. A search adds what is missing for its caller, so turns do not pay for it.';
comment on column private.message_words.words is
  'As written, and by the stemmer of the message''s language; Chinese and Japanese signs one by one.';

create index message_words_conversation_id_idx on private.message_words (conversation_id);
create index message_words_words_idx on private.message_words using gin (words);

alter table private.message_words enable row level security;
revoke all on private.message_words from public, anon, authenticated, service_role;

create function private.search_text(p_text text) returns text
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_text ~ '[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]' then
    return regexp_replace(p_text, '([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])', ' \1 ', 'g');
  end if;
  return p_text;
end
$$;
comment on function private.search_text(text) is
  'The text with spaces around signs of scripts that write no spaces between words.';
revoke execute on function private.search_text from public, anon, authenticated, service_role;

create function private.language_of(p_text text) returns regconfig
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_found text := (
    -- The common words with the first letters of their languages: one look-up for each word of the text.
    select string_agg('{"the":"e", "and":"e", "of":"e", "to":"e", "is":"ed", "in":"e", "that":"e", "for":"e", "you":"e",
      "with":"e", "what":"e", "how":"e", "are":"e", "this":"e", "not":"e", "have":"e", "der":"g", "die":"g", "das":"g",
      "und":"g", "ist":"g", "nicht":"g", "ein":"g", "eine":"g", "ich":"g", "wie":"g", "zu":"g", "mit":"g", "den":"g",
      "auf":"g", "sie":"g", "es":"gs", "le":"f", "la":"fs", "les":"f", "et":"f", "est":"f", "une":"f", "des":"f",
      "que":"fsp", "je":"fd", "pas":"f", "pour":"f", "dans":"f", "comment":"f", "vous":"f", "du":"f", "ce":"f",
      "el":"s", "los":"s", "las":"s", "y":"s", "una":"si", "no":"s", "para":"sp", "cómo":"s", "por":"sp", "con":"si",
      "qué":"s", "del":"si", "se":"sp", "en":"sd", "o":"p", "os":"p", "as":"p", "e":"pi", "é":"p", "uma":"p",
      "não":"p", "como":"p", "com":"p", "do":"p", "da":"p", "você":"p", "il":"i", "gli":"i", "è":"i", "che":"i",
      "non":"i", "per":"i", "come":"i", "di":"i", "sono":"i", "si":"i", "mi":"i", "della":"i", "de":"d", "het":"d",
      "een":"d", "niet":"d", "ik":"d", "van":"d", "dat":"d", "hoe":"d", "voor":"d", "met":"d", "op":"d", "zijn":"d",
      "wat":"d", "и":"r", "в":"r", "не":"r", "на":"r", "что":"r", "как":"r", "это":"r", "я":"r", "с":"r", "для":"r",
      "по":"r", "мне":"r", "ты":"r", "из":"r", "к":"r", "или":"r"}'::jsonb ->> w.word, '')
    from unnest(string_to_array(
      lower(translate(left(p_text, 500), '¿¡?!.,;:()"', '           ')), ' ')) as w (word));
begin
  if v_found is null then
    return 'pg_catalog.english'::regconfig;
  end if;
  return (
    select ('pg_catalog.' || s.language)::regconfig
    from unnest('{english,german,french,spanish,portuguese,italian,dutch,russian}'::text[])
      with ordinality as s (language, place)
    order by length(replace(v_found, left(s.language, 1), '')), s.place limit 1);
end
$$;
comment on function private.language_of(text) is
  'The stemmer for a text, by the common words of its beginning; English when there are none.';
revoke execute on function private.language_of from public, anon, authenticated, service_role;

create function private.index_messages(p_conversations uuid[], p_from timestamptz, p_limit integer) returns integer
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_lacked integer;
begin
  with lacking as materialized (
    select m.id, m.conversation_id, private.search_text(left(m.content, 100000)) as text from public.messages as m
    where m.conversation_id = any (p_conversations) and m.created_at >= p_from and not m.is_tentative
      and not exists (select from private.message_words as w where w.message_id = m.id)
    order by m.created_at desc limit p_limit for key share of m skip locked
  ), added as (
    -- A word over 2 KB is no word, and a tsvector ends at 1 MB.
    insert into private.message_words (message_id, conversation_id, words)
      select n.id, n.conversation_id,
        to_tsvector('pg_catalog.simple', n.text) || to_tsvector(private.language_of(n.text), n.text)
      from lacking as n
      on conflict on constraint message_words_pkey do nothing
  )
  select count(*) into v_lacked from lacking;
  return v_lacked;
end
$$;
comment on function private.index_messages(uuid[], timestamptz, integer) is
  'Adds the words of the newest messages of these conversations since p_from that lack them. Returns how many lacked '
  'them, also those that another search added meanwhile.';
revoke execute on function private.index_messages from public, anon, authenticated, service_role;

create function private.search_query(p_text text) returns tsquery
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_text text := private.search_text(left(p_text, 400));
  v_query tsquery := websearch_to_tsquery('pg_catalog.simple', v_text);
  v_language text;
begin
  if right(v_query::text, 1) = '''' then  -- the last word may be half typed
    v_query := (v_query::text || ':*')::tsquery;
  end if;
  foreach v_language in array
    '{english,german,french,spanish,portuguese,italian,dutch,russian}'::text[]
  loop
    v_query := v_query || websearch_to_tsquery(('pg_catalog.' || v_language)::regconfig, v_text);
  end loop;
  return v_query;
end
$$;
comment on function private.search_query(text) is
  'The query as written, its last word as a prefix, or by any stemmer. "a b" is a phrase, - excludes, or is or.';
revoke execute on function private.search_query from public, anon, authenticated, service_role;

create function private.newest_hits(p_conversations uuid[], p_query tsquery, p_before timestamptz, p_limit integer)
  returns setof public.messages
  language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return query
    select m.* from private.message_words as w join public.messages as m on m.id = w.message_id
    where w.conversation_id = any (p_conversations) and w.words @@ p_query and not m.is_tentative
      and (p_before is null or m.created_at < p_before)
    order by m.created_at desc limit p_limit;
end
$$;
comment on function private.newest_hits(uuid[], tsquery, timestamptz, integer) is
  'The newest messages with these words, of those whose words are indexed.';
revoke execute on function private.newest_hits from public, anon, authenticated, service_role;

create function public.search_messages(
  query text, chat_id text default null, before timestamptz default null, max_rows integer default 30)
  returns table (message_id uuid, conversation_id uuid, title text, role text, user_id uuid, turn_id uuid,
    created_at timestamptz, snippet text)
  language plpgsql volatile security definer set search_path = '' as $$
#variable_conflict use_column
declare
  v_user_id uuid := (select auth.uid());
  v_mine uuid[] := array(
    select m.conversation_id from public.conversation_members as m
    where m.user_id = v_user_id
      and (search_messages.chat_id is null
        or m.conversation_id = private.members_conversation(v_user_id, search_messages.chat_id)));
  v_query tsquery := private.search_query(search_messages.query);
  v_max integer := least(greatest(search_messages.max_rows, 1), 100);
  v_from timestamptz;
  v_batch integer := 100;
begin
  perform private.refuse_apps();
  if numnode(v_query) = 0 then
    return;
  end if;
  -- A page is complete when no message that is newer than its last row lacks its words.
  while v_batch <= 3200 loop  -- 6300 messages in all
    v_from := coalesce((select h.created_at
      from private.newest_hits(v_mine, v_query, search_messages.before, v_max) as h offset v_max - 1), '-infinity');
    exit when private.index_messages(v_mine, v_from, v_batch) < v_batch;
    v_batch := 2 * v_batch;
  end loop;
  return query
    select f.id, f.conversation_id, c.title, f.role, f.user_id, f.turn_id, f.created_at,
      ts_headline('pg_catalog.english', left(f.content, 20000), v_query,
        'StartSel=⟪, StopSel=⟫, MaxWords=30, MinWords=12, MaxFragments=1')
    from private.newest_hits(v_mine, v_query, search_messages.before, v_max) as f
    join public.llm_conversations as c on c.id = f.conversation_id
    order by f.created_at desc;
end
$$;
comment on function public.search_messages(text, text, timestamptz, integer) is
  'The newest messages of the caller''s conversations with these words, in any of eight languages or as written; the '
  'last word may be a prefix. chat_id? (the conversation''s or the client''s id) searches one conversation, before? '
  'is the created_at of the last row of the page before, max_rows is at most 100. snippet has ⟪ and ⟫ around the '
  'words; both are text, not HTML.';
revoke execute on function public.search_messages from public, anon, authenticated, service_role;
grant execute on function public.search_messages(text, text, timestamptz, integer) to authenticated;
