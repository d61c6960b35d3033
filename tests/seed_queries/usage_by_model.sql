-- The document has it as a query of SQLAlchemy.
SELECT model_identifier, count(id) AS count, sum(total_tokens) AS total_tokens
FROM ai_usage_logs
GROUP BY model_identifier;
