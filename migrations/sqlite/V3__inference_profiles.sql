-- Inference profiles that applications register under labels of their own. They end with their application, and so with
-- its organization: the cascade sees to it. The key begins with what the cascade looks for, so it needs no index.
CREATE TABLE inference_profiles (
    org_id        BLOB    NOT NULL,
    app_id        TEXT    NOT NULL,
    profile_label TEXT    NOT NULL CHECK (profile_label <> ''),
    arn           TEXT    NOT NULL CHECK (arn GLOB 'arn:*'),
    description   TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (org_id, app_id, profile_label),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What a label means in an organization's view, over all its applications.
CREATE INDEX inference_profiles_by_label ON inference_profiles (org_id, profile_label, arn);
