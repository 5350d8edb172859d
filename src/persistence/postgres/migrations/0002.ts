export const sql = `
  -- What a node does for all: which did it last, and when.
  CREATE TABLE duties (
    name text PRIMARY KEY,
    node_id bigint NOT NULL,
    done_at bigint NOT NULL
  ) WITH (fillfactor = 50);
  `
