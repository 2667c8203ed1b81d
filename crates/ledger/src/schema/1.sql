CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  last BIGINT NOT NULL
);

CREATE TABLE runs (
  job TEXT NOT NULL,
  number BIGINT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  cause TEXT NOT NULL,
  parameters TEXT NOT NULL,
  commits TEXT NOT NULL,
  namespace TEXT,
  attempt BIGINT NOT NULL,
  queued_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT,
  log TEXT NOT NULL,
  PRIMARY KEY (job, number)
);
CREATE INDEX runs_by_time ON runs (queued_at);
CREATE INDEX runs_by_status ON runs (status);

CREATE TABLE run_rollouts (
  job TEXT NOT NULL,
  number BIGINT NOT NULL,
  namespace TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  generation BIGINT NOT NULL,
  health TEXT NOT NULL,
  detail TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (job, number, namespace, kind, name, generation)
);
CREATE INDEX run_rollouts_by_object ON run_rollouts (namespace, kind, name);

CREATE TABLE promotions (
  id BIGINT PRIMARY KEY,
  application TEXT NOT NULL,
  source TEXT,
  target TEXT NOT NULL,
  version TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  author TEXT NOT NULL,
  detail TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX promotions_by_application ON promotions (application, id);

CREATE TABLE leases (
  environment TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  since BIGINT NOT NULL,
  until BIGINT NOT NULL
);

CREATE TABLE deployments (
  id BIGINT PRIMARY KEY,
  application TEXT NOT NULL,
  namespace TEXT NOT NULL,
  version TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  job TEXT,
  number BIGINT,
  health TEXT NOT NULL,
  detail TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX deployments_by_place ON deployments (application, namespace, id);

CREATE TABLE findings (
  position BIGINT PRIMARY KEY,
  severity TEXT NOT NULL,
  code TEXT NOT NULL,
  repository TEXT NOT NULL,
  path TEXT NOT NULL,
  line BIGINT NOT NULL,
  col BIGINT NOT NULL,
  message TEXT NOT NULL,
  hint TEXT
);

CREATE TABLE heads (
  job TEXT NOT NULL,
  remote TEXT NOT NULL,
  branch TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (job, remote, branch)
);

CREATE TABLE decisions (
  id BIGINT PRIMARY KEY,
  job TEXT NOT NULL,
  at BIGINT NOT NULL,
  about TEXT NOT NULL,
  ran BIGINT NOT NULL,
  why TEXT NOT NULL
);
CREATE INDEX decisions_by_job ON decisions (job, id);

CREATE TABLE facts (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE audit (
  seq BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous TEXT NOT NULL,
  hash TEXT NOT NULL
);

CREATE TABLE audit_head (
  id BIGINT PRIMARY KEY,
  seq BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');
