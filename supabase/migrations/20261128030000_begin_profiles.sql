-- Purpose: a profile begins with a person's first turn, and what is learned is kept by month.
-- Affects: column public.user_llm_profiles.is_automatic; functions private.begin_profile(), own_profile(), progress_of(),
--   public.roll_up_profiles()
-- Access: the ledger begins profiles and the service rolls them up; definer because these columns are granted to nobody.

alter table public.user_llm_profiles add column is_automatic boolean not null default false;
comment on column public.user_llm_profiles.is_automatic is
  'The row was made with the first turn, and its person has not written to it yet; an insert of theirs replaces it.';
comment on column public.user_llm_profiles.learning_progress is
  'Learned: object of UTC month (YYYY-MM) to {turns, mean_rating?, ratings?, skill?}; skill is the last one assessed in that month, and '
  'mean_rating is 1 to 5 over its ratings. Months older than the logs are kept. Null without turns.';
comment on column private.settings.name is
  'allow_private_nodes = on: client nodes may live on http, any port and private addresses; on a laptop only, and together with the '
  'functions'' ALLOW_PRIVATE_NODES. profiling = on: profiles that begin with a first turn may be learned from; default off. '
  'lease_seconds, open_turns_per_person: numbers, see the README.';

create function private.begin_profile(p_user_id uuid) returns void
  language sql volatile security invoker set search_path = ''
as $$
  insert into public.user_llm_profiles (user_id, is_profiling_enabled, is_automatic)
    select p_user_id, coalesce((select s.value = 'on' from private.settings as s where s.name = 'profiling'), false), true
    where p_user_id is not null and not exists (select 1 from public.user_llm_profiles as p where p.user_id = p_user_id)
    on conflict on constraint user_llm_profiles_pkey do nothing
$$;
comment on function private.begin_profile(uuid) is
  'Adds an empty profile for a person who has none; nothing is learned into it unless private.settings has profiling = on.';

create function private.own_profile() returns trigger
  language plpgsql security definer set search_path = ''
as $$
declare
  v_automatic public.user_llm_profiles;
begin
  if tg_op = 'UPDATE' then
    new.is_automatic := false;
  elsif not new.is_automatic then
    delete from public.user_llm_profiles as p where p.user_id = new.user_id and p.is_automatic returning p.* into v_automatic;
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
  'Trigger: a profile that its person inserts replaces the automatic one, so that inserting works and defaults hold; what was '
  'learned moves along, unless the person switches profiling off. A row that its '
  'person changes is theirs. Definer, because profiles cannot be deleted by anyone; a policy that refuses the insert undoes the deletion.';
create trigger user_llm_profiles_own_inserted before insert on public.user_llm_profiles
  for each row execute function private.own_profile();
create trigger user_llm_profiles_own_updated
  before update of user_id, skill_level, communication_style, preferred_agent, preferred_model, is_profiling_enabled, context_preferences
  on public.user_llm_profiles for each row execute function private.own_profile();

create function private.progress_of(p_user_id uuid, p_known jsonb) returns jsonb
  language sql stable security invoker set search_path = ''
as $$
  with turns as (
    select to_char(l.created_at at time zone 'utc', 'YYYY-MM') as month, l.user_skill_assessment as skill, l.created_at, l.id,
      (select f.rating from public.feedback as f where f.turn_id = l.turn_id and f.user_id = p_user_id) as rating
    from public.chat_logs as l
    where l.user_id = p_user_id and l.status in ('completed', 'partial', 'cancelled')
      and l.created_at >= ((now() at time zone 'utc')::date - 90) at time zone 'utc'
  ), months as (
    select t.month, count(*) as turns, jsonb_strip_nulls(jsonb_build_object('turns', count(*), 'mean_rating', round(avg(t.rating), 3),
      'ratings', nullif(count(t.rating), 0),
      'skill', (array_agg(t.skill order by t.created_at desc, t.id desc) filter (where t.skill is not null))[1])) as progress
    from turns as t group by t.month
  )
  -- Logs of a month that has passed only become fewer: the count that saw more of them stands.
  select nullif(coalesce(p_known, '{}') || coalesce(jsonb_object_agg(m.month, m.progress)
    filter (where m.turns >= coalesce((p_known #>> array[m.month, 'turns'])::bigint, 0)), '{}'), '{}')
  from months as m
$$;
comment on function private.progress_of(uuid, jsonb) is
  'learning_progress: what is known, brought up to date with the turns of the last 90 UTC days in which anything was said.';

create or replace function public.roll_up_profiles() returns integer
  language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_changed integer;
begin
  -- Only where profiling is enabled; a profile that does not change is not written.
  update public.user_llm_profiles as p
    set conversation_patterns = n.patterns, expertise_areas = n.areas, agent_satisfaction_scores = n.scores,
        learning_progress = n.progress
    from (select q.user_id, l.patterns, l.areas, l.scores, private.progress_of(q.user_id, q.learning_progress) as progress
          from public.user_llm_profiles as q cross join lateral private.learned_of(q.user_id) as l
          where q.is_profiling_enabled) as n
    where p.user_id = n.user_id and p.is_profiling_enabled
      and (p.conversation_patterns, p.expertise_areas, p.agent_satisfaction_scores, p.learning_progress)
        is distinct from (n.patterns, n.areas, n.scores, n.progress);
  get diagnostics v_changed = row_count;
  return v_changed;
end
$$;

revoke execute on function private.begin_profile(uuid), private.own_profile(), private.progress_of(uuid, jsonb)
  from public, anon, authenticated, service_role;
