/** Schedules, and what became of each of their ticks. */
export const sql = `
  CREATE TABLE schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK ((state = 'active' OR state = 'paused' OR state = 'broken' OR state = 'ended')),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    source TEXT NOT NULL CHECK (source = 'code' OR source = 'api'),
    spec TEXT NOT NULL,
    overlap TEXT NOT NULL CHECK (overlap = 'allow' OR overlap = 'skip'),
    since INTEGER NOT NULL,
    last_tick INTEGER NOT NULL,
    next_tick INTEGER CHECK (next_tick > last_tick),
    tz_version TEXT NOT NULL,
    problem TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (next_tick IS NULL OR (state = 'active')),
    CHECK ((problem IS NOT NULL) = (state = 'broken'))
  );
  CREATE UNIQUE INDEX schedules_name ON schedules (name) WHERE (state = 'active' OR state = 'paused' OR state = 'broken');
  CREATE INDEX schedules_names ON schedules (name, id);
  -- One that has no tick left is due at once: to end.
  CREATE INDEX schedules_due ON schedules (coalesce(next_tick, 0), id) WHERE (state = 'active');

  CREATE TABLE schedule_events (
    schedule_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    at INTEGER NOT NULL,
    tick INTEGER,
    job_id INTEGER,
    details TEXT,
    PRIMARY KEY (schedule_id, seq),
    CHECK ((from_state IS NULL AND seq = 1 AND event = 'create' AND to_state = 'active' OR from_state = 'active' AND event = 'tick' AND to_state = 'active' OR from_state = 'active' AND event = 'skip' AND to_state = 'active' OR from_state = 'active' AND event = 'catch_up' AND to_state = 'active' OR from_state = 'active' AND event = 'trigger' AND to_state = 'active' OR from_state = 'active' AND event = 'edit' AND to_state = 'active' OR from_state = 'active' AND event = 'pause' AND to_state = 'paused' OR from_state = 'active' AND event = 'break' AND to_state = 'broken' OR from_state = 'active' AND event = 'end' AND to_state = 'ended' OR from_state = 'paused' AND event = 'trigger' AND to_state = 'paused' OR from_state = 'paused' AND event = 'edit' AND to_state = 'paused' OR from_state = 'paused' AND event = 'end' AND to_state = 'ended' OR from_state = 'paused' AND event = 'resume' AND to_state = 'active' OR from_state = 'broken' AND event = 'trigger' AND to_state = 'broken' OR from_state = 'broken' AND event = 'edit' AND to_state = 'active' OR from_state = 'broken' AND event = 'end' AND to_state = 'ended' OR from_state = 'broken' AND event = 'resume' AND to_state = 'active') IS TRUE),
    CHECK (CASE
      WHEN event = 'tick' OR event = 'catch_up' THEN tick IS NOT NULL AND job_id IS NOT NULL
      WHEN event = 'skip' THEN tick IS NOT NULL AND job_id IS NULL
      WHEN event = 'trigger' THEN tick IS NULL AND job_id IS NOT NULL
      ELSE tick IS NULL AND job_id IS NULL END)
  ) WITHOUT ROWID;
  -- No tick makes a job twice, or makes one after it was skipped.
  CREATE UNIQUE INDEX schedule_events_ticks ON schedule_events (schedule_id, tick) WHERE tick IS NOT NULL;
  CREATE INDEX schedule_events_jobs ON schedule_events (schedule_id, job_id) WHERE job_id IS NOT NULL;

  CREATE TRIGGER schedules_begin AFTER INSERT ON schedules
  WHEN NEW.seq <> 1 OR NOT EXISTS (SELECT 1 FROM schedule_events WHERE schedule_id = NEW.id AND seq = 1 AND to_state = NEW.state)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a schedule is stored with its history');
  END;

  CREATE TRIGGER schedules_take_edges AFTER UPDATE ON schedules
  WHEN NOT (NEW.id = OLD.id AND NEW.name = OLD.name AND NEW.created_at = OLD.created_at AND NEW.last_tick >= OLD.last_tick AND (
    (NEW.seq = OLD.seq AND NEW.state = OLD.state AND NEW.last_tick = OLD.last_tick AND NEW.spec = OLD.spec)
    OR (NEW.seq = OLD.seq + 1 AND EXISTS (SELECT 1 FROM schedule_events
      WHERE schedule_id = NEW.id AND seq = NEW.seq AND from_state = OLD.state AND to_state = NEW.state AND (tick IS NULL OR tick = NEW.last_tick)))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the machine of schedules; each change is an event of the history, and the last tick never goes back');
  END;

  CREATE TRIGGER schedules_stay BEFORE DELETE ON schedules
  WHEN (OLD.state = 'active' OR OLD.state = 'paused' OR OLD.state = 'broken')
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only schedules that have ended may be removed');
  END;

  CREATE TRIGGER schedule_events_have_jobs AFTER INSERT ON schedule_events
  WHEN NEW.job_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = NEW.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a tick is stored with its job');
  END;

  CREATE TRIGGER schedule_events_are_final BEFORE UPDATE ON schedule_events
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER schedule_events_stay BEFORE DELETE ON schedule_events
  WHEN EXISTS (SELECT 1 FROM schedules WHERE id = OLD.schedule_id AND seq = OLD.seq)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the newest event of a schedule goes only after its schedule');
  END;
  `
