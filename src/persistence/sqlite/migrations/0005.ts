/**
 * How often the process died while the job ran. Whatever a claim must skip is in one index, for any reason: with a second index, each
 * change of a state would be checked against it.
 */
export const sql = `
  ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0);

  DROP INDEX jobs_parked;
  CREATE INDEX jobs_parked ON jobs (parked, type, id) WHERE (state = 'queued') AND parked > 0;
  `
