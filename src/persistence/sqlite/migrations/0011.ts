/** Unique keys, in a table of their own: jobs without one cost nothing. */
export const sql = `
  -- place 1: it holds the key; null: it did. until 'time': it holds it up to frees_at.
  CREATE TABLE unique_jobs (
    job_id INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    until TEXT NOT NULL CHECK (until = 'started' OR until = 'ended' OR until = 'time'),
    frees_at INTEGER CHECK ((frees_at IS NOT NULL) = (until = 'time')),
    place INTEGER CHECK (place = 1 OR place = 2)
  );
  CREATE UNIQUE INDEX unique_jobs_place ON unique_jobs (type, unique_key, place) WHERE place IS NOT NULL;
  `
