-- What the list of apps is sorted, filtered and searched by. It is written with the app, in the same transaction;
-- indexed says by which rules, so that apps from before are indexed anew.
ALTER TABLE apps ADD COLUMN state TEXT NOT NULL DEFAULT '';

ALTER TABLE apps ADD COLUMN distribution TEXT NOT NULL DEFAULT '';

ALTER TABLE apps ADD COLUMN indexed BIGINT NOT NULL DEFAULT 0;

-- Which link leads to the app's page for its users, counted; not above 0 while there is none.
ALTER TABLE apps ADD COLUMN page_link BIGINT NOT NULL DEFAULT 0;

CREATE INDEX apps_by_label ON apps (org_id, label_key, id, state, preset, distribution, created_by);

CREATE INDEX apps_by_creation ON apps (org_id, created_at, id, state, preset, distribution, created_by);

CREATE INDEX apps_by_state ON apps (org_id, state, label_key, id);

CREATE INDEX apps_by_indexing ON apps (indexed);

CREATE TABLE app_words (
  org_id TEXT NOT NULL REFERENCES orgs (id),
  word TEXT NOT NULL,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  PRIMARY KEY (org_id, word, app_id)
);

CREATE INDEX app_words_by_app ON app_words (org_id, app_id);

-- Apps that were deleted, whole, until their 30 days are over. Nothing else of them is left in the other tables.
CREATE TABLE deleted_apps (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs (id),
  api_name_key TEXT NOT NULL,
  document TEXT NOT NULL,
  deleted_by TEXT NOT NULL,
  deleted_at BIGINT NOT NULL
);

CREATE INDEX deleted_apps_by_org ON deleted_apps (org_id, deleted_at, id);

CREATE INDEX deleted_apps_by_time ON deleted_apps (deleted_at);

CREATE INDEX authorizations_by_app ON authorizations (org_id, app_id) WHERE ended_at IS NULL;

CREATE INDEX connections_by_app ON connections (org_id, app_id, used_at);
