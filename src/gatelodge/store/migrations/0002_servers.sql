-- What an administrator decides about an MCP server: who may use it and how it is recorded (decided), and how it is
-- reached (terms); both JSON. The revision keeps two administrators from overwriting each other.
ALTER TABLE mcp_servers ADD COLUMN variant TEXT NOT NULL DEFAULT '';

ALTER TABLE mcp_servers ADD COLUMN decided TEXT NOT NULL DEFAULT '{}';

ALTER TABLE mcp_servers ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';

ALTER TABLE mcp_servers ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

UPDATE mcp_servers SET variant = 'sobject-reads' WHERE kind = 'records';

-- Tools, resources, templates and prompts of MCP servers: the definition that was looked at and its digest (the pin),
-- and a changed one that nobody has looked at yet (held). Of a hosted server only what was decided otherwise.
CREATE TABLE server_items (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  server_id TEXT NOT NULL REFERENCES mcp_servers (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  place BIGINT NOT NULL,
  definition TEXT NOT NULL,
  digest TEXT NOT NULL,
  held TEXT NOT NULL,
  held_digest TEXT NOT NULL,
  is_on BIGINT NOT NULL,
  is_new BIGINT NOT NULL,
  is_gone BIGINT NOT NULL,
  mark TEXT NOT NULL,
  scopes TEXT NOT NULL,
  asks_first BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, kind, name)
);

-- What the last look at an upstream found; next_at (epoch seconds) decides which node looks next.
CREATE TABLE server_health (
  server_id TEXT PRIMARY KEY REFERENCES mcp_servers (id) ON DELETE CASCADE,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  next_at BIGINT NOT NULL,
  checked_at BIGINT NOT NULL,
  milliseconds BIGINT NOT NULL,
  why TEXT NOT NULL,
  speaks TEXT NOT NULL
);

INSERT INTO server_health (server_id, org_id, next_at, checked_at, milliseconds, why, speaks)
  SELECT id, org_id, 0, 0, 0, '', '' FROM mcp_servers;
