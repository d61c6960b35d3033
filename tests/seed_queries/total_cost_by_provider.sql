SELECT
    provider,
    COUNT(*) as requests,
    SUM(cost_usd) as total_cost,
    AVG(cost_usd) as avg_cost
FROM chat_logs
GROUP BY provider;
