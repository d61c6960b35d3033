-- Purpose: a user's preferences, and values learned from the user's turns of the last 90 days.
-- Affects: public.user_llm_profiles, public.roll_up_profiles()
-- Access: users read and write their preferences; the service calls the roll-up, which writes the learned columns.

create table public.user_llm_profiles (
  user_id uuid default auth.uid() constraint user_llm_profiles_pkey primary key
    constraint user_llm_profiles_user_id_fkey references auth.users (id) on delete cascade,
  skill_level text constraint user_llm_profiles_skill_level_check
    check (skill_level in ('beginner', 'intermediate', 'advanced', 'expert')),
  communication_style text constraint user_llm_profiles_communication_style_check
    check (communication_style in ('concise', 'balanced', 'detailed')),
  preferred_agent text constraint user_llm_profiles_preferred_agent_check
    check (preferred_agent in ('auto', 'general', 'technical', 'research')),
  preferred_model text constraint user_llm_profiles_preferred_model_check
    check (char_length(preferred_model) between 1 and 300),
  is_profiling_enabled boolean not null default true,
  context_preferences jsonb not null default '{}' constraint user_llm_profiles_context_preferences_check
    check (jsonb_typeof(context_preferences) = 'object' and octet_length(context_preferences::text) <= 16384),
  agent_satisfaction_scores jsonb,
  conversation_patterns jsonb,
  expertise_areas jsonb,
  learning_progress jsonb,
  is_automatic boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  allows_training boolean not null default false
);
comment on table public.user_llm_profiles is
  'A user''s stated preferences, and values learned from the user''s turns.';
comment on column public.user_llm_profiles.skill_level is 'As stated by the user; null when not stated.';
comment on column public.user_llm_profiles.communication_style is
  'The preferred length of answers; null = no preference.';
comment on column public.user_llm_profiles.preferred_agent is
  'The agent of a turn that names none; null = no preference.';
comment on column public.user_llm_profiles.preferred_model is
  'Identifier, key or alias for turns that name no model in conversations without a default. Ignored when the model '
  'is gone.';
comment on column public.user_llm_profiles.is_profiling_enabled is
  'Whether anything may be learned. Switching it off clears the learned columns at once; stated preferences stay.';
comment on column public.user_llm_profiles.context_preferences is
  'Values of the client, which Parley does not read: an object of at most 16 KB.';
comment on column public.user_llm_profiles.agent_satisfaction_scores is
  'Learned: object of agent to {mean, n}, the mean rating (1 to 5) of n rated turns; null without ratings.';
comment on column public.user_llm_profiles.conversation_patterns is
  'Learned: {turns, turns_by_agent, mean_input_tokens, mean_output_tokens, turns_by_hour (UTC)} of the last 90 days; '
  'null without turns.';
comment on column public.user_llm_profiles.expertise_areas is
  'Learned: object of domain to {share, n}, its share of the classified turns of the last 90 days; null without any.';
comment on column public.user_llm_profiles.learning_progress is
  'Learned: object of UTC month (YYYY-MM) to {turns, mean_rating?, ratings?, skill?}. skill is the last one assessed '
  'in the month. Months older than the logs are kept. Null without turns.';
comment on column public.user_llm_profiles.is_automatic is
  'The row was created with the user''s first turn and the user has not written to it. An insert by the user '
  'replaces it.';
comment on column public.user_llm_profiles.allows_training is
  'Whether turns of the user may become training data; only the user sets it.';

create trigger user_llm_profiles_touch_updated_at before update on public.user_llm_profiles
  for each row execute function private.touch_updated_at();

alter table public.user_llm_profiles enable row level security;
revoke all on public.user_llm_profiles from public, anon, authenticated, service_role;
grant select on public.user_llm_profiles to authenticated;
grant insert (user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled,
  context_preferences, allows_training) on public.user_llm_profiles to authenticated;
grant update (user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled,
  context_preferences, allows_training) on public.user_llm_profiles to authenticated;

create policy user_llm_profiles_select_own on public.user_llm_profiles for select to authenticated
  using (user_id = (select auth.uid()));
comment on policy user_llm_profiles_select_own on public.user_llm_profiles is
  'Only the user reads the profile, not even admins.';
create policy user_llm_profiles_insert_own on public.user_llm_profiles for insert to authenticated
  with check (user_id = (select auth.uid()));
comment on policy user_llm_profiles_insert_own on public.user_llm_profiles is 'Only the user inserts the profile.';
create policy user_llm_profiles_update_own on public.user_llm_profiles for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy user_llm_profiles_update_own on public.user_llm_profiles is 'Only the user changes the profile.';

create function private.begin_profile(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = '' as $$
  insert into public.user_llm_profiles (user_id, is_profiling_enabled, is_automatic)
    select p_user_id, coalesce((select s.value = 'on' from private.settings as s where s.name = 'profiling'), false),
      true
    where p_user_id is not null and not exists (select 1 from public.user_llm_profiles as p where p.user_id = p_user_id)
    on conflict on constraint user_llm_profiles_pkey do nothing
$$;
comment on function private.begin_profile(uuid) is
  'Creates an empty profile for a user who has none. Profiling is on only with profiling = on in private.settings.';
revoke execute on function private.begin_profile from public, anon, authenticated, service_role;

create function private.protect_learned_columns() returns trigger
  language plpgsql security invoker set search_path = '' as $$
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
comment on function private.protect_learned_columns() is 'Trigger: clears the learned columns while profiling is off.';
revoke execute on function private.protect_learned_columns from public, anon, authenticated, service_role;

create trigger user_llm_profiles_keep_unlearned before insert or update on public.user_llm_profiles
  for each row execute function private.protect_learned_columns();

create function private.own_profile() returns trigger
  language plpgsql security definer set search_path = '' as $$
declare
  v_automatic public.user_llm_profiles;
begin
  if tg_op = 'UPDATE' then
    new.is_automatic := false;
  elsif not new.is_automatic then
    delete from public.user_llm_profiles as p where p.user_id = new.user_id and p.is_automatic returning p.*
      into v_automatic;
    if found and new.is_profiling_enabled then
      new.agent_satisfaction_scores := v_automatic.agent_satisfaction_scores;
      new.conversation_patterns := v_automatic.conversation_patterns;
      new.expertise_areas := v_automatic.expertise_areas;
      new.learning_progress := v_automatic.learning_progress;
    end if;
  end if;
  return new;
end
$$;
comment on function private.own_profile() is
  'Trigger: a profile that the user inserts replaces the automatic one and keeps the learned values, unless profiling '
  'is off; after an update by the user, is_automatic is false. Definer, because no role may delete profiles.';
revoke execute on function private.own_profile from public, anon, authenticated, service_role;

create trigger user_llm_profiles_own_inserted before insert on public.user_llm_profiles
  for each row execute function private.own_profile();
create trigger user_llm_profiles_own_updated
  before update of user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled,
    context_preferences, allows_training
  on public.user_llm_profiles for each row execute function private.own_profile();

create function private.learned_profile(p_user_id uuid) returns table (patterns jsonb, areas jsonb, scores jsonb)
  language sql stable security invoker set search_path = '' as $$
  with turns as (
    select coalesce(l.agent_type, 'general') as agent, l.domain_classification as domain, l.input_tokens,
      l.output_tokens,
      to_char(l.created_at at time zone 'utc', 'HH24') as hour
    from public.chat_logs as l
    where l.user_id = p_user_id and l.status in ('completed', 'partial', 'cancelled')
      -- Whole days, so that a second run on the same day finds the same turns.
      and l.created_at >= ((now() at time zone 'utc')::date - 90)::timestamp at time zone 'utc')
  select
    (select jsonb_build_object('turns', count(*), 'mean_input_tokens', round(avg(t.input_tokens)),
        'mean_output_tokens', round(avg(t.output_tokens)),
        'turns_by_agent', (select jsonb_object_agg(a.agent, a.n)
          from (select t.agent, count(*) as n from turns as t group by t.agent) as a),
        'turns_by_hour', (select jsonb_object_agg(h.hour, h.n)
          from (select t.hour, count(*) as n from turns as t group by t.hour) as h))
     from turns as t having count(*) > 0),
    (select jsonb_object_agg(d.domain, jsonb_build_object('share', round(d.n / sum_n, 3), 'n', d.n))
     from (select t.domain, count(*) as n, sum(count(*)) over () as sum_n from turns as t
           where t.domain is not null group by t.domain) as d),
    (select jsonb_object_agg(r.agent, jsonb_build_object('mean', round(r.mean, 3), 'n', r.n))
     from (select coalesce(l.agent_type, 'general') as agent, avg(f.rating) as mean, count(*) as n
           from public.feedback as f join public.chat_logs as l on l.turn_id = f.turn_id
           where f.user_id = p_user_id and f.rating is not null group by 1) as r)
$$;
comment on function private.learned_profile(uuid) is
  'conversation_patterns, expertise_areas and agent_satisfaction_scores of a user, from turns with content of the '
  'last 90 UTC days; null without any.';
revoke execute on function private.learned_profile from public, anon, authenticated, service_role;

create function private.monthly_progress(p_user_id uuid, p_known jsonb) returns jsonb
  language sql stable security invoker set search_path = '' as $$
  with turns as (
    select to_char(l.created_at at time zone 'utc', 'YYYY-MM') as month, l.user_skill_assessment as skill, l.created_at,
      l.id,
      (select f.rating from public.feedback as f where f.turn_id = l.turn_id and f.user_id = p_user_id) as rating
    from public.chat_logs as l
    where l.user_id = p_user_id and l.status in ('completed', 'partial', 'cancelled')
      and l.created_at >= ((now() at time zone 'utc')::date - 90)::timestamp at time zone 'utc'
  ), months as (
    select t.month, count(*) as turns,
      jsonb_strip_nulls(jsonb_build_object('turns', count(*), 'mean_rating', round(avg(t.rating), 3),
      'ratings', nullif(count(t.rating), 0),
      'skill', (array_agg(t.skill order by t.created_at desc,
        t.id desc) filter (where t.skill is not null))[1])) as progress
    from turns as t group by t.month
  )
  -- Logs of past months are only deleted, so the higher count is kept.
  select nullif(coalesce(p_known, '{}') || coalesce(jsonb_object_agg(m.month, m.progress)
    filter (where m.turns >= coalesce((p_known #>> array[m.month, 'turns'])::bigint, 0)), '{}'), '{}')
  from months as m
$$;
comment on function private.monthly_progress(uuid, jsonb) is
  'learning_progress: the known months, updated with turns with content of the last 90 UTC days.';
revoke execute on function private.monthly_progress from public, anon, authenticated, service_role;

create function public.roll_up_profiles() returns integer
  language plpgsql volatile security definer set search_path = '' as $$
declare
  v_changed integer;
begin
  -- Profiles with profiling off and unchanged profiles are not written.
  update public.user_llm_profiles as p
    set conversation_patterns = n.patterns, expertise_areas = n.areas, agent_satisfaction_scores = n.scores,
        learning_progress = n.progress
    from (select q.user_id, l.patterns, l.areas, l.scores,
      private.monthly_progress(q.user_id, q.learning_progress) as progress
          from public.user_llm_profiles as q cross join lateral private.learned_profile(q.user_id) as l
          where q.is_profiling_enabled) as n
    where p.user_id = n.user_id and p.is_profiling_enabled
      and (p.conversation_patterns, p.expertise_areas, p.agent_satisfaction_scores, p.learning_progress)
        is distinct from (n.patterns, n.areas, n.scores, n.progress);
  get diagnostics v_changed = row_count;
  return v_changed;
end
$$;
comment on function public.roll_up_profiles() is
  'Writes the learned columns of users who allow it. Safe to repeat; returns the number of changed profiles.';
revoke execute on function public.roll_up_profiles from public, anon, authenticated, service_role;
grant execute on function public.roll_up_profiles() to service_role;
