SELECT
    bidder,
    COUNT(*),
    SESSION_START(date_time, INTERVAL '10' SECOND),
    SESSION_END(date_time, INTERVAL '10' SECOND)
FROM bid
GROUP BY bidder, SESSION(date_time, INTERVAL '10' SECOND)
