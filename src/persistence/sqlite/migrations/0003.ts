/** A claim's two events in one write of the row. AFTER, because SQLite seeks and reads the whole row again once a BEFORE trigger ran. */
export const sql = `
  DROP TRIGGER jobs_take_edges;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'dead' AND (NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running'))))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  END;
  `
