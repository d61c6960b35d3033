-- Purpose: the usual questions about usage by name.
-- Affects: public.usage_by_day(), public.cost_by_provider(), public.agent_performance(), public.cost_breakdown(),
-- public.user_cost_efficiency(), public.tool_popularity(), public.context_effectiveness(), public.escalation_success()
-- Access: signed-in users, over the rows that they may read; admins over all.

create function public.usage_by_day("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (day date, user_id uuid, requests bigint, tokens bigint, cost numeric, errors bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  -- A year of all users has as many rows as they have days of use; usage_report() has it by user or by day.
  v_span private.report_span := private.checked_span("from", "to", time_zone,
    case when private.sees_all() then 62 else 1100 end);
begin
  return query select (s.bucket_start at time zone (v_span).zone)::date, s.group_value::uuid, s.sums[1]::bigint,
      s.sums[2]::bigint, s.sums[3], s.sums[4]::bigint
    from private.usage_sums('{"{requests}","{input_tokens} + {output_tokens}","{cost_usd}","{errors}"}', 'person',
      'day', v_span) as s where s.sums[1] <> 0 order by 1 desc, 3 desc, 2;
end
$$;
comment on function public.usage_by_day(timestamptz, timestamptz, text) is
  'Turns, input and output tokens, US dollars of turns with a known price, and errors of models for each day of '
  'time_zone and user, newest first. user_id is null for deleted users. At most 62 days of all users.';
revoke execute on function public.usage_by_day from public, anon, authenticated, service_role;
grant execute on function public.usage_by_day(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.cost_by_provider("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (provider text, requests bigint, total_cost numeric, avg_cost numeric, unpriced_requests bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query select s.group_value, s.sums[1]::bigint, s.sums[2],
      round(s.sums[2] / nullif(s.sums[1] - s.sums[3], 0), 9), s.sums[3]::bigint
    from private.usage_sums('{"{requests}","{cost_usd}","{unpriced_requests}"}', 'provider', null, v_span) as s
    where s.sums[1] <> 0 order by 3 desc, 1;
end
$$;
comment on function public.cost_by_provider(timestamptz, timestamptz, text) is
  'Turns and US dollars for each provider, dearest first. avg_cost is the mean of turns with a known price; null '
  'without any.';
revoke execute on function public.cost_by_provider from public, anon, authenticated, service_role;
grant execute on function public.cost_by_provider(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.agent_performance("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (agent_type text, interactions bigint, avg_satisfaction numeric, ratings bigint, satisfaction_low
    numeric, satisfaction_high numeric, total_tokens bigint, total_cost numeric, avg_response_time numeric,
    error_rate numeric, handoffs bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query select s.group_value, s.sums[4]::bigint, round(m.value, 4), m.n, m.low, m.high, s.sums[5]::bigint,
      s.sums[6], round(s.sums[7] / nullif(s.sums[4], 0), 1), round(s.sums[8] / nullif(s.sums[4], 0), 4),
      s.sums[9]::bigint
    from private.usage_sums(array['{rating_sum}', '{ratings}', '{rating_square_sum}', '{requests}',
      '{input_tokens} + {output_tokens}', '{cost_usd}', '{duration_ms_sum}', '{errors}', '{handoffs}'], 'agent', null,
      v_span) as s
    cross join lateral private.metric_row('mean', null, null, s.sums) as m
    where s.sums[4] <> 0 order by 3 desc nulls last, 1;
end
$$;
comment on function public.agent_performance(timestamptz, timestamptz, text) is
  'Each agent, best rated first: turns, mean rating by the users who asked with its number and 95 % interval, tokens, '
  'US dollars, mean milliseconds of a turn, share of errors of models, hand-offs. agent_type is empty without an '
  'agent.';
revoke execute on function public.agent_performance from public, anon, authenticated, service_role;
grant execute on function public.agent_performance(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.cost_breakdown("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (date date, agent_type text, interactions bigint, total_tokens bigint, total_cost numeric,
    avg_cost_per_interaction numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query select (s.bucket_start at time zone (v_span).zone)::date, s.group_value, s.sums[1]::bigint,
      s.sums[2]::bigint, s.sums[3], round(s.sums[3] / nullif(s.sums[1] - s.sums[4], 0), 9)
    from private.usage_sums('{"{requests}","{input_tokens} + {output_tokens}","{cost_usd}","{unpriced_requests}"}',
      'agent', 'day', v_span) as s where s.sums[1] <> 0 order by 1 desc, 5 desc, 2;
end
$$;
comment on function public.cost_breakdown(timestamptz, timestamptz, text) is
  'Turns, tokens and US dollars for each day of time_zone and agent, newest first. The mean is that of turns with a '
  'known price.';
revoke execute on function public.cost_breakdown from public, anon, authenticated, service_role;
grant execute on function public.cost_breakdown(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.user_cost_efficiency("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (user_id uuid, total_interactions bigint, total_tokens bigint, total_cost numeric,
    avg_satisfaction numeric, ratings bigint, cost_efficiency numeric, cost_per_turn numeric,
    cost_per_good_turn numeric, good_turns bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query select s.group_value::uuid, s.sums[1]::bigint, s.sums[2]::bigint, s.sums[3],
      round(s.sums[4] / nullif(s.sums[5], 0), 4), s.sums[5]::bigint,
      round(s.sums[3] * s.sums[5] / nullif(s.sums[4], 0), 9), round(s.sums[3] / nullif(s.sums[1] - s.sums[7], 0), 9),
      round(s.sums[3] / nullif(s.sums[6], 0), 9), s.sums[6]::bigint
    from private.usage_sums(array['{requests}', '{input_tokens} + {output_tokens}', '{cost_usd}', '{rating_sum}',
      '{ratings}', '{good_ratings}', '{unpriced_requests}'], 'person', null, v_span) as s
    where s.sums[1] <> 0 order by 7, 4 desc, 1;
end
$$;
comment on function public.user_cost_efficiency(timestamptz, timestamptz, text) is
  'Each user, most efficient first. cost_efficiency is US dollars / mean rating; cost_per_good_turn is US dollars / '
  'turns rated 4 or 5 (good_turns); cost_per_turn is the mean of turns with a known price. Null without a sample.';
revoke execute on function public.user_cost_efficiency from public, anon, authenticated, service_role;
grant execute on function public.user_cost_efficiency(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.tool_popularity("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (tool_name text, usage_count bigint, turns bigint, ok_share numeric, mean_ms numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query select t.tool ->> 'name', count(*), count(distinct l.id),
      round(count(*) filter (where t.tool -> 'ok' = 'true')::numeric / count(*), 4),
      round(avg(case jsonb_typeof(t.tool -> 'ms') when 'number' then (t.tool ->> 'ms')::numeric end), 1)
    from public.chat_logs as l cross join lateral jsonb_array_elements(l.tools_used) as t (tool)
    where l.created_at >= (v_span).begins and l.created_at < (v_span).ends and l.tools_used <> '[]'
      and ((select private.sees_all()) or l.user_id = (select auth.uid()))
    group by 1 order by 2 desc, 1;
end
$$;
comment on function public.tool_popularity(timestamptz, timestamptz, text) is
  'Calls of each tool by turns in the log, most used first, with the share that succeeded and the mean milliseconds.';
revoke execute on function public.tool_popularity from public, anon, authenticated, service_role;
grant execute on function public.tool_popularity(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.context_effectiveness("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (measure text, at_least numeric, below numeric, satisfaction numeric, sample_size bigint,
    satisfaction_low numeric, satisfaction_high numeric, response_time numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query
    with rated as (
      select l.rating, l.duration_ms, l.context_size_tokens as tokens,
        l.history_shown::double precision / nullif(l.history_shown + l.history_left_out, 0) as share
      from public.chat_logs as l
      where l.created_at >= (v_span).begins and l.created_at < (v_span).ends and l.rating is not null
        and ((select private.sees_all()) or l.user_id = (select auth.uid()))
    ), placed as (
      select 'context_tokens' as measure, case when r.tokens < 1024 then 0
          else 1024 * 2::double precision ^ floor(ln(r.tokens / 1024.0::double precision) / ln(2::double precision)
            + 1e-9) end as low, r.* from rated as r where r.tokens > 0
      union all
      select 'history_share', least(floor(r.share * 4) / 4, 1), r.* from rated as r where r.share is not null
    )
    select p.measure, p.low::numeric, case p.measure when 'history_share' then least(p.low + 0.25, 1)
        else greatest(p.low * 2, 1024) end::numeric, round(m.value, 4), m.n, m.low, m.high, round(p.ms, 1)
    from (
      select g.measure, g.low, avg(g.duration_ms) as ms,
        array[sum(g.rating), count(*), sum(g.rating * g.rating)]::numeric[] as sums
      from placed as g group by 1, 2) as p
    cross join lateral private.metric_row('mean', null, null, p.sums) as m order by 1, 2;
end
$$;
comment on function public.context_effectiveness(timestamptz, timestamptz, text) is
  'Rated turns of the log in buckets of context_tokens (the prompt, 0 to 1024, to 2048 and so on) and of history_share '
  '(messages that fitted / messages there were; quarters, and 1 for all): mean rating with its number and 95 % '
  'interval, and mean milliseconds.';
revoke execute on function public.context_effectiveness from public, anon, authenticated, service_role;
grant execute on function public.context_effectiveness(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.escalation_success("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (from_agent text, to_agent text, handoffs bigint, rated bigint, success_rate numeric, success_low
    numeric, success_high numeric, post_handoff_satisfaction numeric, next_ratings bigint)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query
    select h.first_agent, h.last_agent, count(*), count(h.rating),
      round(count(*) filter (where h.rating > 3)::numeric / nullif(count(h.rating), 0), 4),
      lower(public.wilson_interval(count(*) filter (where h.rating > 3), count(h.rating))),
      upper(public.wilson_interval(count(*) filter (where h.rating > 3), count(h.rating))),
      round(avg(h.next_rating), 4), count(h.next_rating)
    from (
      select coalesce(l.escalation_metadata #>> '{hand_offs,0,from}', '') as first_agent,
        coalesce(l.agent_type, '') as last_agent, l.rating, n.rating as next_rating
      from public.chat_logs as l
      left join lateral (
        select f.rating from public.chat_logs as f
        where f.conversation_id = l.conversation_id and f.created_at > l.created_at order by f.created_at limit 1) as n
        on true
      where l.created_at >= (v_span).begins and l.created_at < (v_span).ends and l.escalation_suggested
        and ((select private.sees_all()) or l.user_id = (select auth.uid()))) as h
    group by 1, 2 order by 3 desc, 1, 2;
end
$$;
comment on function public.escalation_success(timestamptz, timestamptz, text) is
  'Hand-offs in the log from the first to the last agent of a turn: those with a rating, the share rated 4 or 5 with '
  'its 95 % interval, and the mean rating of the next turn of the conversation. from_agent is empty when text is not '
  'stored.';
revoke execute on function public.escalation_success from public, anon, authenticated, service_role;
grant execute on function public.escalation_success(timestamptz, timestamptz, text) to authenticated, service_role;
