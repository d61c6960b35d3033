SELECT
    tool->>'name' as tool_name,
    COUNT(*) as usage_count
FROM chat_logs, jsonb_array_elements(tools_used) as tool
GROUP BY tool_name
ORDER BY usage_count DESC;
