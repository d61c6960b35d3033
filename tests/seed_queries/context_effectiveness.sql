SELECT 
    context_size_tokens,
    AVG(user_satisfaction) as satisfaction,
    AVG(response_time_ms) as response_time,
    COUNT(*) as sample_size
FROM llm_interactions
WHERE context_size_tokens > 0
GROUP BY context_size_tokens
ORDER BY context_size_tokens;
