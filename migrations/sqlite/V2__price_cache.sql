-- The price list that was fetched last. One row: an instance that finds it needs no fetch of its own.
CREATE TABLE price_cache (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version    TEXT    NOT NULL CHECK (version <> ''),
    fetched_at INTEGER NOT NULL,
    document   TEXT    NOT NULL CHECK (json_valid(document))
) STRICT;
