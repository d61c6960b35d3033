SELECT 
    DATE(timestamp) as date,
    agent_type,
    COUNT(*) as interactions,
    SUM((llm_metadata->>'tokens_used')::INTEGER) as total_tokens,
    SUM((llm_metadata->>'cost')::DECIMAL) as total_cost,
    AVG((llm_metadata->>'cost')::DECIMAL) as avg_cost_per_interaction
FROM llm_interactions
WHERE timestamp >= CURRENT_DATE - INTERVAL '30 days'
GROUP BY DATE(timestamp), agent_type
ORDER BY date DESC, total_cost DESC;
