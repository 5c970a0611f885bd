-- What administrators entered for an upstream MCP server. sealed is bound to org, server and kind.
CREATE TABLE upstream_secrets (
  org_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  sealed BLOB NOT NULL,
  last_four TEXT NOT NULL,
  made_by TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, kind)
);

-- Who we registered ourselves as at an upstream's authorization server. sealed holds the secret, "" for none.
CREATE TABLE upstream_clients (
  org_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  sealed BLOB NOT NULL,
  auth_method TEXT NOT NULL,
  registered_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, issuer)
);

-- What a user let us do at an upstream. version counts its tokens; leased_until is the end of a turn to refresh
-- them; place is where they are refreshed, as JSON.
CREATE TABLE upstream_grants (
  org_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  issuer TEXT NOT NULL,
  place TEXT NOT NULL,
  scope TEXT NOT NULL,
  sealed BLOB NOT NULL,
  expires_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  leased_until BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  refreshed_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, user_id)
);

CREATE INDEX upstream_grants_by_user ON upstream_grants (org_id, user_id);
