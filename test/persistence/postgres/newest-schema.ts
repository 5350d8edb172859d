import { claim, edges, edgesOn, jobStates } from '../../../src/machines/edges.ts'
import { claimOrder, orderBy } from '../../../src/persistence/sql/claim-order.ts'
import { isHeld, isParked, isReady, isTimed } from '../../../src/persistence/sql/conditions.ts'
import { stateHasTag } from '../../../src/persistence/sql/transitions.ts'
import { earlierMax } from '../../../src/persistence/versions.ts'
import { bare, endsOf, ofSuccess, stateIsOneOf, updateIs } from '../law.ts'
import { schedulesSchema } from './schedules-schema.ts'

const refuse = (reason: string) => `EXECUTE FUNCTION refuse('${reason}')`

/** The newest schema, with all that the machine and the conditions of the store's statements decide of it. The migrations must lead to the same. */
export const newestSchema = `
  -- One row a name: the version of the schema, the id of the database, what is added to transaction ids.
  CREATE TABLE meta (
    name text PRIMARY KEY,
    value text NOT NULL
  );

  -- The first of a thousand ids of jobs, which whoever asks gives out itself.
  CREATE SEQUENCE job_ids AS bigint INCREMENT BY 1000;

  CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    run_at bigint NOT NULL,
    created_at bigint NOT NULL,
    started_at bigint,
    finished_at bigint,
    node_id bigint,
    lease_expires_at bigint,
    lease_token integer,
    seq integer NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    crashes integer NOT NULL DEFAULT 0,
    priority integer NOT NULL,
    parked integer NOT NULL DEFAULT 0,
    timeout_ms integer,
    state text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    content text COLLATE "C",
    error text,
    CONSTRAINT jobs_state CHECK ((state = 'scheduled' OR state = 'queued' OR state = 'leased' OR state = 'running' OR state = 'retrying' OR state = 'succeeded' OR state = 'dead' OR state = 'cancelled')),
    CONSTRAINT jobs_seq CHECK (seq >= 1),
    CONSTRAINT jobs_attempt CHECK (attempt >= 0 AND attempt <= max_attempts),
    CONSTRAINT jobs_max_attempts CHECK (max_attempts >= 1),
    CONSTRAINT jobs_crashes CHECK (crashes >= 0),
    CONSTRAINT jobs_first CHECK (seq > 1 OR (state = 'scheduled' OR state = 'queued')),
    CONSTRAINT jobs_leased CHECK ((lease_token IS NOT NULL) = ${bare(stateHasTag('held'))}),
    CONSTRAINT jobs_node CHECK ((lease_token IS NULL) = (node_id IS NULL)),
    CONSTRAINT jobs_expires CHECK (lease_expires_at IS NULL OR lease_token IS NOT NULL),
    CONSTRAINT jobs_finished CHECK ((finished_at IS NOT NULL) = ${bare(stateHasTag('ended'))}),
    CONSTRAINT jobs_content CHECK ((idempotency_key IS NULL) = (content IS NULL))
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
  CREATE INDEX jobs_ready ON jobs (queue, ${orderBy(claimOrder)}) WHERE ${bare(isReady)};
  CREATE INDEX jobs_parked ON jobs (parked, type, id) WHERE ${bare(isParked)};
  CREATE INDEX jobs_timed ON jobs (run_at, id) WHERE ${bare(isTimed)};
  CREATE INDEX jobs_held ON jobs (node_id, id) WHERE ${bare(isHeld)};
  CREATE UNIQUE INDEX jobs_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

  CREATE TABLE job_payloads (
    job_id bigint PRIMARY KEY,
    payload text NOT NULL
  );

  -- The trace that a job comes from, and the attempt before; most jobs have none.
  CREATE TABLE job_traces (
    job_id bigint PRIMARY KEY,
    traceparent text,
    tracestate text,
    last_attempt text,
    CONSTRAINT job_traces_lengths CHECK (length(traceparent) = 55 AND length(tracestate) <= 512 AND length(last_attempt) = 55)
  );

  -- How often an idempotency key was answered with the job that has it.
  CREATE TABLE key_replays (
    job_id bigint PRIMARY KEY,
    n integer NOT NULL,
    last_at bigint NOT NULL
  );

  -- An id is that of its transaction times 4,096 and a number within it.
  CREATE TABLE job_events (
    id bigint PRIMARY KEY,
    job_id bigint NOT NULL,
    at bigint NOT NULL,
    seq integer NOT NULL,
    attempt integer NOT NULL,
    event text COLLATE "C" NOT NULL,
    from_state text COLLATE "C",
    to_state text COLLATE "C" NOT NULL,
    error text,
    cause text,
    CONSTRAINT job_events_seq UNIQUE (job_id, seq)
  );

  -- A process that has the store open. is_waiting: it has free workers and found no job. ended_at: it has closed it, or was silent for longer than lease_ms after seen_at.
  CREATE TABLE nodes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pid integer NOT NULL,
    host text NOT NULL,
    started_at text NOT NULL,
    serves boolean NOT NULL,
    types text[] NOT NULL,
    lease_ms bigint NOT NULL,
    seen_at bigint NOT NULL,
    is_waiting boolean NOT NULL DEFAULT false,
    is_stopping boolean NOT NULL DEFAULT false,
    ended_at bigint,
    ran_together integer
  ) WITH (fillfactor = 50);

  -- A connection that writes: the number of its last call that was committed, and where that call's events begin.
  CREATE TABLE writers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id bigint NOT NULL,
    last_call bigint NOT NULL DEFAULT 0,
    first_event_id bigint
  ) WITH (fillfactor = 50);

  -- How often a writer took each edge, 0 for all that are gone; from_state 'new': enqueued, to_state '': removed by retention.
  CREATE TABLE edge_counts (
    writer_id bigint NOT NULL,
    n bigint NOT NULL,
    from_state text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    to_state text COLLATE "C" NOT NULL,
    PRIMARY KEY (writer_id, from_state, event, to_state)
  ) WITH (fillfactor = 50);

  -- The instant of a statement, in epoch ms: of the server's clock, or as a test has given it.
  CREATE FUNCTION instant(given bigint) RETURNS bigint LANGUAGE sql VOLATILE
  AS 'SELECT coalesce(given, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)';

  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
  END
  $$;

  CREATE FUNCTION refuse_while_job_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN OLD;
  END
  $$;

  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, state, seq ON jobs FOR EACH ROW
  WHEN (NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'dead' AND (NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running')))))))
  EXECUTE FUNCTION refuse('no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');

  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs FOR EACH ROW
  WHEN (NOT ${stateHasTag('expendable', 'OLD.state')})
  ${refuse('only succeeded and cancelled jobs may be removed')};
  CREATE TRIGGER jobs_are_not_emptied BEFORE TRUNCATE ON jobs FOR EACH STATEMENT
  ${refuse('only succeeded and cancelled jobs may be removed')};

  CREATE TRIGGER job_events_are_final BEFORE UPDATE ON job_events FOR EACH ROW
  ${refuse('history is not rewritten')};
  CREATE TRIGGER job_events_stay BEFORE DELETE ON job_events FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('the history of a job goes only after its job');
  CREATE TRIGGER job_events_are_not_emptied BEFORE TRUNCATE ON job_events FOR EACH STATEMENT
  ${refuse('the history of a job goes only after its job')};

  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads FOR EACH ROW
  EXECUTE FUNCTION refuse('a payload is not rewritten');
  CREATE TRIGGER job_payloads_stay BEFORE DELETE ON job_payloads FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('a payload goes only after its job');
  CREATE TRIGGER job_payloads_are_not_emptied BEFORE TRUNCATE ON job_payloads FOR EACH STATEMENT
  ${refuse('a payload goes only after its job')};

  CREATE TRIGGER job_traces_are_final BEFORE UPDATE OF job_id, traceparent, tracestate ON job_traces FOR EACH ROW
  ${refuse('where a job came from is not rewritten')};
  CREATE TRIGGER job_traces_stay BEFORE DELETE ON job_traces FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('the trace of a job goes only after its job');
  

  -- What a node does for all: which did it last, and when.
  CREATE TABLE duties (
    name text PRIMARY KEY,
    node_id bigint NOT NULL,
    done_at bigint NOT NULL
  ) WITH (fillfactor = 50);
  

  CREATE FUNCTION refuse_while_copying() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF EXISTS (SELECT 1 FROM meta WHERE name = 'copy') THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  -- Until all jobs of a file are here, no process runs them.
  CREATE TRIGGER nodes_wait_for_copy BEFORE INSERT ON nodes FOR EACH ROW
  EXECUTE FUNCTION refuse_while_copying('the jobs of a file are being copied into this schema');
  

  -- An attempt whose handler has completed it in a transaction of its own, until the end of that. taken_by: the function that then moves the job.
  CREATE TABLE completions (
    job_id bigint NOT NULL,
    lease_token integer NOT NULL,
    given bigint,
    cause text,
    taken_by text NOT NULL
  );
  CREATE INDEX completions_by_job ON completions (job_id);

  CREATE FUNCTION take_completion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  BEGIN
    EXECUTE format('SELECT %I($1, $2, $3, $4)', NEW.taken_by) USING NEW.job_id, NEW.lease_token, NEW.given, NEW.cause;
    RETURN NULL;
  END
  $$;

  -- When the transaction commits: until then the job is locked for nobody.
  CREATE CONSTRAINT TRIGGER completions_are_taken AFTER INSERT ON completions DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION take_completion();
  

  -- What handlers report while they run; most jobs report nothing. bytes: of the line and of all before it.
  CREATE TABLE job_progress (
    job_id bigint PRIMARY KEY,
    at bigint NOT NULL,
    attempt integer NOT NULL,
    value text NOT NULL
  );
  CREATE INDEX job_progress_at ON job_progress (at);

  CREATE TABLE job_logs (
    job_id bigint NOT NULL,
    at bigint NOT NULL,
    bytes bigint NOT NULL,
    n integer NOT NULL,
    attempt integer NOT NULL,
    level text COLLATE "C" NOT NULL,
    message text NOT NULL,
    fields text,
    CONSTRAINT job_logs_n PRIMARY KEY (job_id, n)
  );
  

  -- For how long nodes have been able to write a heartbeat, in ms, when this one did last: an outage of the server and a set clock do not count.
  ALTER TABLE nodes ADD COLUMN uptime_ms bigint NOT NULL DEFAULT 0;
  -- The node that declared this one dead, because it was silent; null if it ended by itself.
  ALTER TABLE nodes ADD COLUMN declared_by bigint;
  

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
  

  -- What a job was until its transition seq changed it; null: that did not change.
  CREATE TABLE job_versions (
    job_id bigint NOT NULL,
    seq integer NOT NULL,
    priority integer,
    max_attempts integer,
    payload text,
    CONSTRAINT job_versions_seq PRIMARY KEY (job_id, seq),
    CONSTRAINT job_versions_content CHECK (priority IS NOT NULL OR max_attempts IS NOT NULL OR payload IS NOT NULL)
  );

  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse('history is not rewritten');
  CREATE TRIGGER job_versions_stay BEFORE DELETE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('an earlier payload goes only after its job');
  CREATE TRIGGER job_versions_are_not_emptied BEFORE TRUNCATE ON job_versions FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('an earlier payload goes only after its job');

  CREATE FUNCTION refuse_unless_kept() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF NEW.job_id <> OLD.job_id OR NOT EXISTS (
      SELECT 1 FROM job_versions WHERE job_versions.job_id = OLD.job_id AND job_versions.payload = OLD.payload
    ) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  DROP TRIGGER job_payloads_are_final ON job_payloads;
  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads FOR EACH ROW
  EXECUTE FUNCTION refuse_unless_kept('a payload is not rewritten before it is kept in job_versions');

  DROP TRIGGER jobs_take_edges ON jobs;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, state, seq ON jobs FOR EACH ROW
  WHEN (NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'scheduled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'retrying')) OR (OLD.state = 'dead' AND (NEW.state = 'cancelled' OR NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running')))))))
  EXECUTE FUNCTION refuse('no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  

  -- What a handler returned; most jobs have no result.
  CREATE TABLE job_results (
    job_id bigint PRIMARY KEY,
    result text NOT NULL
  );

  CREATE FUNCTION refuse_without_success() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = NEW.job_id AND ${stateIsOneOf(ofSuccess, 'jobs.state')}) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  CREATE TRIGGER job_results_are_of_success BEFORE INSERT ON job_results FOR EACH ROW
  EXECUTE FUNCTION refuse_without_success('only a job that has succeeded has a result');
  CREATE TRIGGER job_results_are_final BEFORE UPDATE ON job_results FOR EACH ROW
  ${refuse('a result is not rewritten')};
  CREATE TRIGGER job_results_stay BEFORE DELETE ON job_results FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('a result goes only after its job');
  CREATE TRIGGER job_results_are_not_emptied BEFORE TRUNCATE ON job_results FOR EACH STATEMENT
  ${refuse('a result goes only after its job')};

  -- The result of an attempt that completes with a transaction.
  ALTER TABLE completions ADD COLUMN result text;
  

  -- The state blocked: a job that waits for another.
  ALTER TABLE jobs DROP CONSTRAINT jobs_state, ADD CONSTRAINT jobs_state CHECK (${stateIsOneOf(jobStates)}) NOT VALID;
  ALTER TABLE jobs DROP CONSTRAINT jobs_first, ADD CONSTRAINT jobs_first CHECK (seq > 1 OR ${stateIsOneOf([...new Set(edgesOn('enqueue').map(({ to }) => to))])}) NOT VALID;
  ALTER TABLE jobs VALIDATE CONSTRAINT jobs_state;
  ALTER TABLE jobs VALIDATE CONSTRAINT jobs_first;
  DROP TRIGGER jobs_take_edges ON jobs;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, state, seq ON jobs FOR EACH ROW
  WHEN (NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND (${updateIs(edges.filter(({ from }) => from !== 'new'))}))
    OR (NEW.seq = OLD.seq + ${claim.length} AND (${updateIs(endsOf(claim))})))))
  ${refuse('no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each')};

  -- place 2: it waits for the holder. checked_by: the function that looks whether there still is one when the transaction that stores it commits.
  ALTER TABLE unique_jobs ADD COLUMN checked_by text;

  CREATE FUNCTION check_blocked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  BEGIN
    EXECUTE format('SELECT %I($1)', NEW.checked_by) USING NEW.job_id;
    RETURN NULL;
  END
  $$;

  CREATE CONSTRAINT TRIGGER unique_jobs_are_checked AFTER INSERT ON unique_jobs DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.checked_by IS NOT NULL) EXECUTE FUNCTION check_blocked();
  

  -- A dead job is removed by the retention that its owner has set for it, which says so until the end of its transaction, and by nothing else.
  DROP TRIGGER jobs_stay ON jobs;
  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs FOR EACH ROW
  WHEN (NOT (${stateHasTag('expendable', 'OLD.state')}
    OR (${stateHasTag('ended', 'OLD.state')} AND coalesce(current_setting('jobmachine.removable', true), '') = 'ended')))
  ${refuse('only succeeded and cancelled jobs may be removed, and dead ones by their retention')};
  
${schedulesSchema.trimEnd()}
  

  -- Of a job that is changed often, most earlier payloads go: '' stands for one. The first stays, and the newest within the bound.
  CREATE INDEX job_versions_kept ON job_versions (job_id, seq) WHERE payload <> '';

  CREATE FUNCTION refuse_unless_beyond() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF (NEW.job_id = OLD.job_id AND NEW.seq = OLD.seq
      AND NEW.priority IS NOT DISTINCT FROM OLD.priority AND NEW.max_attempts IS NOT DISTINCT FROM OLD.max_attempts
      AND NEW.payload = '' AND OLD.payload <> ''
      AND EXISTS (SELECT 1 FROM job_versions WHERE job_id = OLD.job_id AND seq < OLD.seq AND payload <> '')
      AND (SELECT count(*) > ${earlierMax.payloads} OR sum(octet_length(payload)) > ${earlierMax.bytes} OR bool_or(payload = '')
        FROM job_versions WHERE job_id = OLD.job_id AND seq >= OLD.seq AND payload IS NOT NULL)) IS NOT TRUE
    THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  DROP TRIGGER job_versions_are_final ON job_versions;
  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse_unless_beyond('history is not rewritten; only payloads beyond what is kept of a job may go');
  

  -- Jobs that made one transition together, as their events in one row: its n-th job has the id last_id - cardinality(job_ids) + n, and the n-th
  -- seq and attempt. Jobs that made one alone, or each with an error or cause of its own, have rows in single_events.
  CREATE TABLE event_runs (
    last_id bigint PRIMARY KEY,
    first_job_id bigint NOT NULL,
    last_job_id bigint NOT NULL,
    at bigint NOT NULL,
    event text COLLATE "C" NOT NULL,
    from_state text COLLATE "C",
    to_state text COLLATE "C" NOT NULL,
    cause text,
    job_ids bigint[] NOT NULL,
    seqs integer[] NOT NULL,
    attempts integer[] NOT NULL,
    CONSTRAINT event_runs_lengths CHECK (cardinality(seqs) = cardinality(job_ids) AND cardinality(attempts) = cardinality(job_ids)),
    -- So that those of one job are found among few.
    CONSTRAINT event_runs_span CHECK (last_job_id - first_job_id BETWEEN 0 AND 8191)
  );
  ALTER TABLE event_runs ALTER job_ids SET STORAGE EXTERNAL, ALTER seqs SET STORAGE EXTERNAL, ALTER attempts SET STORAGE EXTERNAL;
  CREATE INDEX event_runs_jobs ON event_runs (last_job_id);

  ALTER TABLE job_events RENAME TO single_events;

  -- One row a transition. A run goes with the last of its jobs, and shows those that are there.
  CREATE VIEW job_events AS
  SELECT id, job_id, at, seq, attempt, event, from_state, to_state, error, cause FROM single_events
  UNION ALL
  SELECT last_id - cardinality(job_ids) + n, item.job_id, at, item.seq, item.attempt, event, from_state, to_state, NULL, cause
  FROM event_runs CROSS JOIN unnest(job_ids, seqs, attempts) WITH ORDINALITY AS item (job_id, seq, attempt, n)
  WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.id = item.job_id);

  CREATE FUNCTION refuse_while_any_job_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF EXISTS (SELECT 1 FROM jobs WHERE id = ANY (OLD.job_ids)) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN OLD;
  END
  $$;

  CREATE TRIGGER event_runs_are_final BEFORE UPDATE ON event_runs FOR EACH ROW
  EXECUTE FUNCTION refuse('history is not rewritten');
  CREATE TRIGGER event_runs_stay BEFORE DELETE ON event_runs FOR EACH ROW
  EXECUTE FUNCTION refuse_while_any_job_stays('the history of a job goes only after its job');
  CREATE TRIGGER event_runs_are_not_emptied BEFORE TRUNCATE ON event_runs FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('the history of a job goes only after its job');
  `
