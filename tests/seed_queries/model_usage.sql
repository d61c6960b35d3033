-- The document has the table only.
SELECT model_key, request_count, last_used
FROM llm_usage_stats
ORDER BY request_count DESC;
