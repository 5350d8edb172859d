export const sql = `
  -- A dead job is removed by the retention that its owner has set for it, which says so until the end of its transaction, and by nothing else.
  DROP TRIGGER jobs_stay ON jobs;
  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs FOR EACH ROW
  WHEN (NOT ((OLD.state = 'succeeded' OR OLD.state = 'cancelled')
    OR ((OLD.state = 'succeeded' OR OLD.state = 'dead' OR OLD.state = 'cancelled') AND coalesce(current_setting('jobmachine.removable', true), '') = 'ended')))
  EXECUTE FUNCTION refuse('only succeeded and cancelled jobs may be removed, and dead ones by their retention');
  `
