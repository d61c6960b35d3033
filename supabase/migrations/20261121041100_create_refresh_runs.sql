-- Purpose: one row per run of the cron.
-- Affects: table public.refresh_runs
-- Access: admins read; the service writes.

create table public.refresh_runs (
  id uuid default gen_random_uuid() constraint refresh_runs_pkey primary key,
  trigger text not null,
  status text not null default 'running'
    constraint refresh_runs_status_check check (status in ('running', 'succeeded', 'partial', 'failed')),
  is_dry_run boolean not null default false,
  steps jsonb not null default '{}',
  sync_results jsonb not null default '{}',
  fence bigint,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);
comment on table public.refresh_runs is 'One run of the refresh function with each step''s outcome.';
comment on column public.refresh_runs.trigger is 'Who asked: cron-secret, google-oidc, admin, aws-event.';
comment on column public.refresh_runs.steps is '{step: {ok, ms, …counts}}.';
comment on column public.refresh_runs.sync_results is '{added, updated, deactivated, failed, errors: [{provider, message}]}.';
comment on column public.refresh_runs.fence is 'Fencing number of the lease the run held; a later run has a higher one.';
comment on column public.refresh_runs.finished_at is 'Null while it runs, and for ever when it was killed.';

create index refresh_runs_started_at_idx on public.refresh_runs (started_at desc);

alter table public.refresh_runs enable row level security;
revoke all on public.refresh_runs from public, anon, authenticated, service_role;
grant select on public.refresh_runs to authenticated;
grant select, insert, update on public.refresh_runs to service_role;

create policy refresh_runs_select_admin on public.refresh_runs for select to authenticated
  using ((select private.is_admin()));
comment on policy refresh_runs_select_admin on public.refresh_runs is 'Operators only.';
