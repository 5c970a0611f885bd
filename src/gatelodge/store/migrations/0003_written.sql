-- What is written down: chains of hashes, the calls with their counters, and the audit as a chain.

-- One row per chain ("audit", "calls") of an org: its head, where it begins after what was purged, and the head that
-- was sealed last. Who adds to a chain holds this row's lock.
CREATE TABLE chains (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  name TEXT NOT NULL,
  first_seq BIGINT NOT NULL,
  first_hash TEXT NOT NULL,
  seq BIGINT NOT NULL,
  hash TEXT NOT NULL,
  sealed_seq BIGINT NOT NULL,
  seal TEXT NOT NULL,
  PRIMARY KEY (org_id, name)
);

-- at is epoch milliseconds, duration_us microseconds, arguments the JSON text where its server records it.
CREATE TABLE calls (
  org_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  app_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  server TEXT NOT NULL,
  method TEXT NOT NULL,
  name TEXT NOT NULL,
  outcome TEXT NOT NULL,
  status BIGINT NOT NULL,
  duration_us BIGINT NOT NULL,
  bytes_in BIGINT NOT NULL,
  bytes_out BIGINT NOT NULL,
  rows BIGINT NOT NULL,
  approval_id TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  arguments_digest TEXT NOT NULL,
  arguments TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (org_id, seq)
);

CREATE INDEX calls_by_app ON calls (org_id, app_id, seq);

CREATE INDEX calls_by_server ON calls (org_id, server, seq);

CREATE INDEX calls_by_user ON calls (org_id, user_id, seq);

-- Calls that write, from before they are made until their row is written: a crash leaves them here.
CREATE TABLE begun_calls (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  node_id TEXT NOT NULL,
  document TEXT NOT NULL
);

CREATE INDEX begun_calls_by_node ON begun_calls (node_id);

-- Calls and sign-ins added up: by hour (epoch hours), and by user since the first call. The columns below count calls
-- that took no longer than 1, 2, 5, 10, 20, 50, 100, 200, 500 ms, 1, 2, 5, 10, 30 s, and longer.
CREATE TABLE call_counts (
  org_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  server TEXT NOT NULL,
  hour BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  sign_ins BIGINT NOT NULL,
  below_0 BIGINT NOT NULL,
  below_1 BIGINT NOT NULL,
  below_2 BIGINT NOT NULL,
  below_3 BIGINT NOT NULL,
  below_4 BIGINT NOT NULL,
  below_5 BIGINT NOT NULL,
  below_6 BIGINT NOT NULL,
  below_7 BIGINT NOT NULL,
  below_8 BIGINT NOT NULL,
  below_9 BIGINT NOT NULL,
  below_10 BIGINT NOT NULL,
  below_11 BIGINT NOT NULL,
  below_12 BIGINT NOT NULL,
  below_13 BIGINT NOT NULL,
  below_14 BIGINT NOT NULL,
  PRIMARY KEY (org_id, app_id, hour, server)
);

CREATE INDEX call_counts_by_hour ON call_counts (hour);

-- last_at is epoch seconds.
CREATE TABLE call_users (
  org_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  calls BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (org_id, app_id, user_id)
);

-- Nodes that record calls now: one that is gone without a word may have lost the last of them. seen_at is epoch seconds.
CREATE TABLE recorders (
  node_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  seen_at BIGINT NOT NULL
);

-- How long an org keeps what is written down (days), and whether calls that only read wait until it can be written.
CREATE TABLE recording_rules (
  org_id TEXT PRIMARY KEY REFERENCES orgs (id),
  calls_days BIGINT NOT NULL,
  audit_days BIGINT NOT NULL,
  reads_wait BIGINT NOT NULL
);

-- The audit becomes a chain; what was written before has numbers and no hashes.
DROP INDEX audit_events_by_time;

ALTER TABLE audit_events RENAME TO audit_events_unchained;

CREATE TABLE audit_events (
  org_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  tag TEXT NOT NULL,
  subject TEXT NOT NULL,
  details TEXT NOT NULL,
  kind TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (org_id, seq)
);

INSERT INTO audit_events (org_id, seq, at, actor, tag, subject, details, kind, hash)
SELECT org_id, ROW_NUMBER() OVER (PARTITION BY org_id ORDER BY at), at, actor, tag, subject, details,
  CASE WHEN tag LIKE 'app:%' THEN 'app' WHEN tag LIKE 'user:%' THEN 'user' WHEN tag LIKE 'org:%' THEN 'org'
    WHEN tag LIKE 'sign_in:%' THEN 'sign_in' WHEN tag LIKE 'connection:%' THEN 'connection'
    WHEN tag LIKE 'upstream:%' THEN 'upstream' ELSE 'setup' END, ''
FROM audit_events_unchained;

INSERT INTO chains (org_id, name, first_seq, first_hash, seq, hash, sealed_seq, seal)
SELECT org_id, 'audit', MAX(seq), '', MAX(seq), '', 0, '' FROM audit_events GROUP BY org_id;

DROP TABLE audit_events_unchained;

CREATE INDEX audit_events_by_time ON audit_events (org_id, at);

CREATE INDEX audit_events_by_actor ON audit_events (org_id, actor, seq);

CREATE INDEX audit_events_by_kind ON audit_events (org_id, kind, seq);

CREATE INDEX audit_events_by_subject ON audit_events (org_id, subject, seq);
