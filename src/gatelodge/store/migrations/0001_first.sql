-- One text for both databases: TEXT, BIGINT and BLOB columns; times are epoch seconds unless a comment says so.

CREATE TABLE orgs (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL,
  kind TEXT NOT NULL,
  refresh_window BIGINT NOT NULL,
  signing_algorithm TEXT NOT NULL,
  trusted_ranges TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  username TEXT NOT NULL,
  username_key TEXT NOT NULL,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  password_is_seeded BIGINT NOT NULL,
  is_active BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (org_id, username_key)
);

CREATE TABLE permission_sets (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  api_name TEXT NOT NULL,
  label TEXT NOT NULL,
  document TEXT NOT NULL,
  UNIQUE (org_id, api_name)
);

CREATE TABLE permission_set_assignments (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  permission_set_id TEXT NOT NULL REFERENCES permission_sets (id),
  PRIMARY KEY (org_id, user_id, permission_set_id)
);

CREATE TABLE sessions (
  digest TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  level TEXT NOT NULL,
  methods TEXT NOT NULL,
  address TEXT NOT NULL,
  agent TEXT NOT NULL,
  signed_in_at BIGINT NOT NULL,
  verified_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE INDEX sessions_by_user ON sessions (org_id, user_id);

-- Guessing is slowed down by the account and by the address; at and until are epoch milliseconds.
CREATE TABLE sign_in_failures (
  org_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  failures BIGINT NOT NULL,
  at BIGINT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (org_id, subject)
);

CREATE TABLE totp_secrets (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  sealed BLOB NOT NULL,
  confirmed_at BIGINT,
  last_step BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, user_id)
);

CREATE TABLE recovery_codes (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  used_at BIGINT,
  PRIMARY KEY (org_id, user_id, digest)
);

CREATE TABLE passkeys (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  credential_id TEXT NOT NULL,
  public_key BLOB NOT NULL,
  sign_count BIGINT NOT NULL,
  label TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT,
  UNIQUE (org_id, credential_id)
);

-- OpenID providers whose users may sign in; the client secret is sealed under the master key.
CREATE TABLE identity_providers (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  name TEXT NOT NULL,
  label TEXT NOT NULL,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  sealed BLOB NOT NULL,
  document TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (org_id, name)
);

-- Which user a provider's subject is here.
CREATE TABLE upstream_identities (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  provider_id TEXT NOT NULL REFERENCES identity_providers (id),
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, provider_id, subject)
);

CREATE INDEX upstream_identities_by_user ON upstream_identities (org_id, user_id);

-- One-time links by which a user sets a new password; made by an administrator.
CREATE TABLE password_links (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);

CREATE TABLE setup_links (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);

CREATE TABLE apps (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  consumer_key TEXT NOT NULL UNIQUE,
  revision BIGINT NOT NULL,
  api_name_key TEXT NOT NULL,
  label_key TEXT NOT NULL,
  settings TEXT NOT NULL,
  policies TEXT NOT NULL,
  preset TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (org_id, api_name_key)
);

-- The consumer keys of an app: the one in apps.consumer_key is its own, another is staged to take its place.
CREATE TABLE credentials (
  client_id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  app_id TEXT NOT NULL REFERENCES apps (id),
  secret_digest TEXT NOT NULL,
  made_by TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT
);

CREATE INDEX credentials_by_app ON credentials (org_id, app_id);

-- Connected Apps whose keys the org knows, so that it can say why they are refused.
CREATE TABLE connected_apps (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  client_id TEXT NOT NULL,
  name TEXT NOT NULL,
  imported_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, client_id)
);

-- live_from and released_at are epoch milliseconds.
CREATE TABLE live_clients (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  client_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  live_from BIGINT NOT NULL,
  released_at BIGINT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (org_id, client_id, revision)
);

CREATE TABLE mcp_servers (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  name TEXT NOT NULL,
  label TEXT NOT NULL,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  is_active BIGINT NOT NULL,
  allowed_origins TEXT NOT NULL,
  UNIQUE (org_id, name)
);

CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  algorithm TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  sealed BLOB NOT NULL,
  created_at BIGINT NOT NULL,
  signs_from BIGINT NOT NULL,
  gone_at BIGINT
);

CREATE INDEX signing_keys_by_org ON signing_keys (org_id, signs_from);

CREATE TABLE held_requests (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  client_id TEXT NOT NULL,
  browser TEXT NOT NULL,
  address TEXT NOT NULL,
  request TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX held_requests_by_address ON held_requests (org_id, address);

CREATE INDEX held_requests_by_end ON held_requests (expires_at);

CREATE TABLE authorizations (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  app_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  resources TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT
);

CREATE UNIQUE INDEX authorizations_live ON authorizations (org_id, user_id, app_id) WHERE ended_at IS NULL;

CREATE INDEX authorizations_ended ON authorizations (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE codes (
  digest TEXT PRIMARY KEY,
  connection_id TEXT NOT NULL,
  org_id TEXT NOT NULL,
  authorization_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  resource TEXT NOT NULL,
  signed_in_at BIGINT NOT NULL,
  level TEXT NOT NULL,
  methods TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  code_challenge TEXT NOT NULL,
  nonce TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);

CREATE INDEX codes_by_end ON codes (expires_at);

CREATE TABLE connections (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  authorization_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  resource TEXT NOT NULL,
  signed_in_at BIGINT NOT NULL,
  level TEXT NOT NULL,
  methods TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  grant_type TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT NOT NULL,
  ended_at BIGINT,
  ended_by TEXT
);

CREATE INDEX connections_by_authorization ON connections (org_id, authorization_id);

CREATE INDEX connections_by_user ON connections (org_id, user_id);

CREATE INDEX connections_ended ON connections (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE refresh_families (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  salt TEXT NOT NULL,
  n BIGINT NOT NULL,
  recent TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  used_at BIGINT NOT NULL
);

CREATE INDEX refresh_families_by_connection ON refresh_families (org_id, connection_id);

-- Access tokens that are no JWT: what they stand for is known here alone.
CREATE TABLE opaque_tokens (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  audience TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX opaque_tokens_by_end ON opaque_tokens (expires_at);

-- What may be shown once: the jti of assertions and DPoP proofs, by who made it.
CREATE TABLE used_once (
  org_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, kind, value)
);

CREATE INDEX used_once_by_end ON used_once (expires_at);

-- browser is the digest of the cookie of the first browser that showed a page for it, "" before.
CREATE TABLE pushed_requests (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  address TEXT NOT NULL,
  browser TEXT NOT NULL,
  request TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);

CREATE INDEX pushed_requests_by_end ON pushed_requests (expires_at);

CREATE INDEX pushed_requests_by_address ON pushed_requests (org_id, address);

-- polled_at is epoch milliseconds; user_code is a MAC; answer is the connection that the user
-- allowed_by allowed, as JSON.
CREATE TABLE device_codes (
  digest TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  user_code TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  resource TEXT NOT NULL,
  address TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  poll_seconds BIGINT NOT NULL,
  polled_at BIGINT NOT NULL,
  answer TEXT NOT NULL,
  allowed_by TEXT NOT NULL,
  used_at BIGINT,
  UNIQUE (org_id, user_code)
);

CREATE INDEX device_codes_by_end ON device_codes (expires_at);

-- Wrong user codes, by the address they were typed at.
CREATE TABLE device_guesses (
  org_id TEXT NOT NULL,
  address TEXT NOT NULL,
  guesses BIGINT NOT NULL,
  ends_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, address)
);

-- at is epoch milliseconds.
CREATE TABLE audit_events (
  org_id TEXT NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  tag TEXT NOT NULL,
  subject TEXT NOT NULL,
  details TEXT NOT NULL
);

CREATE INDEX audit_events_by_time ON audit_events (org_id, at);

-- The feed: its one row's lock makes the order of sequence numbers the order of commits on both databases.
CREATE TABLE feed (
  id BIGINT PRIMARY KEY,
  seq BIGINT NOT NULL
);

INSERT INTO feed (id, seq) VALUES (1, 0);

CREATE TABLE changes (
  seq BIGINT NOT NULL,
  position BIGINT NOT NULL,
  org_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (seq, position)
);

CREATE INDEX changes_by_key ON changes (org_id, kind, key, seq);

-- seen_at and at are epoch milliseconds.
CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  applied_seq BIGINT NOT NULL
);

CREATE TABLE applied_changes (
  node_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (node_id, seq)
);
