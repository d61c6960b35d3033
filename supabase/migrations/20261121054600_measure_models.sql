-- Purpose: how each model has done lately, measured by refresh so that choosing one never reads logs.
-- Affects: table public.model_quality; function public.measure_models()
-- Access: signed-in people read; only measure_models() writes, which the service calls (definer: granted to nobody).

create table public.model_quality (
  model_identifier text constraint model_quality_pkey primary key,
  turns bigint not null,
  errors bigint not null,
  mean_ttft_ms numeric(12, 3),
  ratings bigint not null,
  mean_rating numeric(4, 3),
  measured_at timestamptz not null default now()
);
comment on table public.model_quality is 'How each model did in the last seven UTC days and today, all people together; written by measure_models().';
comment on column public.model_quality.turns is 'Turns it ended as the one that served.';
comment on column public.model_quality.errors is 'Of these, how many failed, were cut or abandoned; errors / turns is its error rate.';
comment on column public.model_quality.mean_ttft_ms is 'Milliseconds to the first content; null when none came.';
comment on column public.model_quality.ratings is 'Verdicts with a rating of the last 30 days.';
comment on column public.model_quality.mean_rating is 'Their mean, 1 to 5; null without any.';

alter table public.model_quality enable row level security;
revoke all on public.model_quality from public, anon, authenticated, service_role;
grant select on public.model_quality to authenticated, service_role;
create policy model_quality_select_all on public.model_quality for select to authenticated
  using ((select auth.uid()) is not null);
comment on policy model_quality_select_all on public.model_quality is 'Counts and means over everybody are no secret to anyone signed in.';

create function public.measure_models() returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_measured integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('private.measure_models', 0));
  delete from public.model_quality where true;  -- hosted projects refuse a delete without a condition
  insert into public.model_quality (model_identifier, turns, errors, mean_ttft_ms, ratings, mean_rating)
  select u.model_identifier, u.turns, u.errors, u.mean_ttft_ms, coalesce(r.ratings, 0), r.mean_rating
  from (
    select d.model_identifier, sum(d.requests) as turns, sum(d.errors) as errors,
      sum(d.ttft_ms_sum) / nullif(sum(d.ttft_count), 0) as mean_ttft_ms
    from public.usage_daily as d
    -- Only what everybody may choose: what people do with servers of their own is theirs.
    where d.day >= (now() at time zone 'utc')::date - 7
      and exists (select 1 from public.llm_models as m where m.identifier = d.model_identifier)
    group by d.model_identifier) as u
  left join (
    select l.model_identifier, count(*) as ratings, avg(f.rating) as mean_rating
    from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
    where f.rating is not null and f.created_at >= now() - interval '30 days'
    group by l.model_identifier) as r on r.model_identifier = u.model_identifier;
  get diagnostics v_measured = row_count;
  return v_measured;
end
$$;
comment on function public.measure_models() is 'Measures every model that served lately anew; returns how many.';
revoke execute on function public.measure_models() from public, anon, authenticated, service_role;
grant execute on function public.measure_models() to service_role;
