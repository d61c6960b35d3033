"""The package that all functions share. A module imports only from its own line or from a line above it.

    values: errors, forms, messages, pdf_pages, files, events, growing_text, per_loop, records, routes.
    text: identifiers, log, redaction, privacy, sanitize, sigv4, sse, surrogates, tokens, token_bounds, tracing, usage.
    json: lenient_json, strict_json, validation.
    settings: addresses, variables, config, provider_config, log_encryption.
    wire: bounded_responses.
    network: node_addresses, http, secrets, database_errors, supabase, supabase_py, rights, object_store, spool, body.
    connections: ledger_connection, ledger_calls, api_keys, auth, sql.
    models: parameters, attempts, fallback, watchdog, providers, nodes, model_request, intake, gateway, structured.
    turns: turns, admitted_turn, receipts, limit_headers, ledger, traced_turn, telemetry, otlp, run_turn, catalogue.
    http routes: admission, cors, error_response, side_tasks, responses, endpoint, health, openai_models.

tests/test_architecture.py checks this map.
"""
