-- Corrected: the document has SUM(llm_metadata->>'tokens_used')::INTEGER, and there is no sum of texts.
SELECT 
    agent_type,
    COUNT(*) as interactions,
    AVG(user_satisfaction) as avg_satisfaction,
    SUM((llm_metadata->>'tokens_used')::INTEGER) as total_tokens,
    SUM((llm_metadata->>'cost')::DECIMAL) as total_cost,
    AVG(response_time_ms) as avg_response_time
FROM llm_interactions 
WHERE DATE(timestamp) = CURRENT_DATE
GROUP BY agent_type
ORDER BY avg_satisfaction DESC;
