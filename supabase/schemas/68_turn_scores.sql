-- Purpose: scores that a model gives to a sample of answers, beside the ratings by users.
-- Affects: public.turn_scores, public.judge_sample(), public.book_judgement(), public.judge_agreement()
-- Access: users read the scores of their own turns, admins all; the service samples and writes.

create table public.turn_scores (
  turn_id uuid not null constraint turn_scores_turn_id_fkey
    references public.chat_logs (turn_id) on delete cascade,
  rubric_version text not null constraint turn_scores_rubric_version_check
    check (char_length(rubric_version) between 1 and 40),
  model_identifier text not null,
  helpful smallint not null constraint turn_scores_helpful_check check (helpful between 1 and 5),
  correct smallint not null constraint turn_scores_correct_check check (correct between 1 and 5),
  clear smallint not null constraint turn_scores_clear_check check (clear between 1 and 5),
  overall smallint not null constraint turn_scores_overall_check check (overall between 1 and 5),
  created_at timestamptz not null default now(),
  constraint turn_scores_pkey primary key (turn_id, rubric_version, model_identifier)
);
comment on table public.turn_scores is
  'Scores 1 to 5 of an answer by the model of JUDGE_MODEL, by a rubric. They change no rating and no total.';
comment on column public.turn_scores.rubric_version is 'Version of the rubric: scores of two versions do not compare.';
comment on column public.turn_scores.model_identifier is 'The model that judged.';
comment on column public.turn_scores.helpful is 'Whether the answer does what the question asks.';
comment on column public.turn_scores.correct is 'Whether what the answer states is true and consistent.';
comment on column public.turn_scores.clear is 'Whether the answer is easy to read and no longer than needed.';
comment on column public.turn_scores.overall is 'The score that compares with a rating.';

create index turn_scores_created_at_idx on public.turn_scores (created_at);

alter table public.turn_scores enable row level security;
revoke all on public.turn_scores from public, anon, authenticated, service_role;
grant select on public.turn_scores to authenticated;
grant select on public.turn_scores to service_role;

create policy turn_scores_select_own on public.turn_scores for select to authenticated
  using (exists (
    select 1 from public.chat_logs as l where l.turn_id = turn_scores.turn_id and l.user_id = (select auth.uid())));
comment on policy turn_scores_select_own on public.turn_scores is 'Users see the scores of their own turns.';
create policy turn_scores_select_admin on public.turn_scores for select to parley_admin using (true);
comment on policy turn_scores_select_admin on public.turn_scores is 'Admins see all.';

create function public.judge_sample(model text, rubric text, deployment jsonb, max_a_day integer default 100)
  returns jsonb
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_today timestamptz := date_trunc('day', now(), 'utc');
  v_chain jsonb := private.find_chain(null, left(model, 300), jsonb_build_object('seed', rubric,
    'needs', jsonb_build_array(), 'is_strict', true, 'defaults', jsonb_build_array(),
    'providers', case jsonb_typeof(deployment -> 'providers') when 'array' then deployment -> 'providers' end));
  v_caps public.usage_limits := private.scope_caps('global');
  v_left numeric;
  v_done bigint;
begin
  if v_chain is null then
    perform private.refuse('PT404', 'model_not_found', 'No active model has the name in JUDGE_MODEL.');
  end if;
  select least(
      v_caps.daily_cost_usd - coalesce(sum(c.spent_usd + c.reserved_usd) filter (where c.period = 'day'
        and c.period_start = (now() at time zone 'utc')::date), 0),
      v_caps.monthly_cost_usd - coalesce(sum(c.spent_usd + c.reserved_usd) filter (where c.period = 'month'), 0))
    into v_left
    from public.usage_counter_slots as c
    where c.scope = 'global' and c.period_start in ((now() at time zone 'utc')::date,
      date_trunc('month', now() at time zone 'utc')::date);
  select count(*) into v_done from public.turn_scores as s
    where s.created_at >= v_today and s.rubric_version = rubric;
  return jsonb_build_object(
    'route', v_chain -> 0,
    'left_usd', v_left,
    'spent_usd', (select coalesce(sum(l.cost_usd), 0) from public.chat_logs as l
      where l.endpoint = 'refresh.judge' and l.created_at >= v_today),
    'turns', (select coalesce(jsonb_agg(jsonb_build_object('turn_id', t.turn_id, 'question', t.question,
        'response', t.response)), '[]')
      from (select l.turn_id, l.question, l.response from public.chat_logs as l
        where l.created_at >= v_today - interval '1 day' and l.status = 'completed'
          and l.endpoint not like 'refresh.%' and l.endpoint not like 'assist.%'
          and l.question <> '' and l.response <> ''
          and l.question not like 'enc:v1:%' and l.response not like 'enc:v1:%'
          and (select p.allows_training from public.user_llm_profiles as p where p.user_id = l.user_id)
          and (select c.allows_training from public.llm_conversations as c where c.id = l.conversation_id)
            is distinct from false
          and private.authors_consent(l.conversation_id)
          and not exists (select 1 from public.turn_scores as s
            where s.turn_id = l.turn_id and s.rubric_version = rubric)
        -- Random, and the same for each run.
        order by md5(l.turn_id::text || rubric) limit greatest(max_a_day - v_done, 0)) as t));
end
$$;
comment on function public.judge_sample(text, text, jsonb, integer) is
  'A random sample of completed turns since the beginning of yesterday (UTC) that the rubric has not judged: redacted '
  'words of users and conversations that allow training, where every author does. With the route of the model, what '
  'the judge spent today, and what is left of the global caps (null = no cap). Refuses an unknown model (404).';
revoke execute on function public.judge_sample from public, anon, authenticated, service_role;
grant execute on function public.judge_sample(text, text, jsonb, integer) to service_role;

create function public.book_judgement(entry jsonb) returns numeric
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_id uuid := (entry ->> 'id')::uuid;
  v_day date := (now() at time zone 'utc')::date;
  v_route jsonb := entry -> 'route';
  v_usage private.token_usage := private.read_usage(entry -> 'usage');
  v_price private.turn_price := private.price_turn(jsonb_build_array(v_route), entry -> 'attempts',
    v_route -> 'pricing', v_usage);
  v_scores jsonb := entry -> 'scores';
begin
  insert into public.chat_logs (turn_id, endpoint, status, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, usage_source, cost_usd, cached_cost_usd, output_cost_usd, reasoning_cost_usd, model, provider,
    model_identifier, requested_model, duration_ms, attempts, error_code, cache_write_tokens)
    values (v_id, 'refresh.judge', case when entry ->> 'error_code' is null then 'completed' else 'failed' end,
      v_usage.input_tokens, v_usage.output_tokens, v_usage.cached_tokens, v_usage.reasoning_tokens, v_usage.source,
      v_price.cost_usd, v_price.cached_cost_usd, v_price.output_cost_usd, v_price.reasoning_cost_usd,
      v_route ->> 'upstream_id', v_route ->> 'provider', v_route ->> 'identifier', entry ->> 'requested_model',
      private.clamp_count(entry -> 'duration_ms', 86400000), v_price.attempts, entry ->> 'error_code',
      v_usage.cache_write_tokens)
    on conflict on constraint chat_logs_turn_id_key do nothing;  -- the call may be sent twice
  if not found then
    return (select l.cost_usd from public.chat_logs as l where l.turn_id = v_id);
  end if;
  if jsonb_typeof(v_scores) = 'object' then
    insert into public.turn_scores (turn_id, rubric_version, model_identifier, helpful, correct, clear, overall)
      select l.turn_id, entry ->> 'rubric', v_route ->> 'identifier', (v_scores ->> 'helpful')::smallint,
        (v_scores ->> 'correct')::smallint, (v_scores ->> 'clear')::smallint, (v_scores ->> 'overall')::smallint
      -- The turn may have lost its words, or its row, meanwhile.
      from public.chat_logs as l where l.turn_id = (entry ->> 'judged_turn_id')::uuid and l.user_id is not null
      on conflict on constraint turn_scores_pkey do nothing;
  end if;
  perform private.lock_counters('global', array[v_day]);
  perform private.take_shares_back(v_day);
  perform private.settle_in_scope('global', private.global_slot(v_id), v_day, 0, coalesce(v_price.cost_usd, 0),
    coalesce(v_usage.input_tokens, 0), coalesce(v_usage.output_tokens, 0), 1);
  return v_price.cost_usd;
end
$$;
comment on function public.book_judgement(jsonb) is
  'Books one call of the judge like a turn of the endpoint refresh.judge without a user: a log row, the global '
  'counters, and with scores a row of turn_scores. entry: id, judged_turn_id, rubric, requested_model, route, usage, '
  'attempts, duration_ms, error_code?, scores?. Returns the cost in US dollars; null without a price.';
revoke execute on function public.book_judgement from public, anon, authenticated, service_role;
grant execute on function public.book_judgement(jsonb) to service_role;

create function public.judge_agreement("from" timestamptz default null, "to" timestamptz default null)
  returns table (rubric_version text, model_identifier text, n bigint, mean_score numeric, score_low numeric,
    score_high numeric, rated bigint, agreement numeric, agreement_low numeric, agreement_high numeric,
    mean_difference numeric)
  language sql stable security invoker set search_path = '' set statement_timeout = '5s' as $$
  with judged as (
    select s.rubric_version, s.model_identifier, s.overall, l.rating, (s.overall >= 4) = (l.rating >= 4) as is_same
    from public.turn_scores as s join public.chat_logs as l on l.turn_id = s.turn_id
    where l.created_at >= coalesce("from", now() - interval '30 days') and l.created_at < coalesce("to", now())
  ), sums as (
    select j.rubric_version, j.model_identifier, count(*) as n, avg(j.overall) as mean,
      1.96 * stddev_samp(j.overall) / sqrt(count(*)::numeric) as half, count(j.rating) as rated,
      count(*) filter (where j.is_same) as same, avg(j.overall - j.rating) as difference
    from judged as j group by 1, 2
  )
  select s.rubric_version, s.model_identifier, s.n, round(s.mean, 4), round(s.mean - s.half, 4),
    round(s.mean + s.half, 4), s.rated, round(s.same::numeric / nullif(s.rated, 0), 4),
    lower(public.wilson_interval(s.same, s.rated)), upper(public.wilson_interval(s.same, s.rated)),
    round(s.difference, 4)
  from sums as s order by 1, 2
$$;
comment on function public.judge_agreement(timestamptz, timestamptz) is
  'Judged quality and its agreement with users, by rubric and judging model, over turns that began in [from, to), by '
  'default the last 30 days. n is the number of judged turns, mean_score the mean of overall with its 95 % interval '
  '(mean +- 1.96 standard errors; null below two). rated is the number of them that users rated, agreement the share '
  'of these where both are good (4 or 5) or both are not, with Wilson''s 95 % interval; null without any. '
  'mean_difference is the mean of overall minus rating.';
revoke execute on function public.judge_agreement from public, anon, authenticated, service_role;
grant execute on function public.judge_agreement(timestamptz, timestamptz) to authenticated, service_role;
