CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  address TEXT NOT NULL,
  since BIGINT NOT NULL,
  seen BIGINT NOT NULL
);

CREATE TABLE host_owners (
  host TEXT PRIMARY KEY,
  namespace TEXT NOT NULL,
  declared BIGINT NOT NULL,
  since BIGINT NOT NULL
);

ALTER TABLE audit_head ADD COLUMN seal TEXT NOT NULL DEFAULT '';
