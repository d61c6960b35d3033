-- Purpose: how conversations go from agent to agent and from subject to subject, how long they are, where they end.
-- Affects: private.next_agents, public.conversation_flow(), public.conversation_ends(), public.conversation_lengths(),
-- public.measure_next_agents(), public.learned_agents()
-- Access: signed-in users, over the rows that they may read; the service measures.

create table private.next_agents (
  previous_agent text not null,
  domain text not null,
  agent text not null,
  n bigint not null,
  hits bigint not null,
  rules_hits bigint not null,
  measured_at timestamptz not null default now(),
  constraint next_agents_pkey primary key (previous_agent, domain)
);
comment on table private.next_agents is
  'The agent that takes a turn of an existing conversation instead of the one that the rules name, where users who '
  'named an agent themselves show that it is significantly better. Written by measure_next_agents, read by chat_begin.';
comment on column private.next_agents.previous_agent is 'The agent of the turn before.';
comment on column private.next_agents.domain is 'What the rules say.';
comment on column private.next_agents.n is 'Turns in which a user named an agent after this agent, for this domain.';
comment on column private.next_agents.hits is
  'Those that named this agent; rules_hits are those that named the one of the domain.';

alter table private.next_agents enable row level security;
revoke all on private.next_agents from public, anon, authenticated, service_role;

create function private.flow_turns(p_by text, p_span private.report_span)
  returns table (conversation_id uuid, place text, next_place text, is_last boolean)
  language plpgsql stable security invoker set search_path = '' as $$
begin
  if p_by not in ('agent', 'domain') then
    perform private.refuse_parameter('by', 'by is agent or domain.');
  end if;
  return query
    select t.conversation_id, t.place, lead(t.place) over turns,
      lead(t.id) over turns is null and t.created_at < p_span.ends - interval '1 day'
    from (select l.id, l.conversation_id, l.created_at,
        coalesce(case p_by when 'agent' then l.agent_type else l.domain_classification end, '') as place
      from public.chat_logs as l
      where l.created_at >= p_span.begins and l.created_at < p_span.ends and l.conversation_id is not null) as t
    window turns as (partition by t.conversation_id order by t.created_at, t.id);
end
$$;
comment on function private.flow_turns(text, private.report_span) is
  'The turns of conversations in a span with the agent or domain of the next turn. is_last: no turn followed within '
  'the span, for at least a day.';
revoke execute on function private.flow_turns from public, anon, authenticated, service_role;
grant execute on function private.flow_turns(text, private.report_span) to authenticated, service_role;

create function public.conversation_flow(by text default 'agent', "from" timestamptz default null,
  "to" timestamptz default null, time_zone text default 'UTC')
  returns table (previous text, next text, transitions bigint, n bigint, share numeric, low numeric, high numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query
    select s.place, s.next_place, s.times, s.n, round(s.times::numeric / s.n, 4),
      lower(public.wilson_interval(s.times, s.n)), upper(public.wilson_interval(s.times, s.n))
    from (select t.place, t.next_place, count(*) as times, (sum(count(*)) over (partition by t.place))::bigint as n
      from private.flow_turns(by, v_span) as t where t.next_place is not null group by 1, 2) as s
    order by 1, 3 desc, 2;
end
$$;
comment on function public.conversation_flow(text, timestamptz, timestamptz, text) is
  'Transitions between the agents (by agent) or subjects (by domain) of two turns that follow each other in a '
  'conversation, both in [from, to), by default the last 30 days. share = transitions / n, where n are all '
  'transitions from previous; low and high are Wilson''s 95 % interval of share. Empty texts: no agent or no subject.';
revoke execute on function public.conversation_flow from public, anon, authenticated, service_role;
grant execute on function public.conversation_flow(text, timestamptz, timestamptz, text) to authenticated, service_role;

create function public.conversation_ends(by text default 'agent', "from" timestamptz default null,
  "to" timestamptz default null, time_zone text default 'UTC')
  returns table (place text, ends bigint, n bigint, share numeric, low numeric, high numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query
    select s.place, s.ends, s.n, round(s.ends::numeric / s.n, 4),
      lower(public.wilson_interval(s.ends, s.n)), upper(public.wilson_interval(s.ends, s.n))
    from (select t.place, count(*) filter (where t.is_last) as ends, count(*) as n
      from private.flow_turns(by, v_span) as t where t.next_place is not null or t.is_last group by 1) as s
    order by 4 desc, 1;
end
$$;
comment on function public.conversation_ends(text, timestamptz, timestamptz, text) is
  'Where conversations end: for each agent or domain (by) the share of its turns after which no turn came. share = '
  'ends / n; n are its turns in [from, to), by default the last 30 days, without last turns of the last 24 hours, '
  'whose conversations may go on. low and high are Wilson''s 95 % interval.';
revoke execute on function public.conversation_ends from public, anon, authenticated, service_role;
grant execute on function public.conversation_ends(text, timestamptz, timestamptz, text) to authenticated, service_role;

create function public.conversation_lengths("from" timestamptz default null, "to" timestamptz default null,
  time_zone text default 'UTC')
  returns table (min_turns integer, max_turns integer, conversations bigint, n bigint, share numeric, low numeric,
    high numeric, mean_turns numeric, mean_low numeric, mean_high numeric, median_turns numeric)
  language plpgsql stable security invoker set search_path = '' set statement_timeout = '5s' set jit = off
  as $$
declare
  v_span private.report_span := private.checked_span("from", "to", time_zone);
begin
  return query
    with lengths as materialized (
      select count(*) as turns from private.flow_turns('agent', v_span) as t
      group by t.conversation_id having bool_or(t.is_last)
    ), whole as (
      select count(*) as n, avg(g.turns) as mean, 1.96 * stddev_samp(g.turns) / sqrt(count(*)::numeric) as half,
        percentile_cont(0.5) within group (order by g.turns) as median
      from lengths as g
    )
    select b.least, b.most, count(g.turns), w.n, round(count(g.turns)::numeric / w.n, 4),
      lower(public.wilson_interval(count(g.turns), w.n)), upper(public.wilson_interval(count(g.turns), w.n)),
      round(w.mean, 4), round(w.mean - w.half, 4), round(w.mean + w.half, 4), w.median::numeric
    from (values (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, null)) as b (least, most)
    cross join whole as w
    left join lengths as g on g.turns >= b.least and (b.most is null or g.turns <= b.most)
    where w.n > 0 group by b.least, b.most, w.n, w.mean, w.half, w.median order by 1;
end
$$;
comment on function public.conversation_lengths(timestamptz, timestamptz, text) is
  'How many turns conversations have: those with turns in [from, to), by default the last 30 days, and none in the '
  'last 24 hours. share = conversations / n with Wilson''s 95 % interval; max_turns is null for the last class. '
  'The mean of all n has the interval mean +- 1.96 standard errors. Only turns of the span count; no rows '
  'without a conversation.';
revoke execute on function public.conversation_lengths from public, anon, authenticated, service_role;
grant execute on function public.conversation_lengths(timestamptz, timestamptz, text) to authenticated, service_role;

create function public.measure_next_agents() returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_people bigint;
  v_learned integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('private.measure_next_agents', 0));
  select count(*) into v_people from (
    select distinct d.user_id from public.usage_hourly as d where d.hour >= now() - interval '90 days'
      and d.user_id is not null limit 3) as p;
  delete from private.next_agents where true;  -- hosted projects refuse a delete without a condition
  insert into private.next_agents (previous_agent, domain, agent, n, hits, rules_hits)
  with named as (
    select l.user_id, l.domain_classification as domain, l.asked_agent as agent, (
      select e.agent_type from public.chat_logs as e
      where e.conversation_id = l.conversation_id and e.id < l.id order by e.id desc limit 1) as previous_agent
    from public.chat_logs as l
    -- Anyone can create anonymous accounts, so their turns do not count.
    join auth.users as a on a.id = l.user_id and not coalesce(a.is_anonymous, false)
    where l.created_at >= now() - interval '90 days' and l.asked_agent is not null
      and l.domain_classification is not null and l.conversation_id is not null
  ), counts as (
    select d.previous_agent, d.domain, d.agent, count(*) as hits, count(distinct d.user_id) as people
    from named as d where d.previous_agent is not null group by 1, 2, 3
  ), ranked as (
    select c.*, (sum(c.hits) over pairs)::bigint as n,
      coalesce(sum(c.hits) filter (where c.agent = c.domain) over pairs, 0)::bigint as rules_hits,
      row_number() over (partition by c.previous_agent, c.domain order by c.hits desc, c.agent) as place
    from counts as c window pairs as (partition by c.previous_agent, c.domain)
  )
  select r.previous_agent, r.domain, r.agent, r.n, r.hits, r.rules_hits
    from ranked as r
    where r.place = 1 and r.agent <> r.domain and r.n >= 50 and r.people >= least(3, v_people)
      and lower(public.wilson_interval(r.hits, r.n)) > upper(public.wilson_interval(r.rules_hits, r.n));
  get diagnostics v_learned = row_count;
  return v_learned;
end
$$;
comment on function public.measure_next_agents() is
  'Learns the most likely next agent from the last 90 days: of turns in which a user named an agent, by the agent '
  'before and the subject by the rules. It replaces the rules only where n >= 50, at least three users (if there are '
  'as many) named it, and the lower end of the 95 % interval (Wilson) of hits / n is above the upper end of that of '
  'the rules. Returns the number of such pairs.';
revoke execute on function public.measure_next_agents from public, anon, authenticated, service_role;
grant execute on function public.measure_next_agents() to service_role;

create function public.learned_agents()
  returns table (previous_agent text, domain text, agent text, n bigint, share numeric, low numeric, high numeric,
    rules_share numeric, rules_low numeric, rules_high numeric, measured_at timestamptz)
  language sql stable security definer set search_path = '' as $$
  select k.previous_agent, k.domain, k.agent, k.n, round(k.hits::numeric / k.n, 4),
    lower(public.wilson_interval(k.hits, k.n)), upper(public.wilson_interval(k.hits, k.n)),
    round(k.rules_hits::numeric / k.n, 4), lower(public.wilson_interval(k.rules_hits, k.n)),
    upper(public.wilson_interval(k.rules_hits, k.n)), k.measured_at
  from private.next_agents as k where (select private.is_admin())
    or coalesce(auth.jwt() ->> 'role', 'service_role') = 'service_role'
  order by 1, 2
$$;
comment on function public.learned_agents() is
  'For admins: where agent auto follows learned flow instead of the rules, with n, the share of turns in which users '
  'named this agent, and that in which they named the one of the rules, each with Wilson''s 95 % interval. Nothing for '
  'others. Definer, because next_agents is not granted.';
revoke execute on function public.learned_agents from public, anon, authenticated, service_role;
grant execute on function public.learned_agents() to authenticated, service_role;
