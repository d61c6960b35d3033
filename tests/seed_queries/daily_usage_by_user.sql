SELECT
    DATE(created_at) as day,
    user_id,
    COUNT(*) as requests,
    SUM(cost_usd) as cost
FROM chat_logs
GROUP BY day, user_id
ORDER BY day DESC;
