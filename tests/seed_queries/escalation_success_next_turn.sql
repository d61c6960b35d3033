-- Corrected: the document joins all later turns of a conversation, so that it counts one hand-off many times.
SELECT 
    i1.agent_type as from_agent,
    i2.agent_type as to_agent,
    COUNT(*) as handoffs,
    AVG(i2.user_satisfaction) as post_handoff_satisfaction
FROM llm_interactions i1
JOIN LATERAL (
    SELECT n.agent_type, n.user_satisfaction FROM llm_interactions n
    WHERE n.conversation_id = i1.conversation_id AND n.timestamp > i1.timestamp
    ORDER BY n.timestamp LIMIT 1) i2 ON TRUE
WHERE i1.escalation_suggested = TRUE 
GROUP BY i1.agent_type, i2.agent_type;
