-- The audit trail: administrative changes and security events, in the order of (at, id). No reference to orgs: the trail
-- outlives its tenants until its retention ends.
CREATE TABLE audit_events (
    at           BIGINT           NOT NULL,
    id           UUID             NOT NULL,
    -- What it concerns: an application, an organization (app_id is NULL) or the service (both are).
    org_id       UUID,
    app_id       TEXT COLLATE "C" CHECK (app_id <> ''),
    actor_kind   TEXT COLLATE "C" NOT NULL CHECK (actor_kind IN ('administrator', 'client', 'operator', 'anonymous')),
    actor_id     TEXT COLLATE "C",
    -- Open: a later version knows more of them.
    action       TEXT COLLATE "C" NOT NULL CHECK (action <> ''),
    outcome      TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('pending', 'succeeded', 'refused')),
    subject      TEXT COLLATE "C",
    state_before JSON,
    state_after  JSON,
    request_id   TEXT COLLATE "C" NOT NULL,
    address      TEXT COLLATE "C",
    PRIMARY KEY (at, id),
    CHECK (app_id IS NULL OR org_id IS NOT NULL),
    CHECK ((actor_id IS NULL) = (actor_kind IN ('operator', 'anonymous')))
);

-- One organization's trail, in the same order.
CREATE INDEX audit_events_by_org ON audit_events (org_id, at, id);
