-- Purpose: the models and caps that every project starts with; retired models name their successor.
-- Affects: rows of public.llm_models, public.usage_limits
-- Access: as the tables.

-- Retirements as of 2026-11-21 (providers' deprecation pages); prices in USD per million tokens from genai-prices 0.2.3.
-- Hugging Face's router charges the price of the host it picks: unknown, so null. The order decides the ids 1 to 11.
insert into public.llm_models
  (model_key, model_name, provider, upstream_id, matcha_llm_id, capabilities, pricing,
   is_active, is_default, default_by, display_order, replaced_by, missing_since, source)
values
  ('claude-3-7-sonnet', 'Claude 3.7 Sonnet', 'anthropic', 'claude-3-7-sonnet-20250219', 28,
   '{"context_window": 200000, "max_output_tokens": 64000,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', false, false, null, 1, 'claude-sonnet-4-6', now(), 'seed'),
  ('claude-3-5-sonnet', 'Claude 3.5 Sonnet', 'anthropic', 'claude-3-5-sonnet-20241022', 25,
   '{"context_window": 200000, "max_output_tokens": 8192,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', false, false, null, 2, 'claude-sonnet-4-6', now(), 'seed'),
  ('claude-3-opus-4-1', 'Claude Opus 4.1', 'anthropic', 'claude-opus-4-1-20250805', 30,
   '{"context_window": 200000, "max_output_tokens": 32000,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 15, "output": 75, "cached_input": 1.5}', false, false, null, 3, 'claude-sonnet-4-6', now(), 'seed'),
  ('gemini-2-5-flash-lite', 'Gemini 2.5 Flash-Lite', 'google', 'gemini-2.5-flash-lite', 35,
   '{"context_window": 1048576, "max_output_tokens": 65536,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.1, "output": 0.4, "cached_input": 0.01}', true, true, 'seed', 4, 'gemini-3-5-flash-lite', null, 'seed'),
  ('gpt-4o', 'GPT-4o', 'openai', 'gpt-4o', 40,
   '{"context_window": 128000, "max_output_tokens": 16384,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 2.5, "output": 10, "cached_input": 1.25}', true, false, null, 5, null, null, 'seed'),
  ('claude-haiku-4-5', 'Claude Haiku 4.5', 'anthropic', 'claude-haiku-4-5-20251001', null,
   '{"context_window": 200000, "max_output_tokens": 64000,
    "supports_vision": true, "supports_tools": true, "supports_json": true, "supports_temperature": false}',
   '{"input": 1, "output": 5, "cached_input": 0.1}', true, false, null, 10, null, null, 'seed'),
  ('claude-sonnet-4-6', 'Claude Sonnet 4.6', 'anthropic', 'claude-sonnet-4-6', null,
   '{"context_window": 1000000, "max_output_tokens": 64000,
    "supports_vision": true, "supports_tools": true, "supports_json": true, "supports_temperature": false}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', true, false, null, 11, null, null, 'seed'),
  ('gemini-3-5-flash-lite', 'Gemini 3.5 Flash-Lite', 'google', 'gemini-3.5-flash-lite', null,
   '{"context_window": 1048576, "max_output_tokens": 65536,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.3, "output": 2.5, "cached_input": 0.03}', true, false, null, 12, null, null, 'seed'),
  ('gemini-3-8-flash', 'Gemini 3.8 Flash', 'google', 'gemini-3.8-flash', null,
   '{"context_window": 1048576, "max_output_tokens": 65536,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.75, "output": 3.75, "cached_input": 0.075}', true, false, null, 13, null, null, 'seed'),
  ('gpt-4o-mini', 'GPT-4o mini', 'openai', 'gpt-4o-mini', null,
   '{"context_window": 128000, "max_output_tokens": 16384,
    "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.15, "output": 0.6, "cached_input": 0.075}', true, false, null, 14, null, null, 'seed'),
  ('llama-3-1-8b-instruct', 'Llama 3.1 8B Instruct', 'huggingface', 'meta-llama/Llama-3.1-8B-Instruct', null,
   '{"context_window": 16384, "max_output_tokens": 4096,
    "supports_vision": false}',
   null, true, false, null, 15, null, null, 'seed');

-- A null caps nothing. The caps apply per user, except global; anonymous users have less.
insert into public.usage_limits (scope, daily_requests, daily_cost_usd, monthly_cost_usd) values
  ('global', null, 50, 500),
  ('default', 500, 5, 50),
  ('anonymous', 20, 0.20, 1);
