SELECT 
    c.user_id,
    COUNT(i.*) as total_interactions,
    SUM((i.llm_metadata->>'tokens_used')::INTEGER) as total_tokens,
    SUM((i.llm_metadata->>'cost')::DECIMAL) as total_cost,
    AVG(i.user_satisfaction) as avg_satisfaction,
    (SUM((i.llm_metadata->>'cost')::DECIMAL) / AVG(i.user_satisfaction)) as cost_efficiency
FROM llm_conversations c
JOIN llm_interactions i ON c.id = i.conversation_id
WHERE c.started_at >= CURRENT_DATE - INTERVAL '30 days'
GROUP BY c.user_id
ORDER BY cost_efficiency ASC;
