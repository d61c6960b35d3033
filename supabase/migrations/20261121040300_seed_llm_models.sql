-- Purpose: the five models every project starts with; retired ones stay as history and name their successor.
-- Affects: rows of public.llm_models
-- Access: as the table.

-- Retirements as of 2026-11-21 (providers' deprecation pages); prices in USD per million tokens from genai-prices.
insert into public.llm_models
  (model_key, model_name, provider, upstream_id, matcha_llm_id, capabilities, pricing,
   is_active, is_default, display_order, replaced_by, source)
values
  ('claude-3-7-sonnet', 'Claude 3.7 Sonnet', 'anthropic', 'claude-3-7-sonnet-20250219', 28,
   '{"context_window": 200000, "max_output_tokens": 64000, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', false, false, 1, 'claude-sonnet-4-6', 'seed'),
  ('claude-3-5-sonnet', 'Claude 3.5 Sonnet', 'anthropic', 'claude-3-5-sonnet-20241022', 25,
   '{"context_window": 200000, "max_output_tokens": 8192, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', false, false, 2, 'claude-sonnet-4-6', 'seed'),
  ('claude-3-opus-4-1', 'Claude Opus 4.1', 'anthropic', 'claude-opus-4-1-20250805', 30,
   '{"context_window": 200000, "max_output_tokens": 32000, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 15, "output": 75, "cached_input": 1.5}', false, false, 3, 'claude-sonnet-4-6', 'seed'),
  ('gemini-2-5-flash-lite', 'Gemini 2.5 Flash-Lite', 'google', 'gemini-2.5-flash-lite', 35,
   '{"context_window": 1048576, "max_output_tokens": 65536, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.1, "output": 0.4, "cached_input": 0.01}', true, true, 4, 'gemini-3-5-flash-lite', 'seed'),
  ('gpt-4o', 'GPT-4o', 'openai', 'gpt-4o', 40,
   '{"context_window": 128000, "max_output_tokens": 16384, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 2.5, "output": 10, "cached_input": 1.25}', true, false, 5, null, 'seed');
