SELECT 
    i1.agent_type as from_agent,
    i2.agent_type as to_agent,
    COUNT(*) as handoffs,
    AVG(i2.user_satisfaction) as post_handoff_satisfaction
FROM llm_interactions i1
JOIN llm_interactions i2 ON i1.conversation_id = i2.conversation_id
WHERE i1.escalation_suggested = TRUE 
    AND i2.timestamp > i1.timestamp
GROUP BY i1.agent_type, i2.agent_type;
