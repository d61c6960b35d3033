-- Purpose: no one person's ratings or errors decide which model everybody gets.
-- Affects: columns public.model_quality.raters, error_rate; function public.measure_models() (replaced)
-- Access: as before: signed-in people read, measure_models() writes.

alter table public.model_quality
  add column raters bigint not null default 0,
  add column error_rate numeric(4, 3);
comment on column public.model_quality.raters is 'How many people gave these ratings; anonymous ones are not counted.';
comment on column public.model_quality.mean_rating is
  'Mean over its raters of what each gave on the mean, 1 to 5; null until three have rated, or all who use this project where they are fewer.';
comment on column public.model_quality.error_rate is
  'Errors per turn of everybody signed in but the person who met most errors, unless nobody else uses this project; null below 20 turns.';

create or replace function public.measure_models() returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_today date := (now() at time zone 'utc')::date;
  v_people bigint;
  v_measured integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('private.measure_models', 0));
  -- Anybody can be any number of anonymous people: their turns are served, but they do not vote.
  select count(distinct d.user_id) into v_people
    from public.usage_daily as d join auth.users as a on a.id = d.user_id and not coalesce(a.is_anonymous, false)
    where d.day >= v_today - 30;
  delete from public.model_quality where true;  -- hosted projects refuse a delete without a condition
  insert into public.model_quality (model_identifier, turns, errors, mean_ttft_ms, error_rate, ratings, raters, mean_rating)
  with used as (
    select d.model_identifier, d.user_id, sum(d.requests) as turns, sum(d.errors) as errors,
      sum(d.ttft_ms_sum) as ttft_ms, sum(d.ttft_count) as ttfts
    from public.usage_daily as d
    -- Only what everybody may choose: what people do with servers of their own is theirs.
    where d.day >= v_today - 7 and exists (select 1 from public.llm_models as m where m.identifier = d.model_identifier)
    group by d.model_identifier, d.user_id
  ), totals as (
    select u.model_identifier, sum(u.turns) as turns, sum(u.errors) as errors, sum(u.ttft_ms) / nullif(sum(u.ttfts), 0) as mean_ttft_ms
    from used as u group by u.model_identifier
  ), met as (
    select u.model_identifier, u.turns, u.errors,
      row_number() over (partition by u.model_identifier order by u.errors desc, u.turns, u.user_id) as place
    from used as u join auth.users as a on a.id = u.user_id and not coalesce(a.is_anonymous, false)
  ), rates as (
    select m.model_identifier, sum(m.errors) / sum(m.turns) as error_rate
    from met as m where m.place > 1 or v_people = 1
    group by m.model_identifier having sum(m.turns) >= 20
  ), verdicts as (
    select l.model_identifier, f.user_id, count(*) as ratings, avg(f.rating) as mean_rating
    from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
    join auth.users as a on a.id = f.user_id and not coalesce(a.is_anonymous, false)
    where f.rating is not null and f.created_at >= now() - interval '30 days'
    group by l.model_identifier, f.user_id
  ), rated as (
    select v.model_identifier, sum(v.ratings) as ratings, count(*) as raters,
      case when count(*) >= least(3, v_people) then avg(v.mean_rating) end as mean_rating
    from verdicts as v group by v.model_identifier
  )
  select t.model_identifier, t.turns, t.errors, t.mean_ttft_ms, r.error_rate, coalesce(g.ratings, 0), coalesce(g.raters, 0), g.mean_rating
  from totals as t left join rates as r using (model_identifier) left join rated as g using (model_identifier);
  get diagnostics v_measured = row_count;
  return v_measured;
end
$$;
