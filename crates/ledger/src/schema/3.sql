CREATE TABLE plans (
  generation BIGINT PRIMARY KEY,
  id TEXT NOT NULL,
  parent TEXT,
  fleet TEXT NOT NULL,
  commit_id TEXT NOT NULL,
  state TEXT NOT NULL,
  why TEXT NOT NULL DEFAULT '',
  writes BIGINT NOT NULL,
  refused BIGINT NOT NULL DEFAULT 0,
  unchanged BIGINT NOT NULL,
  actions TEXT NOT NULL,
  skipped TEXT NOT NULL,
  notes TEXT NOT NULL,
  repeats BIGINT NOT NULL DEFAULT 0,
  since BIGINT NOT NULL,
  recorded_at BIGINT NOT NULL,
  ended_at BIGINT
);

CREATE TABLE plan_head (
  id BIGINT PRIMARY KEY,
  generation BIGINT NOT NULL,
  plan TEXT NOT NULL
);
INSERT INTO plan_head (id, generation, plan) VALUES (1, 0, '');
