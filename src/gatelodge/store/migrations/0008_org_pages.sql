-- Revisions, so that two administrators don't overwrite each other in silence; what an org decides for all of its
-- sessions and apps (JSON); whose sign-in a session is; and the ways to lists that stay fast.

ALTER TABLE orgs ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

ALTER TABLE orgs ADD COLUMN preferences TEXT NOT NULL DEFAULT '{}';

ALTER TABLE orgs ADD COLUMN app_rules TEXT NOT NULL DEFAULT '{}';

ALTER TABLE permission_sets ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- The identity provider that vouched for the person, "" for a password or a passkey of our own.
ALTER TABLE sessions ADD COLUMN provider_id TEXT NOT NULL DEFAULT '';

CREATE INDEX sessions_by_sign_in ON sessions (org_id, signed_in_at, id);

CREATE INDEX users_by_name ON users (org_id, name, id);

CREATE INDEX users_by_age ON users (org_id, created_at, id);

CREATE INDEX passkeys_by_user ON passkeys (org_id, user_id);

CREATE INDEX permission_set_assignments_by_set ON permission_set_assignments (permission_set_id, user_id);

CREATE INDEX authorizations_of_app ON authorizations (org_id, app_id, created_at, id) WHERE ended_at IS NULL;

CREATE INDEX connections_live_of_app ON connections (org_id, app_id, authorization_id) WHERE ended_at IS NULL;

CREATE INDEX sessions_by_provider ON sessions (org_id, provider_id) WHERE provider_id <> '';

-- How often a family was refreshed; n counts only those that replaced its token.
ALTER TABLE refresh_families ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;
