-- First schema of the shared store. PostgreSQL 14 or later.
--
-- An applied migration never changes (its checksum is stored); changes are further files, and only ever add, so that
-- instances of the version before go on working while a new one is rolled out.
--
-- Conventions, so that one row reads like another:
-- * organizations, requests and tokens are UUIDs; instants are milliseconds since 1970;
--   days are 'YYYY-MM-DD' and months 'YYYY-MM', whose text order is their calendar order;
-- * text that is a key or is read in order is COLLATE "C": byte order, the same on every server and in every version;
-- * money is a pair of integers, whole micro-USD and the pico-USD below one micro-USD: exact, and no floating point
--   anywhere;
-- * an app_id of '' in totals and fallback states means the whole organization (NULL cannot be part of a key);
-- * the CHECKs refuse what no writer of ours produces, so that corruption is found where it happens.

-- Configuration is one JSON document: it is always read and replaced whole, and never searched. JSON, not JSONB, keeps
-- it as it was written.
CREATE TABLE orgs (
    org_id     UUID   NOT NULL PRIMARY KEY,
    config     JSON   NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 0),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE apps (
    org_id     UUID             NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    app_id     TEXT COLLATE "C" NOT NULL CHECK (app_id <> ''),
    config     JSON             NOT NULL,
    version    BIGINT           NOT NULL CHECK (version >= 0),
    created_at BIGINT           NOT NULL,
    updated_at BIGINT           NOT NULL,
    PRIMARY KEY (org_id, app_id)
);

-- A client ends with the tenant it belongs to, in the same step: the cascades see to it.
CREATE TABLE credentials (
    client_id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    org_id              UUID             NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    app_id              TEXT COLLATE "C", -- NULL for the organization's own client, which the composite key below then ignores
    current_salt        BYTEA            NOT NULL CHECK (octet_length(current_salt) = 16),
    current_hash        BYTEA            NOT NULL CHECK (octet_length(current_hash) = 32),
    previous_salt       BYTEA            CHECK (octet_length(previous_salt) = 16),
    previous_hash       BYTEA            CHECK (octet_length(previous_hash) = 32),
    previous_expires_at BIGINT,
    token_epoch         UUID             NOT NULL,
    version             BIGINT           NOT NULL CHECK (version >= 0),
    created_at          BIGINT           NOT NULL,
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id) ON DELETE CASCADE,
    CHECK ((previous_salt IS NULL) = (previous_hash IS NULL)),
    CHECK ((previous_salt IS NULL) = (previous_expires_at IS NULL))
);

CREATE INDEX credentials_by_tenant ON credentials (org_id, app_id);

-- Only the hash of the retrieval token is here, so a copy of this table opens no secret. `sealed` is NULL once taken;
-- the row stays until it expires, to tell "used before" from "unknown".
CREATE TABLE sealed_secrets (
    token_hash BYTEA            NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    client_id  TEXT COLLATE "C" NOT NULL REFERENCES credentials (client_id) ON DELETE CASCADE,
    sealed     BYTEA,
    expires_at BIGINT           NOT NULL
);

CREATE INDEX sealed_secrets_by_client ON sealed_secrets (client_id);
CREATE INDEX sealed_secrets_by_expiry ON sealed_secrets (expires_at);

CREATE TABLE revocations (
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('TOKEN', 'SESSION')),
    id         UUID             NOT NULL,
    expires_at BIGINT           NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

-- No reference to orgs: a state is worth nothing beyond its day, and is deleted with its tenant explicitly.
CREATE TABLE fallback_states (
    org_id               UUID             NOT NULL,
    app_id               TEXT COLLATE "C" NOT NULL,
    day                  TEXT COLLATE "C" NOT NULL CHECK (day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
    model_label          TEXT COLLATE "C" NOT NULL CHECK (model_label <> ''),
    model_index          INTEGER          NOT NULL CHECK (model_index BETWEEN 0 AND 65535),
    previous_model_label TEXT COLLATE "C" NOT NULL CHECK (previous_model_label <> ''),
    reason               TEXT COLLATE "C" NOT NULL CHECK (reason IN ('QUOTA_EXCEEDED', 'MANUAL_OVERRIDE')),
    reason_label         TEXT COLLATE "C",
    activated_at         BIGINT           NOT NULL,
    version              BIGINT           NOT NULL CHECK (version >= 1),
    expires_at           BIGINT           NOT NULL,
    PRIMARY KEY (org_id, app_id, day),
    CHECK ((reason = 'QUOTA_EXCEEDED') = (reason_label IS NOT NULL))
);

CREATE INDEX fallback_states_by_expiry ON fallback_states (expires_at);

-- One row per accepted submission: the dedup key and the record in one, so neither can exist without the other. The
-- primary key is what makes a submission count once. No reference to orgs: usage outlives its tenant until its retention
-- ends.
CREATE TABLE usage_records (
    org_id                   UUID             NOT NULL,
    app_id                   TEXT COLLATE "C" NOT NULL CHECK (app_id <> ''),
    request_id               UUID             NOT NULL,
    fingerprint              BYTEA            NOT NULL CHECK (octet_length(fingerprint) = 32),
    model_label              TEXT COLLATE "C" NOT NULL CHECK (model_label <> ''),
    day                      TEXT COLLATE "C" NOT NULL CHECK (day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
    timestamp                BIGINT           NOT NULL,
    recorded_at              BIGINT           NOT NULL,
    status                   TEXT COLLATE "C" NOT NULL CHECK (status IN ('OK', 'ERROR')),
    cost_source              TEXT COLLATE "C" NOT NULL CHECK (cost_source IN ('SERVER', 'CLIENT')),
    cost_micros              BIGINT           NOT NULL CHECK (cost_micros >= 0),
    cost_residue             BIGINT           NOT NULL CHECK (cost_residue BETWEEN 0 AND 999999),
    server_cost_micros       BIGINT           CHECK (server_cost_micros >= 0),
    server_cost_residue      BIGINT           CHECK (server_cost_residue BETWEEN 0 AND 999999),
    input_tokens             BIGINT           NOT NULL CHECK (input_tokens >= 0),
    output_tokens            BIGINT           NOT NULL CHECK (output_tokens >= 0),
    cache_read_input_tokens  BIGINT           NOT NULL CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens BIGINT           NOT NULL CHECK (cache_write_input_tokens >= 0),
    cache_write_1h_tokens    BIGINT           NOT NULL CHECK (cache_write_1h_tokens >= 0),
    -- Whether the time to live of cache writes was assumed: no later price makes up for that.
    cache_ttl_assumed        BOOLEAN          NOT NULL,
    pricing_status           TEXT COLLATE "C" NOT NULL CHECK (pricing_status IN ('PRICED', 'ESTIMATED', 'UNPRICED')),
    price_source             TEXT COLLATE "C" CHECK (price_source IN ('PRICING_API', 'CONFIG', 'CACHED', 'EMBEDDED')),
    price_version            TEXT COLLATE "C",
    model_id                 TEXT COLLATE "C" NOT NULL,
    calling_region           TEXT COLLATE "C",
    service_tier             TEXT COLLATE "C" NOT NULL,
    latency                  TEXT COLLATE "C" NOT NULL,
    shard_id                 SMALLINT         NOT NULL CHECK (shard_id BETWEEN 0 AND 255),
    PRIMARY KEY (org_id, app_id, request_id),
    CHECK ((server_cost_micros IS NULL) = (server_cost_residue IS NULL))
);

-- Retention walks this in bounded steps, from its old end.
CREATE INDEX usage_records_by_age ON usage_records (recorded_at);

-- Repriceable records in the order they are walked in. Usually there are few of them or none, so it costs next to
-- nothing. A query must repeat the condition to be answered from it.
CREATE INDEX usage_records_repriceable ON usage_records (org_id, day, app_id, request_id)
    WHERE pricing_status <> 'PRICED';

-- Totals of days and of months, which change in the transaction of the usage they sum. One table, so that one statement
-- adds to all four totals of a submission and every writer takes its locks in one order, that of the key. The
-- organization's own row (app_id '') is kept beside the rows of its applications, so that reading a scope costs one row
-- per label however many applications there are.
--
-- Rows are updated all the time and never grow: with room on its page a new version stays there and touches no index.
CREATE TABLE totals (
    org_id                   UUID             NOT NULL,
    period                   TEXT COLLATE "C" NOT NULL CHECK (period ~ '^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$'),
    app_id                   TEXT COLLATE "C" NOT NULL,
    model_label              TEXT COLLATE "C" NOT NULL CHECK (model_label <> ''),
    cost_micros              BIGINT           NOT NULL CHECK (cost_micros >= 0),
    cost_residue             BIGINT           NOT NULL CHECK (cost_residue BETWEEN 0 AND 999999),
    drift_micros             BIGINT           NOT NULL,
    drift_residue            BIGINT           NOT NULL CHECK (drift_residue BETWEEN -999999 AND 999999),
    requests                 BIGINT           NOT NULL CHECK (requests >= 0),
    errors                   BIGINT           NOT NULL CHECK (errors BETWEEN 0 AND requests),
    unpriced_requests        BIGINT           NOT NULL CHECK (unpriced_requests BETWEEN 0 AND requests),
    input_tokens             BIGINT           NOT NULL CHECK (input_tokens >= 0),
    output_tokens            BIGINT           NOT NULL CHECK (output_tokens >= 0),
    cache_read_input_tokens  BIGINT           NOT NULL CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens BIGINT           NOT NULL CHECK (cache_write_input_tokens >= 0),
    updated_at               BIGINT           NOT NULL,
    PRIMARY KEY (org_id, period, app_id, model_label)
) WITH (fillfactor = 60);

-- For retention, by kind of period: a day has ten characters and a month seven. Only written when a key appears or goes:
-- adding to a counter does not touch it.
CREATE INDEX totals_by_age ON totals (length(period), period);

-- The price list that was fetched last. One row: an instance that finds it needs no fetch of its own.
CREATE TABLE price_cache (
    id         SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version    TEXT     NOT NULL CHECK (version <> ''),
    fetched_at BIGINT   NOT NULL,
    document   JSON     NOT NULL
);

-- Inference profiles that applications register under labels of their own. They end with their application, and so with
-- its organization: the cascade sees to it. The key begins with what the cascade looks for, so it needs no index.
CREATE TABLE inference_profiles (
    org_id        UUID             NOT NULL,
    app_id        TEXT COLLATE "C" NOT NULL,
    profile_label TEXT COLLATE "C" NOT NULL CHECK (profile_label <> ''),
    arn           TEXT COLLATE "C" NOT NULL CHECK (arn LIKE 'arn:%'),
    description   TEXT             NOT NULL,
    created_at    BIGINT           NOT NULL,
    PRIMARY KEY (org_id, app_id, profile_label),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id) ON DELETE CASCADE
);

-- What a label means in an organization's view, over all its applications.
CREATE INDEX inference_profiles_by_label ON inference_profiles (org_id, profile_label, arn);
