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

-- Calls of each app by day (days of UTC since the epoch): what the list draws, without adding up hours and servers.
CREATE TABLE call_days (
  org_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  day BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  PRIMARY KEY (org_id, app_id, day)
);

CREATE INDEX call_days_by_day ON call_days (day);

INSERT INTO call_days (org_id, app_id, day, calls)
SELECT org_id, app_id, hour / 24, CAST(SUM(calls) AS BIGINT) FROM call_counts GROUP BY org_id, app_id, hour / 24;
