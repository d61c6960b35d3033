-- Purpose: what the last refresh was told of a model, when it retires, and what a run changed, in words.
-- Affects: columns told and retires_on of public.llm_models; column changes of public.refresh_runs
-- Access: as the tables.

alter table public.llm_models
  add column told jsonb constraint llm_models_told_check check (jsonb_typeof(told) = 'object'),
  add column retires_on date;
comment on column public.llm_models.told is
  '{model_name, capabilities, pricing, is_active} as refresh last set it: what differs from it in the row is a person''s '
  'choice and stays. Null until refresh has seen the model.';
comment on column public.llm_models.retires_on is 'UTC day on which its provider says it ends; null when none is announced.';

alter table public.refresh_runs add column changes jsonb not null default '[]'
  constraint refresh_runs_changes_check check (jsonb_typeof(changes) = 'array');
comment on column public.refresh_runs.changes is 'What the run changed in the catalogue, a sentence each; of a dry run, what it would have.';
