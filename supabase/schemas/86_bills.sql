-- Purpose: stores providers' figures, and compares them with the ledger.
-- Affects: public.bills_due(), public.store_bills(), public.import_bills(), public.bill_drift()
-- Access: the service stores; admins import and compare; definer because bills are not granted for writing.

create function public.bills_due(providers text[]) returns text[]
  language sql stable security definer set search_path = '' as $$
  select array(select p.name from unnest(providers) as p (name)
    where not exists (select 1 from private.bill_reads as r
      where r.provider = p.name and r.read_at > now() - interval '6 hours'))
$$;
comment on function public.bills_due(text[]) is
  'Those of the providers whose bills were not read for six hours. Definer, because private.bill_reads is not granted.';
revoke execute on function public.bills_due from public, anon, authenticated, service_role;
grant execute on function public.bills_due(text[]) to service_role;

create function private.replace_bills(p_provider text, p_source text, p_days date[], p_rows jsonb) returns integer
  language plpgsql volatile security invoker set search_path = '' as $$
declare
  v_stored integer;
begin
  -- One writer of a provider at a time, so that two imports of a day do not mix.
  perform pg_advisory_xact_lock(hashtextextended('private.provider_bills:' || p_provider, 0));
  delete from public.provider_bills as b where b.provider = p_provider and b.day = any (p_days);
  insert into public.provider_bills (provider, day, model, input_tokens, cached_tokens, output_tokens, cost_usd, source)
  select p_provider, r.day, coalesce(r.model, ''), sum(r.input_tokens), sum(r.cached_tokens), sum(r.output_tokens),
    sum(r.cost_usd), p_source
  from jsonb_to_recordset(p_rows) as r (day date, model text, input_tokens bigint, cached_tokens bigint,
    output_tokens bigint, cost_usd numeric)
  where r.day = any (p_days) group by r.day, coalesce(r.model, '');
  get diagnostics v_stored = row_count;
  return v_stored;
end
$$;
comment on function private.replace_bills(text, text, date[], jsonb) is
  'Replaces a provider''s figures of these days; rows of the same day and model are summed. Returns the number of '
  'rows.';
revoke execute on function private.replace_bills from public, anon, authenticated, service_role;

create function public.store_bills(bill jsonb) returns integer
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_first date := bill ->> 'from_day';
  v_last date := bill ->> 'to_day';
  v_stored integer;
begin
  if (v_last > v_first and v_last - v_first <= 31) is not true or v_last > (now() at time zone 'utc')::date then
    perform private.refuse_parameter('from_day', 'from_day to to_day are 1 to 31 whole UTC days that have ended.');
  end if;
  v_stored := private.replace_bills(bill ->> 'provider', 'api', array(
    select d.at::date from generate_series(v_first, v_last - 1, interval '1 day') as d (at)), bill -> 'rows');
  insert into private.bill_reads (provider) values (bill ->> 'provider')
    on conflict on constraint bill_reads_pkey do update set read_at = excluded.read_at;
  return v_stored;
end
$$;
comment on function public.store_bills(jsonb) is
  'Replaces what a provider charged on whole UTC days; safe to repeat. bill: provider, from_day, to_day (excluded, '
  'today at most), rows [{day, model, input_tokens?, cached_tokens?, output_tokens?, cost_usd?}]. Returns the number '
  'of stored rows. Definer, because provider_bills is not granted for writing.';
revoke execute on function public.store_bills from public, anon, authenticated, service_role;
grant execute on function public.store_bills(jsonb) to service_role;

create function private.csv_fields(p_line text) returns text[]
  language sql immutable security invoker set search_path = '' as $$
  select case when sum(char_length(m.f[1])) = char_length(p_line) + 1 then array_agg(
      case when m.f[2] like '"%' then replace(substr(m.f[2], 2, char_length(m.f[2]) - 2), '""', '"')
        else trim(m.f[2]) end order by m.place) end
  from regexp_matches(',' || p_line, '(,("(?:[^"]|"")*"|[^,"]*))', 'g') with ordinality as m (f, place)
$$;
comment on function private.csv_fields(text) is
  'The fields of one line of CSV; a field may have quotes around it. Null when a quote is anywhere else.';
revoke execute on function private.csv_fields from public, anon, authenticated, service_role;

create function private.bill_of_line(p_fields text[], p_columns text[], p_number bigint) returns jsonb
  language plpgsql stable security invoker set search_path = '' as $$
declare
  v_name text;
  v_value text;
  v_row jsonb := '{}';
begin
  if cardinality(p_fields) is distinct from cardinality(p_columns) then
    perform private.refuse_parameter('csv', format('Line %s does not have %s fields, as the header has.', p_number,
      cardinality(p_columns)));
  end if;
  for v_name, v_value in select * from unnest(p_columns, p_fields) loop
    if v_value <> '' and v_value !~ (case v_name when 'day' then '^\d{4}-\d\d-\d\d$' when 'model' then '^.{1,200}$'
        when 'cost_usd' then '^-?\d{1,9}(\.\d{1,30})?$' else '^\d{1,15}$' end) or v_name = 'day' and v_value = '' then
      perform private.refuse_parameter('csv', format('Line %s has no valid %s.', p_number, v_name));
    end if;
    v_row := v_row || jsonb_build_object(v_name, nullif(v_value, ''));
  end loop;
  if (v_row ->> 'day')::date not between '2020-01-01' and (now() at time zone 'utc')::date then
    perform private.refuse_parameter('csv', format('Line %s is not of a day since 2020.', p_number));
  end if;
  return v_row;
exception when datetime_field_overflow or invalid_datetime_format then
  perform private.refuse_parameter('csv', format('Line %s has no valid day.', p_number));
end
$$;
comment on function private.bill_of_line(text[], text[], bigint) is
  'One line of a CSV as an element of rows of store_bills(). Refuses with 422 and the number of the line.';
revoke execute on function private.bill_of_line from public, anon, authenticated, service_role;

create function public.import_bills(provider text, csv text) returns integer
  language plpgsql volatile security definer set search_path = '' set lock_timeout = '5s'
  set statement_timeout = '30s' as $$
declare
  v_lines text[];
  v_columns text[];
  v_rows jsonb;
begin
  if not (coalesce(auth.jwt() ->> 'role', 'service_role') = 'service_role' or private.is_admin()) then
    perform private.refuse('PT403', 'forbidden', 'This is for admins.');
  elsif (provider ~ '^[a-z][a-z0-9_-]{0,39}$') is not true then
    perform private.refuse_parameter('provider', 'provider is the name of a provider, as in llm_models.');
  elsif (octet_length(csv) <= 1000000) is not true then
    perform private.refuse_parameter('csv', 'csv is a text of at most 1 MB.');
  end if;
  v_lines := regexp_split_to_array(trim(both e'\ufeff\r\n ' from csv), '\r?\n');
  v_columns := private.csv_fields(v_lines[1]);
  if (v_columns @> '{day,cost_usd}'
      and v_columns <@ '{day,model,input_tokens,cached_tokens,output_tokens,cost_usd}') is not true
      or cardinality(v_columns) <> (select count(distinct c.name) from unnest(v_columns) as c (name)) then
    perform private.refuse_parameter('csv', 'The first line names the columns: day, cost_usd and, if you have them, '
      || 'model, input_tokens, cached_tokens, output_tokens.');
  elsif cardinality(v_lines) not between 2 and 10001 then
    perform private.refuse_parameter('csv', 'csv has 1 to 10000 lines after the header.');
  end if;
  select jsonb_agg(private.bill_of_line(private.csv_fields(l.line), v_columns, l.place) order by l.place) into v_rows
    from unnest(v_lines) with ordinality as l (line, place) where l.place > 1;
  return private.replace_bills(provider, 'csv',
    array(select distinct (r.value ->> 'day')::date from jsonb_array_elements(v_rows) as r (value)), v_rows);
exception when lock_not_available or deadlock_detected or query_canceled then
  perform private.refuse_busy();
end
$$;
comment on function public.import_bills(text, text) is
  'Replaces what a provider charged on the days of a CSV; all lines or none. Its header has day (YYYY-MM-DD, UTC) and '
  'cost_usd and may have model, input_tokens, cached_tokens and output_tokens. At most 10000 lines and 1 MB; a wrong '
  'line is 422 with its number. Returns the number of stored rows. For admins; definer, because provider_bills is not '
  'granted for writing.';
revoke execute on function public.import_bills from public, anon, authenticated, service_role;
grant execute on function public.import_bills(text, text) to authenticated, service_role;

create function private.billed_model(p_model text) returns text
  language sql immutable security invoker set search_path = '' as $$
  select regexp_replace(lower(p_model), '[-@](\d{4}-\d\d-\d\d|\d{8})$', '')
$$;
comment on function private.billed_model(text) is
  'The name of a model without the date of its version, because bills name versions and turns often do not.';
revoke execute on function private.billed_model from public, anon, authenticated, service_role;
grant execute on function private.billed_model(text) to authenticated, service_role;

create function public.bill_drift("from" date default null, "to" date default null, least_usd numeric default 0)
  returns table (day date, provider text, model text, our_usd numeric, billed_usd numeric, drift_usd numeric,
    drift_share numeric, our_tokens bigint, billed_tokens bigint, unpriced_requests bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off as $$
declare
  v_to date := coalesce("to", (now() at time zone 'utc')::date);
  v_from date := coalesce("from", v_to - 30);
begin
  if not private.sees_all() then
    raise exception using errcode = 'PT403', message = 'This is for admins.',
      detail = '{"code": "forbidden", "metadata": {}}';
  elsif not isfinite(v_from) or not isfinite(v_to) or v_from > v_to or v_to - v_from > 1100 then
    perform private.refuse_parameter('from', 'from is not after to, and they are at most 1100 days apart.');
  elsif (least_usd >= 0) is not true then
    perform private.refuse_parameter('least_usd', 'least_usd is an amount in US dollars.');
  end if;
  return query
    with billed as (
      select b.day, b.provider, private.billed_model(b.model) as model, sum(b.cost_usd) as usd,
        sum(b.input_tokens + b.output_tokens)::bigint as tokens
      from public.provider_bills as b
      where b.day >= v_from and b.day < v_to group by 1, 2, 3
    ), ours as (
      select (u.hour at time zone 'utc')::date as day, u.provider,
        private.billed_model(substr(u.model_identifier, char_length(u.provider) + 2)) as model, sum(u.cost_usd) as usd,
        sum(u.input_tokens + u.output_tokens)::bigint as tokens, sum(u.unpriced_requests)::bigint as unpriced
      from public.usage_hourly as u
      where u.hour >= v_from::timestamp at time zone 'utc' and u.hour < v_to::timestamp at time zone 'utc'
        -- A day without any figure of the provider is not compared.
        and exists (select 1 from public.provider_bills as b
          where b.provider = u.provider and b.day = (u.hour at time zone 'utc')::date)
      group by 1, 2, 3
    )
    select d.* from (
      select coalesce(b.day, o.day), coalesce(b.provider, o.provider), coalesce(b.model, o.model),
        coalesce(o.usd, 0), b.usd, coalesce(b.usd, 0) - coalesce(o.usd, 0),
        round((coalesce(b.usd, 0) - coalesce(o.usd, 0)) / nullif(b.usd, 0), 6), coalesce(o.tokens, 0), b.tokens,
        coalesce(o.unpriced, 0)
      from billed as b full join ours as o on o.day = b.day and o.provider = b.provider and o.model = b.model)
      as d (day, provider, model, our_usd, billed_usd, drift_usd, drift_share, our_tokens, billed_tokens, unpriced)
    where abs(d.drift_usd) >= least_usd order by abs(d.drift_usd) desc, d.day, d.provider, d.model;
end
$$;
comment on function public.bill_drift(date, date, numeric) is
  'What a provider charged for a model on a UTC day less what the ledger says, largest first, over the half-open days, '
  'by default the last 30. drift_usd is positive when the provider charged more; drift_share is its part of '
  'billed_usd. Versions of a model are one row. The model is empty for charges of no model. A turn counts for the '
  'model that answered, so a fallback that used tokens of two models moves cost between rows of a day, not their sum. '
  'least_usd leaves out smaller drifts. Days without figures of the provider are not compared. For admins.';
revoke execute on function public.bill_drift from public, anon, authenticated, service_role;
grant execute on function public.bill_drift(date, date, numeric) to authenticated, service_role;
