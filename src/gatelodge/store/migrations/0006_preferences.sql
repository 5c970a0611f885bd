-- What a person chooses for themselves ("" for each: as the browser says), and what was told of a refusal, for a day.

ALTER TABLE users ADD COLUMN theme TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN has_shortcuts BIGINT NOT NULL DEFAULT 1;

CREATE TABLE told_refusals (
  trace_id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
  code TEXT NOT NULL,
  at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  told TEXT NOT NULL
);
CREATE INDEX told_refusals_by_end ON told_refusals (expires_at);
