export const sql = `
  -- For how long nodes have been able to write a heartbeat, in ms, when this one did last: an outage of the server and a set clock do not count.
  ALTER TABLE nodes ADD COLUMN uptime_ms bigint NOT NULL DEFAULT 0;
  -- The node that declared this one dead, because it was silent; null if it ended by itself.
  ALTER TABLE nodes ADD COLUMN declared_by bigint;
  `
