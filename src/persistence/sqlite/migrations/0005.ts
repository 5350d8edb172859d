/**
 * How often the process died while the job ran. What a claim must not meet stands in one index, whatever the reason: with one more, each
 * change of a state would be held against it.
 */
export const sql = `
  ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0);

  DROP INDEX jobs_parked;
  CREATE INDEX jobs_parked ON jobs (parked, type, id) WHERE (state = 'queued') AND parked > 0;
  `
