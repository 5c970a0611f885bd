-- Calls that a person is asked about first. sealed holds the arguments, digest is a MAC over them; times are epoch
-- seconds; used_at is when the one call was let through.
CREATE TABLE approvals (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  server TEXT NOT NULL,
  tool TEXT NOT NULL,
  sealed BLOB NOT NULL,
  digest TEXT NOT NULL,
  approvers TEXT NOT NULL,
  four_eyes BIGINT NOT NULL,
  seconds BIGINT NOT NULL,
  state TEXT NOT NULL,
  is_open BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  decided_by TEXT NOT NULL,
  decided_at BIGINT NOT NULL,
  used_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX approvals_open ON approvals (org_id, user_id, app_id, server_id, tool, digest) WHERE is_open = 1;

CREATE INDEX approvals_by_time ON approvals (org_id, created_at);

CREATE INDEX approvals_by_user ON approvals (org_id, user_id, created_at);

CREATE INDEX approvals_by_end ON approvals (expires_at);

-- Who is asked about a server's calls; tool is "" for all of its tools that have no row of their own.
CREATE TABLE approval_rules (
  org_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  tool TEXT NOT NULL,
  approvers TEXT NOT NULL,
  four_eyes BIGINT NOT NULL,
  seconds BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, tool)
);

ALTER TABLE orgs ADD COLUMN custom_scopes TEXT NOT NULL DEFAULT '[]';

UPDATE permission_sets SET document = REPLACE(document, '"manage_org"', '"manage_org","approve_calls"') WHERE api_name = 'Administrator';
