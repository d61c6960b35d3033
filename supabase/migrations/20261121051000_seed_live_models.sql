-- Purpose: the models that are alive today, so that every provider with a key can be chosen before the first refresh.
-- Affects: rows of public.llm_models
-- Access: as the table.

-- Prices in USD per million tokens from genai-prices 0.2.3, read 2026-11-21. Hugging Face's router charges what the host
-- charges that it picks: unknown here, so null.
insert into public.llm_models
  (model_key, model_name, provider, upstream_id, capabilities, pricing, display_order, source)
values
  ('claude-haiku-4-5', 'Claude Haiku 4.5', 'anthropic', 'claude-haiku-4-5-20251001',
   '{"context_window": 200000, "max_output_tokens": 64000, "supports_vision": true, "supports_tools": true, "supports_json": true, "supports_temperature": false}',
   '{"input": 1, "output": 5, "cached_input": 0.1}', 10, 'seed'),
  ('claude-sonnet-4-6', 'Claude Sonnet 4.6', 'anthropic', 'claude-sonnet-4-6',
   '{"context_window": 1000000, "max_output_tokens": 64000, "supports_vision": true, "supports_tools": true, "supports_json": true, "supports_temperature": false}',
   '{"input": 3, "output": 15, "cached_input": 0.3}', 11, 'seed'),
  ('gemini-3-5-flash-lite', 'Gemini 3.5 Flash-Lite', 'google', 'gemini-3.5-flash-lite',
   '{"context_window": 1048576, "max_output_tokens": 65536, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.3, "output": 2.5, "cached_input": 0.03}', 12, 'seed'),
  ('gemini-3-8-flash', 'Gemini 3.8 Flash', 'google', 'gemini-3.8-flash',
   '{"context_window": 1048576, "max_output_tokens": 65536, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.75, "output": 3.75, "cached_input": 0.075}', 13, 'seed'),
  ('gpt-4o-mini', 'GPT-4o mini', 'openai', 'gpt-4o-mini',
   '{"context_window": 128000, "max_output_tokens": 16384, "supports_vision": true, "supports_tools": true, "supports_json": true}',
   '{"input": 0.15, "output": 0.6, "cached_input": 0.075}', 14, 'seed'),
  ('llama-3-1-8b-instruct', 'Llama 3.1 8B Instruct', 'huggingface', 'meta-llama/Llama-3.1-8B-Instruct',
   '{"context_window": 16384, "max_output_tokens": 4096, "supports_vision": false}', null, 15, 'seed');
