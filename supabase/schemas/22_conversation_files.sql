-- Purpose: the files of questions: pictures, PDFs and texts.
-- Affects: public.conversation_files, public.read_file()
-- Access: members of the conversation read; only the ledger writes.

create table public.conversation_files (
  id uuid default gen_random_uuid() constraint conversation_files_pkey primary key,
  conversation_id uuid not null constraint conversation_files_conversation_id_fkey
    references public.llm_conversations (id) on delete cascade,
  user_id uuid not null constraint conversation_files_user_id_fkey references auth.users (id) on delete cascade,
  media_type text not null constraint conversation_files_media_type_check
    check (media_type in ('image/png', 'image/jpeg', 'image/gif', 'image/webp', 'application/pdf', 'text/plain')),
  name text constraint conversation_files_name_check check (char_length(name) between 1 and 200),
  pages integer constraint conversation_files_pages_check check (pages between 1 and 100),
  size_bytes integer not null,
  data bytea not null constraint conversation_files_data_check check (octet_length(data) between 1 and 4194304),
  digest bytea not null generated always as (sha256(data)) stored,
  created_at timestamptz not null default now(),
  constraint conversation_files_digest_key unique (conversation_id, user_id, media_type, digest),
  constraint conversation_files_size_bytes_check check (size_bytes = octet_length(data)),
  constraint conversation_files_media_type_pages_check check ((media_type = 'application/pdf') = (pages is not null))
);
comment on table public.conversation_files is
  'A file of a question. messages.parts names it as urn:uuid:<id>. It is deleted with the conversation, with the data '
  'of its user, and when no message names it any more.';
comment on column public.conversation_files.user_id is 'The author of the question.';
comment on column public.conversation_files.media_type is 'Every text, also JSON or code, is text/plain.';
comment on column public.conversation_files.name is 'The file''s name; null when the client sent none.';
comment on column public.conversation_files.pages is 'Of a PDF, which bound its tokens; null for other files.';
comment on column public.conversation_files.digest is
  'SHA-256 of data: the same file of a user is kept once in a conversation.';

create index conversation_files_user_id_idx on public.conversation_files (user_id);

alter table public.conversation_files enable row level security;
revoke all on public.conversation_files from public, anon, authenticated, service_role;
grant select on public.conversation_files to authenticated;
grant select on public.conversation_files to service_role;

create policy conversation_files_select_member on public.conversation_files for select to authenticated
  using (conversation_id in (select private.my_conversations()));
comment on policy conversation_files_select_member on public.conversation_files is 'Members see files.';
create policy conversation_files_select_admin on public.conversation_files for select to parley_admin using (true);
comment on policy conversation_files_select_admin on public.conversation_files is 'Admins see all.';

create function private.file_tokens(p_media_type text, p_size_bytes integer, p_pages integer, out tokens bigint,
  out max_tokens bigint)
  language plpgsql immutable security invoker set search_path = '' as $$
begin
  case
    when p_media_type like 'image/%' then tokens := 1000; max_tokens := 48200;
    when p_media_type = 'application/pdf' then tokens := p_pages * 2000; max_tokens := p_pages * 8000;
    else tokens := p_size_bytes / 3 + 100; max_tokens := p_size_bytes + 1000;  -- with its name
  end case;
end
$$;
comment on function private.file_tokens(text, integer, integer) is
  'The estimate and the upper bound of a file''s tokens, as shared/token_bounds.py has them.';
revoke execute on function private.file_tokens from public, anon, authenticated, service_role;

create function private.file_json(p_row public.conversation_files) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object('id', p_row.id, 'media_type', p_row.media_type, 'name', p_row.name, 'pages', p_row.pages,
    'data', replace(encode(p_row.data, 'base64'), e'\n', ''))
$$;
comment on function private.file_json(public.conversation_files) is
  '{id, media_type, name, pages, data}; data is base64.';
revoke execute on function private.file_json from public, anon, authenticated, service_role;

create function public.read_file(file_id uuid) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_row public.conversation_files;
begin
  select f.* into v_row from public.conversation_files as f where f.id = read_file.file_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'There is no such file.',
      detail = '{"code": "not_found", "metadata": {}}';
  end if;
  return jsonb_build_object('id', v_row.id, 'conversation_id', v_row.conversation_id, 'name', v_row.name,
    'media_type', v_row.media_type, 'size_bytes', v_row.size_bytes, 'created_at', v_row.created_at,
    'data', replace(encode(v_row.data, 'base64'), e'\n', ''));
end
$$;
comment on function public.read_file(uuid) is
  '{id, conversation_id, name, media_type, size_bytes, created_at, data}: a file of a conversation of the caller; '
  'data is base64. 404 for others.';
revoke execute on function public.read_file from public, anon, authenticated, service_role;
grant execute on function public.read_file(uuid) to authenticated;

create function private.file_bytes(p_user_id uuid) returns bigint
  language plpgsql stable security invoker set search_path = '' as $$
begin
  -- A copy keeps the time of its file, which is before its conversation began.
  return coalesce((select sum(f.size_bytes) from public.conversation_files as f
      join public.llm_conversations as c on c.id = f.conversation_id
      where f.user_id = p_user_id and f.created_at >= c.started_at), 0)
    + coalesce((select sum(f.size_bytes) from public.llm_conversations as c
      join public.conversation_files as f on f.conversation_id = c.id and f.created_at < c.started_at
      where c.user_id = p_user_id), 0);
end
$$;
comment on function private.file_bytes(uuid) is
  'The bytes of files that count for a user: those that the user sent, and the copies in the user''s conversations. '
  'A copy does not count for its author, who cannot prevent it.';
revoke execute on function private.file_bytes from public, anon, authenticated, service_role;

create function private.check_file_space(p_used_bytes bigint, p_new_bytes bigint) returns void
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_max_mb integer := private.setting('files_mb_per_person', 200);
begin
  if p_used_bytes + p_new_bytes > v_max_mb::bigint * 1048576 then
    perform private.refuse('PT422', 'validation_failed',
      format('A user keeps at most %s MB of files: delete a conversation with files.', v_max_mb),
      jsonb_build_object('max_mb', v_max_mb));
  end if;
end
$$;
comment on function private.check_file_space(bigint, bigint) is
  'Refuses (422) when a user''s files would take more than files_mb_per_person.';
revoke execute on function private.check_file_space from public, anon, authenticated, service_role;

create function private.keep_files(p_user_id uuid, p_conversation_id uuid, p_files jsonb) returns jsonb
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_file jsonb;
  v_data bytea;
  v_id uuid;
  v_kept jsonb := '[]';
begin
  perform pg_advisory_xact_lock(hashtextextended('private.keep_files:' || p_user_id, 0));
  for v_file in
    select e.file from jsonb_array_elements(p_files) with ordinality as e (file, place) order by e.place
  loop
    v_id := v_file ->> 'id';
    if v_id is null then
      v_data := decode(v_file ->> 'data', 'base64');
      select f.id into v_id from public.conversation_files as f
        where f.conversation_id = p_conversation_id and f.user_id = p_user_id
          and f.media_type = v_file ->> 'media_type' and f.digest = sha256(v_data);
      if v_id is null then
        perform private.check_file_space(private.file_bytes(p_user_id), octet_length(v_data));
        insert into public.conversation_files (conversation_id, user_id, media_type, name, pages, size_bytes, data)
          values (p_conversation_id, p_user_id, v_file ->> 'media_type', v_file ->> 'name',
            (v_file ->> 'pages')::integer, octet_length(v_data), v_data)
          returning id into v_id;
      end if;
    end if;
    v_kept := v_kept || jsonb_build_array(v_file - 'data' || jsonb_build_object('id', v_id));
  end loop;
  return v_kept;
end
$$;
comment on function private.keep_files(uuid, uuid, jsonb) is
  'The files without their data and with their ids: new ones are stored, those with an id are stored already.';
revoke execute on function private.keep_files from public, anon, authenticated, service_role;

create function private.read_turn_files(p_user_id uuid, p_conversation_id uuid, p_turn private.turn_request,
  out files jsonb, out parts jsonb, out tokens bigint, out max_tokens bigint, out needs text[])
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_files jsonb := p_turn.files;
begin
  if jsonb_array_length(v_files) > 16 then
    perform private.refuse('PT422', 'validation_failed', 'A question has at most 16 files.');
  end if;
  if exists (select 1 from jsonb_array_elements(v_files) as e (file) where e.file ->> 'id' is not null
      and not exists (select 1 from public.conversation_files as f
        where f.id = (e.file ->> 'id')::uuid and f.conversation_id = p_conversation_id)) then
    perform private.refuse('PT422', 'validation_failed', 'A file of the question is not in this conversation.');
  end if;
  if p_turn.store then
    v_files := private.keep_files(p_user_id, p_conversation_id, v_files);
  end if;
  select jsonb_object_agg(f.id, private.file_json(f)) into files
    from jsonb_array_elements(p_turn.files) as e (file)
    join public.conversation_files as f on f.id = (e.file ->> 'id')::uuid;
  select sum(t.tokens), sum(t.max_tokens), array_remove(array[
      case when bool_or(k.media_type like 'image/%') then 'supports_vision' end,
      case when bool_or(k.media_type = 'application/pdf') then 'supports_files' end], null),
      jsonb_agg(jsonb_strip_nulls(jsonb_build_object('type', 'file', 'mediaType', k.media_type, 'filename', k.name,
        'url', 'urn:uuid:' || k.id)) order by k.place)
    into tokens, max_tokens, needs, parts
    from (
      select e.place, e.file ->> 'id' as id, coalesce(f.media_type, e.file ->> 'media_type') as media_type,
        coalesce(left(e.file ->> 'name', 200), f.name) as name,
        coalesce(f.size_bytes, octet_length(e.file ->> 'data') / 4 * 3) as size_bytes,
        coalesce(f.pages, (e.file ->> 'pages')::integer) as pages
      from jsonb_array_elements(v_files) with ordinality as e (file, place)
      left join public.conversation_files as f on f.id = (e.file ->> 'id')::uuid) as k
    cross join lateral private.file_tokens(k.media_type, k.size_bytes, k.pages) as t;
  parts := parts || case when p_turn.message ~ '\S'
    then jsonb_build_array(jsonb_build_object('type', 'text', 'text', p_turn.message)) else '[]' end;
end
$$;
comment on function private.read_turn_files(uuid, uuid, private.turn_request) is
  'The files of a question, of which a stored turn stores the new ones: files (those that the request names by their '
  'id, by id), parts (of the message), their tokens and max_tokens, and needs (abilities of a model). Refuses (422) '
  'files of other conversations, and more than 16.';
revoke execute on function private.read_turn_files from public, anon, authenticated, service_role;

create function private.able_routes(p_routes jsonb, p_needs text[]) returns jsonb
  language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_able jsonb := (
    select jsonb_agg(e.route order by e.place) from jsonb_array_elements(p_routes) with ordinality as e (route, place)
    where not exists (select 1 from unnest(p_needs) as n (name)
      where (e.route -> 'capabilities' -> n.name = 'true') is not true));
begin
  if v_able is null then
    perform private.refuse('PT422', 'validation_failed', case when p_needs @> '{supports_files}'
        and (p_routes #> '{0,capabilities,supports_files}' = 'true') is not true then 'This model cannot read PDFs.'
        else 'This model cannot look at images.' end, jsonb_build_object('needs', p_needs));
  end if;
  return v_able;
end
$$;
comment on function private.able_routes(jsonb, text[]) is
  'The routes whose models have these abilities; refuses (422) when there is none.';
revoke execute on function private.able_routes from public, anon, authenticated, service_role;

create function private.message_files(p_parts jsonb, p_turn_id uuid) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  -- A file that no model has answered may be broken: it would make every later turn fail.
  v_is_answered boolean := exists (
    select 1 from public.messages as a where a.turn_id = p_turn_id and a.role = 'assistant');
begin
  return (
    select jsonb_build_object('octets', coalesce(sum(coalesce(3 * t.tokens,
        60 + coalesce(octet_length(e.part ->> 'filename'), 0))), 0),  -- a note of a file that is not sent
      'more', coalesce(sum(t.max_tokens - 3 * t.tokens), 0), 'files', jsonb_agg(jsonb_build_object(
        'id', f.id, 'media_type', e.part ->> 'mediaType', 'name', e.part ->> 'filename') order by e.place))
    from jsonb_array_elements(p_parts) with ordinality as e (part, place)
    left join public.conversation_files as f on f.id = substr(e.part ->> 'url', 10)::uuid and v_is_answered
    left join lateral private.file_tokens(f.media_type, f.size_bytes, f.pages) as t on f.id is not null
    where e.part ->> 'type' = 'file' and e.part ->> 'url' like 'urn:uuid:%');
end
$$;
comment on function private.message_files(jsonb, uuid) is
  '{files, octets, more} of an earlier question''s parts: files are [{id, media_type, name}], with a null id for '
  'those that are not sent again; octets are three for each token, or those of the note about a file that is not sent '
  'again, and more is what the upper bound adds.';
revoke execute on function private.message_files from public, anon, authenticated, service_role;

create function private.history_files(p_messages jsonb, p_capabilities jsonb) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_max_bytes bigint := private.setting('history_files_mb', 8)::bigint * 1048576;
begin
  return (
    with named as (
      select (f.file ->> 'id')::uuid as id, max(m.place) as place
      from jsonb_array_elements(p_messages) with ordinality as m (message, place)
      cross join lateral jsonb_array_elements(m.message -> 'files') as f (file)
      where f.file ->> 'id' is not null group by 1
    ), newest as (
      select k.id, row_number() over latest as n, sum(k.size_bytes) over latest as bytes
      from named as d join public.conversation_files as k on k.id = d.id
      where case when k.media_type like 'image/%' then p_capabilities @> '{"supports_vision": true}'
        when k.media_type = 'application/pdf' then p_capabilities @> '{"supports_files": true}' else true end
      window latest as (order by d.place desc, k.created_at desc, k.id)
    )
    select jsonb_object_agg(k.id, private.file_json(k)) from newest as w
    join public.conversation_files as k on k.id = w.id where w.n <= 16 and w.bytes <= v_max_bytes);
end
$$;
comment on function private.history_files(jsonb, jsonb) is
  'The newest files of a history, by id: at most 16 and history_files_mb, without those that the model does not take.';
revoke execute on function private.history_files from public, anon, authenticated, service_role;

create function private.delete_unnamed_files(p_conversation_id uuid) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
begin
  delete from public.conversation_files as f
    where f.conversation_id = p_conversation_id
      and not exists (select 1 from public.messages as m where m.conversation_id = p_conversation_id
        and m.parts @> jsonb_build_array(jsonb_build_object('url', 'urn:uuid:' || f.id)))
      and not exists (select 1 from public.message_versions as v where v.conversation_id = p_conversation_id
        and v.parts @> jsonb_build_array(jsonb_build_object('url', 'urn:uuid:' || f.id)));
end
$$;
comment on function private.delete_unnamed_files(uuid) is
  'Deletes the files of a conversation that neither a message nor a version names.';
revoke execute on function private.delete_unnamed_files from public, anon, authenticated, service_role;

create function private.copied_file(p_file_id uuid, p_conversation_id uuid) returns uuid
  language sql immutable security invoker set search_path = '' as $$
  select md5(p_conversation_id::text || p_file_id)::uuid
$$;
comment on function private.copied_file(uuid, uuid) is 'The id of a file''s copy in a copy of its conversation.';
revoke execute on function private.copied_file from public, anon, authenticated, service_role;

create function private.copied_parts(p_parts jsonb, p_conversation_id uuid) returns jsonb
  language sql immutable security invoker set search_path = '' as $$
  select jsonb_agg(case when e.part ->> 'type' = 'file' then e.part || jsonb_build_object('url',
      'urn:uuid:' || private.copied_file(substr(e.part ->> 'url', 10)::uuid, p_conversation_id)) else e.part end
    order by e.place)
  from jsonb_array_elements(p_parts) with ordinality as e (part, place)
$$;
comment on function private.copied_parts(jsonb, uuid) is
  'The parts of a question in a copy of its conversation, with the ids of the copied files.';
revoke execute on function private.copied_parts from public, anon, authenticated, service_role;

create function private.copy_files(p_source_id uuid, p_conversation_id uuid, p_user_id uuid) returns void
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_named uuid[] := array(
    select distinct substr(e.part ->> 'url', 10)::uuid from public.messages as m
    cross join lateral jsonb_array_elements(m.parts) as e (part)
    where m.conversation_id = p_conversation_id and m.role = 'user' and m.parts is not null
      and e.part ->> 'type' = 'file');
begin
  if v_named = '{}' then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('private.keep_files:' || p_user_id, 0));
  insert into public.conversation_files
    (id, conversation_id, user_id, media_type, name, pages, size_bytes, data, created_at)
    select private.copied_file(f.id, p_conversation_id), p_conversation_id, f.user_id, f.media_type, f.name, f.pages,
      f.size_bytes, f.data, f.created_at
    from public.conversation_files as f
    where f.conversation_id = p_source_id and private.copied_file(f.id, p_conversation_id) = any (v_named);
  perform private.check_file_space(private.file_bytes(p_user_id), 0);
end
$$;
comment on function private.copy_files(uuid, uuid, uuid) is
  'Copies the files that messages of a copied conversation name. They keep their author and time. Refuses (422) when '
  'the files that count for the user take too much.';
revoke execute on function private.copy_files from public, anon, authenticated, service_role;
