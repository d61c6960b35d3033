-- Purpose: how a person likes to be helped, and what their own turns of the last 90 days say about it.
-- Affects: table public.user_llm_profiles; functions private.keep_unlearned(), learned_of(), public.roll_up_profiles()
-- Access: people read and write their preferences; learned columns are the roll-up's, which the service calls (definer: granted to nobody).

create table public.user_llm_profiles (
  user_id uuid default auth.uid() constraint user_llm_profiles_pkey primary key
    constraint user_llm_profiles_user_id_fkey references auth.users (id) on delete cascade,
  skill_level text constraint user_llm_profiles_skill_level_check
    check (skill_level in ('beginner', 'intermediate', 'advanced', 'expert')),
  communication_style text constraint user_llm_profiles_communication_style_check
    check (communication_style in ('concise', 'balanced', 'detailed')),
  preferred_agent text constraint user_llm_profiles_preferred_agent_check
    check (preferred_agent in ('auto', 'general', 'technical', 'research')),
  preferred_model text constraint user_llm_profiles_preferred_model_check check (char_length(preferred_model) between 1 and 300),
  is_profiling_enabled boolean not null default true,
  context_preferences jsonb not null default '{}' constraint user_llm_profiles_context_preferences_check
    check (jsonb_typeof(context_preferences) = 'object' and octet_length(context_preferences::text) <= 16384),
  agent_satisfaction_scores jsonb,
  conversation_patterns jsonb,
  expertise_areas jsonb,
  learning_progress jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.user_llm_profiles is 'How a person likes to be helped: what they said themselves, and what was learned from their turns.';
comment on column public.user_llm_profiles.skill_level is 'What they say of themselves; null when they did not.';
comment on column public.user_llm_profiles.communication_style is 'How long answers should be; null when it is all the same to them.';
comment on column public.user_llm_profiles.preferred_agent is 'Who takes a turn that names no agent; null = nobody in particular.';
comment on column public.user_llm_profiles.preferred_model is
  'Any model identifier, key or alias, for turns that name none in conversations without a default; one that is gone is passed over.';
comment on column public.user_llm_profiles.is_profiling_enabled is
  'Whether anything may be learned; switched off, what was learned is empty at once and preferences still count.';
comment on column public.user_llm_profiles.context_preferences is 'Theirs to use: an object of at most 16 KB.';
comment on column public.user_llm_profiles.agent_satisfaction_scores is
  'Learned: object of agent to {mean, n}, mean rating 1 to 5 of n rated turns; null without ratings.';
comment on column public.user_llm_profiles.conversation_patterns is
  'Learned: {turns, turns_by_agent, mean_input_tokens, mean_output_tokens, turns_by_hour (UTC)} of the last 90 days; null without turns.';
comment on column public.user_llm_profiles.expertise_areas is
  'Learned: object of domain to {share, n}, its share of the turns whose domain is known in the last 90 days; null without any.';
comment on column public.user_llm_profiles.learning_progress is 'Learned; null until it is measured.';

alter table public.user_llm_profiles enable row level security;
revoke all on public.user_llm_profiles from public, anon, authenticated, service_role;
grant select on public.user_llm_profiles to authenticated;
grant insert (user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled, context_preferences)
  on public.user_llm_profiles to authenticated;
-- user_id, too: an upsert names it, and the policy lets it be nobody else's.
grant update (user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled, context_preferences)
  on public.user_llm_profiles to authenticated;

create policy user_llm_profiles_select_own on public.user_llm_profiles for select to authenticated
  using (user_id = (select auth.uid()));
create policy user_llm_profiles_insert_own on public.user_llm_profiles for insert to authenticated
  with check (user_id = (select auth.uid()));
create policy user_llm_profiles_update_own on public.user_llm_profiles for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy user_llm_profiles_select_own on public.user_llm_profiles is 'A profile is its person''s alone; not even admins read it.';

create function private.keep_unlearned() returns trigger
  language plpgsql security invoker set search_path = ''
as $$
begin
  if not new.is_profiling_enabled then
    new.agent_satisfaction_scores := null;
    new.conversation_patterns := null;
    new.expertise_areas := null;
    new.learning_progress := null;
  end if;
  return new;
end
$$;
comment on function private.keep_unlearned() is 'Trigger: nothing learned stands in the row of somebody who switched profiling off, whoever writes it.';

create trigger user_llm_profiles_keep_unlearned before insert or update on public.user_llm_profiles
  for each row execute function private.keep_unlearned();
create trigger user_llm_profiles_touch_updated_at before update on public.user_llm_profiles
  for each row execute function private.touch_updated_at();

create function private.learned_of(p_user_id uuid) returns table (patterns jsonb, areas jsonb, scores jsonb)
  language sql stable security invoker set search_path = ''
as $$
  with turns as (
    select coalesce(l.agent_type, 'general') as agent, l.domain_classification as domain, l.input_tokens, l.output_tokens,
      to_char(l.created_at at time zone 'utc', 'HH24') as hour
    from public.chat_logs as l
    where l.user_id = p_user_id and l.status in ('completed', 'partial', 'cancelled')
      -- Whole days, so that a second run of the same day finds the same turns.
      and l.created_at >= ((now() at time zone 'utc')::date - 90) at time zone 'utc')
  select
    (select jsonb_build_object('turns', count(*), 'mean_input_tokens', round(avg(t.input_tokens)),
        'mean_output_tokens', round(avg(t.output_tokens)),
        'turns_by_agent', (select jsonb_object_agg(a.agent, a.n) from (select t.agent, count(*) as n from turns as t group by t.agent) as a),
        'turns_by_hour', (select jsonb_object_agg(h.hour, h.n) from (select t.hour, count(*) as n from turns as t group by t.hour) as h))
     from turns as t having count(*) > 0),
    (select jsonb_object_agg(d.domain, jsonb_build_object('share', round(d.n / sum_n, 3), 'n', d.n))
     from (select t.domain, count(*) as n, sum(count(*)) over () as sum_n from turns as t
           where t.domain is not null group by t.domain) as d),
    (select jsonb_object_agg(r.agent, jsonb_build_object('mean', round(r.mean, 3), 'n', r.n))
     from (select coalesce(l.agent_type, 'general') as agent, avg(f.rating) as mean, count(*) as n
           from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
           where f.user_id = p_user_id and f.rating is not null group by 1) as r)
$$;
comment on function private.learned_of(uuid) is
  'conversation_patterns and expertise_areas of a person, from their turns of the last 90 UTC days in which anything was said, and '
  'agent_satisfaction_scores from their ratings; null without any.';

create function public.roll_up_profiles() returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_changed integer;
begin
  -- Only for profiles that their people began, and one that says nothing new is not touched.
  update public.user_llm_profiles as p
    set conversation_patterns = n.patterns, expertise_areas = n.areas, agent_satisfaction_scores = n.scores
    from (select q.user_id, l.patterns, l.areas, l.scores
          from public.user_llm_profiles as q cross join lateral private.learned_of(q.user_id) as l
          where q.is_profiling_enabled) as n
    where p.user_id = n.user_id and p.is_profiling_enabled
      and (p.conversation_patterns, p.expertise_areas, p.agent_satisfaction_scores) is distinct from (n.patterns, n.areas, n.scores);
  get diagnostics v_changed = row_count;
  return v_changed;
end
$$;
comment on function public.roll_up_profiles() is
  'Fills what is learned of people who let it be, however often it is called; returns how many profiles changed.';

revoke execute on function private.keep_unlearned(), private.learned_of(uuid), public.roll_up_profiles()
  from public, anon, authenticated, service_role;
grant execute on function public.roll_up_profiles() to service_role;
