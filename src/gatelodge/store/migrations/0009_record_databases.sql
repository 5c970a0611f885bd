-- Where a records server reads, beside what mcp_servers.source shows of it: the password of the connection, sealed, and
-- the labels and API names that an administrator gave to tables and columns (JSON).
CREATE TABLE record_databases (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  server_id TEXT NOT NULL REFERENCES mcp_servers (id) ON DELETE CASCADE,
  sealed_password BLOB,
  mapping TEXT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id)
);
