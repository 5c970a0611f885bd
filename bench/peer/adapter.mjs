// Where oidc-provider keeps its models: one SQLite table, in WAL with synchronous=FULL like the other side, with
// prepared statements and the indexes that its lookups need. It is written to be fast: a slow peer proves nothing.

import { DatabaseSync } from "node:sqlite";

export function adapterFor(path) {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;");
  database.exec(`
    CREATE TABLE IF NOT EXISTS models (
      model TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL, uid TEXT, grant_id TEXT, user_code TEXT,
      consumed_at INTEGER, expires_at INTEGER, PRIMARY KEY (model, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS models_by_uid ON models (uid) WHERE uid IS NOT NULL;
    CREATE INDEX IF NOT EXISTS models_by_grant ON models (grant_id) WHERE grant_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS models_by_user_code ON models (user_code) WHERE user_code IS NOT NULL;
  `);
  const columns = "payload, consumed_at, expires_at";
  const statements = {
    upsert: database.prepare(`
      INSERT INTO models (model, id, payload, uid, grant_id, user_code, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (model, id) DO UPDATE SET payload = excluded.payload, uid = excluded.uid,
        grant_id = excluded.grant_id, user_code = excluded.user_code, expires_at = excluded.expires_at`),
    find: database.prepare(`SELECT ${columns} FROM models WHERE model = ? AND id = ?`),
    findByUid: database.prepare(`SELECT ${columns} FROM models WHERE uid = ? AND model = ?`),
    findByUserCode: database.prepare(`SELECT ${columns} FROM models WHERE user_code = ? AND model = ?`),
    consume: database.prepare("UPDATE models SET consumed_at = ? WHERE model = ? AND id = ?"),
    destroy: database.prepare("DELETE FROM models WHERE model = ? AND id = ?"),
    revoke: database.prepare("DELETE FROM models WHERE grant_id = ?"),
  };
  const now = () => Math.floor(Date.now() / 1000);
  const read = (row) => {
    if (!row || (row.expires_at && row.expires_at <= now())) return undefined;
    const payload = JSON.parse(row.payload);
    return row.consumed_at ? { ...payload, consumed: row.consumed_at } : payload;
  };

  return class Adapter {
    constructor(model) {
      this.model = model;
    }

    async upsert(id, payload, expiresIn) {
      statements.upsert.run(
        this.model, id, JSON.stringify(payload), payload.uid ?? null, payload.grantId ?? null,
        payload.userCode ?? null, expiresIn ? now() + expiresIn : null,
      );
    }

    async find(id) {
      return read(statements.find.get(this.model, id));
    }

    async findByUid(uid) {
      return read(statements.findByUid.get(uid, this.model));
    }

    async findByUserCode(userCode) {
      return read(statements.findByUserCode.get(userCode, this.model));
    }

    async consume(id) {
      statements.consume.run(now(), this.model, id);
    }

    async destroy(id) {
      statements.destroy.run(this.model, id);
    }

    async revokeByGrantId(grantId) {
      statements.revoke.run(grantId);
    }
  };
}
