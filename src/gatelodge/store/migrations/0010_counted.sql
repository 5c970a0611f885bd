-- What the list of apps can be sorted by besides names and dates, as it was counted last: users, calls of 12 days, and
-- the last use (epoch seconds, 0 for never).
ALTER TABLE apps ADD COLUMN counted_users BIGINT NOT NULL DEFAULT 0;

ALTER TABLE apps ADD COLUMN counted_calls BIGINT NOT NULL DEFAULT 0;

ALTER TABLE apps ADD COLUMN counted_use BIGINT NOT NULL DEFAULT 0;

CREATE INDEX apps_by_users ON apps (org_id, counted_users, id, state, preset, distribution, created_by);

CREATE INDEX apps_by_calls ON apps (org_id, counted_calls, id, state, preset, distribution, created_by);

CREATE INDEX apps_by_use ON apps (org_id, counted_use, id, state, preset, distribution, created_by);

-- When the next count is due: one node takes it for all of them. One row.
CREATE TABLE app_countings (
  id BIGINT PRIMARY KEY,
  next_at BIGINT NOT NULL
);

INSERT INTO app_countings (id, next_at) VALUES (1, 0);
