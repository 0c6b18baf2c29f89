-- First schema of the embedded store.
--
-- An applied migration never changes (its checksum is stored); changes are further files, and only ever add.
--
-- Conventions, so that one row reads like another:
-- * organizations, requests and tokens are 16-byte UUID blobs; instants are milliseconds since 1970;
--   days are 'YYYY-MM-DD' and months 'YYYY-MM', whose text order is their calendar order;
-- * money is a pair of integers, whole micro-USD and the pico-USD below one micro-USD: exact, and no REAL anywhere;
-- * an app_id of '' in totals and fallback states means the whole organization (NULL cannot be part of a key);
-- * STRICT and the CHECKs refuse what no writer of ours produces, so that corruption is found where it happens.

-- Configuration is one JSON document: it is always read and replaced whole, and never searched.
CREATE TABLE orgs (
    org_id     BLOB    NOT NULL PRIMARY KEY CHECK (length(org_id) = 16),
    config     TEXT    NOT NULL CHECK (json_valid(config)),
    version    INTEGER NOT NULL CHECK (version >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE apps (
    org_id     BLOB    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    app_id     TEXT    NOT NULL CHECK (app_id <> ''),
    config     TEXT    NOT NULL CHECK (json_valid(config)),
    version    INTEGER NOT NULL CHECK (version >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, app_id)
) STRICT;

-- A client ends with the tenant it belongs to, in the same step: the cascades see to it.
CREATE TABLE credentials (
    client_id           TEXT    NOT NULL PRIMARY KEY,
    org_id              BLOB    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    app_id              TEXT, -- NULL for the organization's own client, which the composite key below then ignores
    current_salt        BLOB    NOT NULL CHECK (length(current_salt) = 16),
    current_hash        BLOB    NOT NULL CHECK (length(current_hash) = 32),
    previous_salt       BLOB    CHECK (length(previous_salt) = 16),
    previous_hash       BLOB    CHECK (length(previous_hash) = 32),
    previous_expires_at INTEGER,
    token_epoch         BLOB    NOT NULL CHECK (length(token_epoch) = 16),
    version             INTEGER NOT NULL CHECK (version >= 0),
    created_at          INTEGER NOT NULL,
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id) ON DELETE CASCADE,
    CHECK ((previous_salt IS NULL) = (previous_hash IS NULL)),
    CHECK ((previous_salt IS NULL) = (previous_expires_at IS NULL))
) STRICT;

CREATE INDEX credentials_by_tenant ON credentials (org_id, app_id);

-- Only the hash of the retrieval token is here, so a copy of this file opens no secret. `sealed` is NULL once taken;
-- the row stays until it expires, to tell "used before" from "unknown".
CREATE TABLE sealed_secrets (
    token_hash BLOB    NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    client_id  TEXT    NOT NULL REFERENCES credentials (client_id) ON DELETE CASCADE,
    sealed     BLOB,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sealed_secrets_by_client ON sealed_secrets (client_id);
CREATE INDEX sealed_secrets_by_expiry ON sealed_secrets (expires_at);

CREATE TABLE revocations (
    kind       TEXT    NOT NULL CHECK (kind IN ('TOKEN', 'SESSION')),
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

-- No reference to orgs: a state is worth nothing beyond its day, and is deleted with its tenant explicitly.
CREATE TABLE fallback_states (
    org_id               BLOB    NOT NULL CHECK (length(org_id) = 16),
    app_id               TEXT    NOT NULL,
    day                  TEXT    NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    model_label          TEXT    NOT NULL CHECK (model_label <> ''),
    model_index          INTEGER NOT NULL CHECK (model_index BETWEEN 0 AND 65535),
    previous_model_label TEXT    NOT NULL CHECK (previous_model_label <> ''),
    reason               TEXT    NOT NULL CHECK (reason IN ('QUOTA_EXCEEDED', 'MANUAL_OVERRIDE')),
    reason_label         TEXT,
    activated_at         INTEGER NOT NULL,
    version              INTEGER NOT NULL CHECK (version >= 1),
    expires_at           INTEGER NOT NULL,
    PRIMARY KEY (org_id, app_id, day),
    CHECK ((reason = 'QUOTA_EXCEEDED') = (reason_label IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX fallback_states_by_expiry ON fallback_states (expires_at);

-- One row per accepted submission: the dedup key and the record in one, so neither can exist without the other.
-- A rowid table, because rows are appended and random keys belong into the index only. No reference to orgs: usage
-- outlives its tenant until its retention ends.
CREATE TABLE usage_records (
    id                       INTEGER PRIMARY KEY,
    org_id                   BLOB    NOT NULL CHECK (length(org_id) = 16),
    app_id                   TEXT    NOT NULL CHECK (app_id <> ''),
    request_id               BLOB    NOT NULL CHECK (length(request_id) = 16),
    fingerprint              BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    model_label              TEXT    NOT NULL CHECK (model_label <> ''),
    day                      TEXT    NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    timestamp                INTEGER NOT NULL,
    recorded_at              INTEGER NOT NULL,
    status                   TEXT    NOT NULL CHECK (status IN ('OK', 'ERROR')),
    cost_source              TEXT    NOT NULL CHECK (cost_source IN ('SERVER', 'CLIENT')),
    cost_micros              INTEGER NOT NULL CHECK (cost_micros >= 0),
    cost_residue             INTEGER NOT NULL CHECK (cost_residue BETWEEN 0 AND 999999),
    server_cost_micros       INTEGER CHECK (server_cost_micros >= 0),
    server_cost_residue      INTEGER CHECK (server_cost_residue BETWEEN 0 AND 999999),
    input_tokens             INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens            INTEGER NOT NULL CHECK (output_tokens >= 0),
    cache_read_input_tokens  INTEGER NOT NULL CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens INTEGER NOT NULL CHECK (cache_write_input_tokens >= 0),
    cache_write_1h_tokens    INTEGER NOT NULL CHECK (cache_write_1h_tokens >= 0),
    pricing_status           TEXT    NOT NULL CHECK (pricing_status IN ('PRICED', 'ESTIMATED', 'UNPRICED')),
    price_source             TEXT    CHECK (price_source IN ('PRICING_API', 'CONFIG', 'CACHED', 'EMBEDDED')),
    price_version            TEXT,
    model_id                 TEXT    NOT NULL,
    calling_region           TEXT,
    service_tier             TEXT    NOT NULL,
    latency                  TEXT    NOT NULL,
    shard_id                 INTEGER NOT NULL CHECK (shard_id BETWEEN 0 AND 255),
    CHECK ((server_cost_micros IS NULL) = (server_cost_residue IS NULL))
) STRICT;

-- What makes a submission count once.
CREATE UNIQUE INDEX usage_records_dedup ON usage_records (org_id, app_id, request_id);

-- Retention walks this in bounded steps. Not the rowid: a clock that ran ahead for a while would leave one young row
-- in front of older ones, and a walk by rowid would stop there. New entries go to its right edge, so it costs little.
CREATE INDEX usage_records_by_age ON usage_records (recorded_at);

-- Totals change in the transaction of the usage they sum. The organization's own row (app_id '') is kept beside the
-- rows of its applications, so that reading a scope costs one row per label however many applications there are.
CREATE TABLE daily_totals (
    org_id                   BLOB    NOT NULL CHECK (length(org_id) = 16),
    day                      TEXT    NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    app_id                   TEXT    NOT NULL,
    model_label              TEXT    NOT NULL CHECK (model_label <> ''),
    cost_micros              INTEGER NOT NULL CHECK (cost_micros >= 0),
    cost_residue             INTEGER NOT NULL CHECK (cost_residue BETWEEN 0 AND 999999),
    drift_micros             INTEGER NOT NULL,
    drift_residue            INTEGER NOT NULL CHECK (drift_residue BETWEEN -999999 AND 999999),
    requests                 INTEGER NOT NULL CHECK (requests >= 0),
    errors                   INTEGER NOT NULL CHECK (errors BETWEEN 0 AND requests),
    unpriced_requests        INTEGER NOT NULL CHECK (unpriced_requests BETWEEN 0 AND requests),
    input_tokens             INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens            INTEGER NOT NULL CHECK (output_tokens >= 0),
    cache_read_input_tokens  INTEGER NOT NULL CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens INTEGER NOT NULL CHECK (cache_write_input_tokens >= 0),
    updated_at               INTEGER NOT NULL,
    PRIMARY KEY (org_id, day, app_id, model_label)
) STRICT, WITHOUT ROWID;

-- For retention. Only written when a key appears or goes: adding to a counter does not touch it.
CREATE INDEX daily_totals_by_day ON daily_totals (day);

CREATE TABLE monthly_totals (
    org_id                   BLOB    NOT NULL CHECK (length(org_id) = 16),
    month                    TEXT    NOT NULL CHECK (month GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]'),
    app_id                   TEXT    NOT NULL,
    model_label              TEXT    NOT NULL CHECK (model_label <> ''),
    cost_micros              INTEGER NOT NULL CHECK (cost_micros >= 0),
    cost_residue             INTEGER NOT NULL CHECK (cost_residue BETWEEN 0 AND 999999),
    drift_micros             INTEGER NOT NULL,
    drift_residue            INTEGER NOT NULL CHECK (drift_residue BETWEEN -999999 AND 999999),
    requests                 INTEGER NOT NULL CHECK (requests >= 0),
    errors                   INTEGER NOT NULL CHECK (errors BETWEEN 0 AND requests),
    unpriced_requests        INTEGER NOT NULL CHECK (unpriced_requests BETWEEN 0 AND requests),
    input_tokens             INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens            INTEGER NOT NULL CHECK (output_tokens >= 0),
    cache_read_input_tokens  INTEGER NOT NULL CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens INTEGER NOT NULL CHECK (cache_write_input_tokens >= 0),
    updated_at               INTEGER NOT NULL,
    PRIMARY KEY (org_id, month, app_id, model_label)
) STRICT, WITHOUT ROWID;

CREATE INDEX monthly_totals_by_month ON monthly_totals (month);
