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
begin
  return coalesce((
    select ('pg_catalog.' || s.language)::regconfig
    from (values
      ('english', '{the,and,of,to,is,in,that,for,you,with,what,how,are,this,not,have}'::text[]),
      ('german', '{der,die,das,und,ist,nicht,ein,eine,ich,wie,zu,mit,den,auf,sie,es}'),
      ('french', '{le,la,les,et,est,une,des,que,je,pas,pour,dans,comment,vous,du,ce}'),
      ('spanish', '{el,la,los,las,y,es,una,que,no,para,cómo,por,con,qué,del,se,en}'),
      ('portuguese', '{o,os,as,e,é,uma,que,não,para,como,por,com,do,da,se,você}'),
      ('italian', '{il,gli,e,è,una,che,non,per,come,con,di,sono,del,si,mi,della}'),
      ('dutch', '{de,het,een,en,is,niet,ik,van,dat,hoe,voor,met,op,zijn,je,wat}'),
      ('russian', '{и,в,не,на,что,как,это,я,с,для,по,мне,ты,из,к,или}')) as s (language, words)
    cross join lateral (
      select count(*) as n from unnest(string_to_array(
        lower(translate(left(p_text, 500), '¿¡?!.,;:()"', '           ')), ' ')) as w (word)
      where w.word = any (s.words)) as c
    where c.n > 0 order by c.n desc limit 1), 'pg_catalog.english'::regconfig);
end
$$;
comment on function private.language_of(text) is
  'The stemmer for a text, by the common words of its beginning; English when there are none.';
revoke execute on function private.language_of from public, anon, authenticated, service_role;

create function private.index_messages(p_conversations uuid[]) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  -- A word over 2 KB is no word, and a tsvector ends at 1 MB.
  insert into private.message_words (message_id, conversation_id, words)
    select n.id, n.conversation_id,
      to_tsvector('pg_catalog.simple', n.text) || to_tsvector(private.language_of(n.text), n.text)
    from (
      select m.id, m.conversation_id, private.search_text(left(m.content, 100000)) as text from public.messages as m
      where m.conversation_id = any (p_conversations) and not m.is_tentative
        and not exists (select from private.message_words as w where w.message_id = m.id)
      order by m.created_at desc limit 5000 for key share of m skip locked) as n
    on conflict on constraint message_words_pkey do nothing;
end
$$;
comment on function private.index_messages(uuid[]) is
  'Adds the words of up to 5000 of the newest messages of these conversations that lack them.';
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

create function public.search_messages(
  query text, chat_id text default null, before timestamptz default null, max_rows integer default 30)
  returns table (message_id uuid, conversation_id uuid, title text, role text, user_id uuid, turn_id uuid,
    created_at timestamptz, snippet text)
  language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
  v_user_id uuid := (select auth.uid());
  v_mine uuid[] := array(
    select m.conversation_id from public.conversation_members as m
    where m.user_id = v_user_id
      and (search_messages.chat_id is null
        or m.conversation_id = private.members_conversation(v_user_id, search_messages.chat_id)));
  v_query tsquery := private.search_query(search_messages.query);
begin
  perform private.refuse_apps();
  if numnode(v_query) = 0 then
    return;
  end if;
  perform private.index_messages(v_mine);
  return query
    select f.id, f.conversation_id, f.title, f.role, f.user_id, f.turn_id, f.created_at,
      ts_headline('pg_catalog.english', left(f.content, 20000), v_query,
        'StartSel=⟪, StopSel=⟫, MaxWords=30, MinWords=12, MaxFragments=1')
    from (
      select m.*, c.title from private.message_words as w
      join public.messages as m on m.id = w.message_id
      join public.llm_conversations as c on c.id = m.conversation_id
      where w.conversation_id = any (v_mine) and w.words @@ v_query and not m.is_tentative
        and (search_messages.before is null or m.created_at < search_messages.before)
      order by m.created_at desc limit least(greatest(search_messages.max_rows, 1), 100)) as f
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
