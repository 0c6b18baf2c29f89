-- The audit trail: administrative changes and security events, in the order of (at, id). No reference to orgs: the trail
-- outlives its tenants until its retention ends.
CREATE TABLE audit_events (
    at           INTEGER NOT NULL,
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    -- What it concerns: an application, an organization (app_id is NULL) or the service (both are).
    org_id       BLOB    CHECK (length(org_id) = 16),
    app_id       TEXT    CHECK (app_id <> ''),
    actor_kind   TEXT    NOT NULL CHECK (actor_kind IN ('administrator', 'client', 'operator', 'anonymous')),
    actor_id     TEXT,
    -- Open: a later version knows more of them.
    action       TEXT    NOT NULL CHECK (action <> ''),
    outcome      TEXT    NOT NULL CHECK (outcome IN ('pending', 'succeeded', 'refused')),
    subject      TEXT,
    state_before TEXT    CHECK (json_valid(state_before)),
    state_after  TEXT    CHECK (json_valid(state_after)),
    request_id   TEXT    NOT NULL,
    address      TEXT,
    PRIMARY KEY (at, id),
    CHECK (app_id IS NULL OR org_id IS NOT NULL),
    CHECK ((actor_id IS NULL) = (actor_kind IN ('operator', 'anonymous')))
) STRICT;

-- One organization's trail, in the same order.
CREATE INDEX audit_events_by_org ON audit_events (org_id, at, id);
