-- Correcting what was recorded without a price, or with a stand-in for one.

-- Whether the time to live of cache writes was assumed: no later price makes up for that.
ALTER TABLE usage_records ADD COLUMN cache_ttl_assumed INTEGER NOT NULL DEFAULT 0 CHECK (cache_ttl_assumed IN (0, 1));

-- Repriceable records in the order they are walked in. Usually there are few of them or none, so it costs next to
-- nothing. A query must repeat the condition word for word to be answered from it.
CREATE INDEX usage_records_repriceable ON usage_records (org_id, day, app_id, request_id)
    WHERE pricing_status <> 'PRICED';

-- Of older records nobody knows any more. Where it could be, it was: an estimate must not pass for a price.
UPDATE usage_records SET cache_ttl_assumed = 1 WHERE pricing_status <> 'PRICED' AND cache_write_input_tokens > 0;
