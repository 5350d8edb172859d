export const sql = `
  -- Unique keys. place 1: it holds the key; null: it did. until 'time': it holds it up to frees_at.
  CREATE TABLE unique_jobs (
    job_id bigint PRIMARY KEY,
    frees_at bigint,
    place integer,
    type text COLLATE "C" NOT NULL,
    unique_key text COLLATE "C" NOT NULL,
    until text COLLATE "C" NOT NULL,
    CONSTRAINT unique_jobs_until CHECK (until = 'started' OR until = 'ended' OR until = 'time'),
    CONSTRAINT unique_jobs_frees_at CHECK ((frees_at IS NOT NULL) = (until = 'time')),
    CONSTRAINT unique_jobs_places CHECK (place = 1 OR place = 2)
  );
  CREATE UNIQUE INDEX unique_jobs_place ON unique_jobs (type, unique_key, place) WHERE place IS NOT NULL;
  `
