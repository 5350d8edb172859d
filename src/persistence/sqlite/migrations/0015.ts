/** A dead job is removed by the retention that its owner has set for it, which says so in `meta` until the end of the statement, and by nothing else. */
export const sql = `
  DROP TRIGGER jobs_stay;
  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
  WHEN NOT ((OLD.state = 'succeeded' OR OLD.state = 'cancelled')
    OR ((OLD.state = 'succeeded' OR OLD.state = 'dead' OR OLD.state = 'cancelled') AND EXISTS (SELECT 1 FROM meta WHERE name = 'removable')))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only succeeded and cancelled jobs may be removed, and dead ones by their retention');
  END;
  `
