import { createHash } from 'node:crypto'
import { type StoredName, snakeCase, storedNames } from '../../job/fields.ts'
import { claim } from '../../machines/edges.ts'
import type { EventType } from '../../machines/job.ts'
import { logMax } from '../reports.ts'
import { isSuspect } from '../sql/conditions.ts'
import { jobTables } from '../sql/job-tables.ts'
import { after, stateHasTag, stored } from '../sql/transitions.ts'
import { freesKeys } from '../sql/unique-keys.ts'
import { retention } from '../store.ts'
import { amendFunction } from './amend.ts'
import { firstEventOf } from './event-order.ts'
import { logRuns, removeEvents, setIsRun } from './event-runs.ts'
import { pickFunction } from './pick.ts'
import { beginEpochFunction, timelineSql } from './server-change.ts'
import { addCounts, assertEvents, inPlpgsql, moveSql, takeFunction } from './take.ts'
import { checkFunction, transactionFunctions } from './transaction/functions.ts'
import { isBehind, uniqueKeysSql } from './unique-keys.ts'

/** A function as the server keeps it: its name has the hash of its text, so that nodes of several versions find each their own. */
interface ServerFunction {
  readonly name: string
  readonly sql: string
}

/** Names what `create` makes; that gets the name it must use. */
function hashed(prefix: string, create: (name: string) => string): ServerFunction {
  const name = `${prefix}_${createHash('sha256').update(create(prefix)).digest('hex').slice(0, 12)}`
  return { name, sql: create(name) }
}

/** The type of each column that keeps what a caller has set. */
const columnTypes: Readonly<Record<StoredName, 'text' | 'integer'>> = {
  type: 'text',
  queue: 'text',
  priority: 'integer',
  timeoutMs: 'integer',
}

/** The parameters that hold new jobs, each with its type. */
const newJobParameters = [
  ['ids', 'bigint[]'],
  ['payloads', 'text[]'],
  ['keys', 'text[]'],
  ['contents', 'text[]'],
  ['run_ats', 'bigint[]'],
  ['delays', 'bigint[]'],
  ['max_attempts', 'integer[]'],
  ['causes', 'text[]'],
  ...storedNames.map((name) => [snakeCase(name), `${columnTypes[name]}[]`] as const),
  ['uniques', 'text[]'],
  ['traceparents', 'text[]'],
  ['tracestates', 'text[]'],
] as const

/** The parameters of a step, in order. */
const stepParameters = [
  ['given', 'bigint'],
  ['node', 'bigint'],
  ['claim_cause', 'text'],
  ['writer', 'bigint'],
  ['call', 'bigint'],
  ['timeline', 'text'],
  ['blocks', 'integer'],
  ...newJobParameters,
  ['replayed', 'bigint[]'],
  ['replaced', 'bigint[]'],
  ['changes', 'text[]'],
  ['change_ends', 'integer[]'],
  ['change_causes', 'text[]'],
  ['crashed', 'boolean[]'],
  ['only_in', 'text[]'],
  ['job_ids', 'bigint[]'],
  ['tokens', 'integer[]'],
  ['retry_delays', 'bigint[]'],
  ['errors', 'text[]'],
  ['row_errors', 'text[]'],
  ['job_causes', 'text[]'],
  ['attempts', 'text[]'],
  ['given_changes', 'jsonb[]'],
  ['requeue', 'boolean[]'],
  ['required', 'boolean[]'],
  ['results', 'text[]'],
  ['limits', 'integer[]'],
  ['starts', 'boolean[]'],
  ['handled', 'text[]'],
  ['served', 'text'],
  ['bounds', 'jsonb'],
  ['beside_suspects', 'boolean'],
  ['reports', 'json'],
] as const

export type StepParameter = (typeof stepParameters)[number][0]

/** The trace of a job, as it is handed out. */
export const traceSql = `(SELECT jsonb_build_object('traceparent', traceparent, 'tracestate', tracestate, 'lastAttempt', last_attempt)
      FROM job_traces WHERE job_id = jobs.id)`

const take = hashed('take', takeFunction)
const check = hashed('check', (name) => checkFunction(name, take.name))
const pick = hashed('pick', pickFunction)
const report = hashed('report', reportFunction)
const amend = hashed('amend', (name) => amendFunction(name, take.name))
const step = hashed('step', stepFunction)
const retain = hashed('retain', retainFunction)
const beginEpoch = hashed('begin_epoch', beginEpochFunction)
export const inTransaction = transactionFunctions({
  insert: insertSql(check.name),
  parameters: newJobParameters,
  take: take.name,
  hashed,
})

/** In the order in which they must be made. */
export const serverFunctions: readonly ServerFunction[] = [
  take,
  check,
  pick,
  report,
  amend,
  step,
  retain,
  beginEpoch,
  ...Object.values(inTransaction),
]

/** Begins an epoch if the database is not where it was. */
export const beginEpochSql = `SELECT ${beginEpoch.name}(:place::text, :isForced::boolean, :given::bigint)`

/** Calls a step; `values` in the order of its parameters. */
export const stepSql = `SELECT * FROM ${step.name}(${stepParameters.map((_, index) => `$${index + 1}`).join(', ')})`
export const stepNames = stepParameters.map(([name]) => name) as readonly string[]

/** Leases what one request gets of the picked jobs, and answers with it. In the block, the parameters of a move are those of a claim. */
function claimSql(): string {
  const handed = ['lease_token', 'type', 'queue', 'max_attempts', 'timeout_ms', 'run_at']
  const answer = `${handOut('moved AS jobs', '_traced')} ORDER BY jobs.n`
  const lease = (events: readonly EventType[]) =>
    `${moveSql(events, answer, { begin: 'RETURN QUERY ', handed })}
            GET DIAGNOSTICS _count = ROW_COUNT;
            _n := _n + ${events.length} * cardinality(_ids);
            ${freesKeys(events) ? uniqueKeysSql.free(take.name) : ''}`
  return `DECLARE
          _ids bigint[] := _picked[_taken + 1:_taken + _limits[_r]]; _tokens integer[]; _delays bigint[]; _errors text[]; _row_errors text[]; _causes text[];
          _cause text := _claim_cause; _only_in text; _moved bigint[] := _ids; _next bigint[]; _count integer; _is_run boolean;
        BEGIN
          IF _starts[_r] THEN ${lease(claim)}
          ELSE ${lease(['lease'])}
          END IF;
          IF _count <> cardinality(_ids) THEN RAISE EXCEPTION 'jobmachine: a ready job could not be leased'; END IF;
        END;`
}

/**
 * New jobs, in one statement with their payloads, events and counts, and then the unique keys and the traces that some have.
 * `check`: the function that looks at the end of the transaction whether those for which new jobs wait still hold their keys; null: it is looked
 * at once. Such a transaction may be a user's, whose events are a row each, so that those of its own are easily found.
 */
function insertSql(check: string | null): string {
  const sentOnce = newJobParameters.map(([name]) => `_${name}`).filter((name) => name !== '_ids')
  const isSentOnce = ['_causes', '_run_ats', '_delays'].map((name) => `coalesce(cardinality(${name}), 1) = 1`)
  const fill = sentOnce.map(
    (name) =>
      `IF cardinality(${name}) < cardinality(_ids) THEN ${name} := array_fill(${name}[1], ARRAY[cardinality(_ids)]); END IF;`,
  )
  const store = check
    ? `${storeSql(enqueuedRows())};`
    : `IF _is_run THEN ${storeSql(enqueuedRun())};
    ELSE ${storeSql(enqueuedRows())};
    END IF;`
  return inPlpgsql(`${check ? '' : `${setIsRun(`${isSentOnce.join(' AND ')} AND _uniques IS NULL`)};`}
    ${fill.join('\n    ')}
    ${store}
    ${uniqueKeysSql.insert(check)};
    IF _traceparents IS NOT NULL THEN
      INSERT INTO job_traces (job_id, traceparent, tracestate)
      SELECT id, traceparent, tracestate FROM unnest(_ids, _traceparents, _tracestates) AS trace (id, traceparent, tracestate)
      WHERE traceparent IS NOT NULL;
    END IF`)
}

function enqueuedRows(): string {
  return `INSERT INTO single_events (id, job_id, seq, event, from_state, to_state, attempt, at, cause)
      SELECT _first_event + _n + n, id, 1, 'enqueue', NULL, state, 0, _now, cause FROM item`
}

function enqueuedRun(): string {
  const ends = { event: 'enqueue', from: 'NULL', to: 'min(state)' }
  const run = { ...ends, lastId: '_first_event + _n + count(*)', cause: 'min(cause)', seq: '1', attempt: '0' }
  return logRuns([run], 'item')
}

function storeSql(log: string): string {
  const names = storedNames.map(snakeCase)
  const next = after('enqueue', { ...stored, run_at: 'item.starts_at' }, '0')
  return `WITH given AS (
      SELECT *, greatest(coalesce(run_at, _now + coalesce(delay_ms, 0)), _now) AS starts_at, terms IS NOT NULL AND ${isBehind} AS blocked
      FROM unnest(_ids, _payloads, _keys, _contents, _run_ats, _delays, _max_attempts, _causes, _uniques, ${names.map((name) => `_${name}`).join(', ')})
        WITH ORDINALITY AS item (id, payload, idempotency_key, content, run_at, delay_ms, max_attempts, cause, terms, ${names.join(', ')}, n)
    ), item AS MATERIALIZED (
      SELECT *, ${next.state.replaceAll(':blocked', 'item.blocked')} AS state FROM given AS item
    ), stored AS (
      INSERT INTO jobs (id, state, seq, attempt, max_attempts, run_at, created_at, idempotency_key, content, ${names.join(', ')})
      SELECT id, state, 1, 0, max_attempts, starts_at, _now, idempotency_key, content, ${names.join(', ')} FROM item
    ), payloads AS (
      INSERT INTO job_payloads (job_id, payload) SELECT id, payload FROM item
    ), logged AS (
      ${log}
    )
    ${addCounts("SELECT 'new' AS from_state, 'enqueue' AS event, state AS to_state, count(*) AS n FROM item GROUP BY state")}`
}

/**
 * One call of a writer: stores new jobs, moves others, claims some, and answers with those, and with a last row that has `facts` alone. The first
 * statement is its fence: a call that was given up after its connection broke can no longer be committed.
 */
function stepFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(${stepParameters.map(([name, type]) => `_${name} ${type}`).join(', ')})
RETURNS TABLE (id bigint, lease_token integer, type text, queue text, attempt integer, max_attempts integer, timeout_ms integer, run_at bigint, payload text, trace jsonb, facts text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _now bigint := instant(_given);
  _first_event bigint := ${firstEventOf('pg_current_xact_id()::text::bigint')};
  _n integer := 0; _from integer := 1; _until integer; _got bigint[]; _moved jsonb := '[]'; _picked bigint[]; _taken integer := 0;
  _aside jsonb; _met boolean := false; _traced boolean; _missing integer; _is_run boolean;
BEGIN
  IF _timeline IS NOT NULL THEN
    IF _timeline <> ${timelineSql} THEN RAISE EXCEPTION 'jobmachine: the server may have gone back' USING ERRCODE = 'JM003'; END IF;
  END IF;
  UPDATE writers SET last_call = _call, first_event_id = _first_event WHERE id = _writer AND last_call = _call - 1;
  IF NOT FOUND THEN RAISE EXCEPTION 'jobmachine: this writer was given up' USING ERRCODE = 'JM001'; END IF;
  IF _replaced IS NOT NULL THEN
    UPDATE jobs SET idempotency_key = NULL, content = NULL
    WHERE id = ANY (_replaced) AND ${stateHasTag('ended')} AND NOT ${stateHasTag('expendable')};
  END IF;
  IF _ids IS NOT NULL THEN
    ${insertSql(null)};
    _n := cardinality(_ids);
    ${assertEvents}
  END IF;
  IF _replayed IS NOT NULL THEN
    INSERT INTO key_replays (job_id, n, last_at)
    -- Locked, or retention could remove one meanwhile and not see what is noted of it.
    SELECT replay.id, count(*), _now FROM unnest(_replayed) AS replay (id)
    JOIN (SELECT id FROM jobs WHERE id = ANY (_replayed) ORDER BY id FOR KEY SHARE) AS there ON there.id = replay.id GROUP BY replay.id ORDER BY replay.id
    ON CONFLICT (job_id) DO UPDATE SET n = key_replays.n + excluded.n, last_at = excluded.last_at;
  END IF;
  IF _reports IS NOT NULL THEN
    PERFORM 1 FROM (SELECT unnest(_job_ids) AS id UNION SELECT (value ->> 0)::bigint FROM json_array_elements(_reports) ORDER BY 1) AS item
    JOIN jobs ON jobs.id = item.id ORDER BY item.id FOR NO KEY UPDATE OF jobs;
    PERFORM ${report.name}(_reports, _now);
  END IF;
  IF cardinality(_changes) > 1 THEN
    PERFORM 1 FROM (SELECT DISTINCT unnest(_job_ids) AS id ORDER BY 1) AS item JOIN jobs ON jobs.id = item.id ORDER BY item.id FOR NO KEY UPDATE OF jobs;
  END IF;
  FOR _s IN 1..coalesce(cardinality(_changes), 0) LOOP
    _until := _change_ends[_s];
    IF _given_changes[_s] IS NULL THEN
      SELECT taken._n, taken._moved INTO _n, _got FROM ${take.name}(_changes[_s], _now, _node, _writer, _first_event, _crashed[_s], _change_causes[_s], _only_in[_s],
        _job_ids[_from:_until], _tokens[_from:_until], _retry_delays[_from:_until], _errors[_from:_until], _row_errors[_from:_until], _job_causes[_from:_until], _n) AS taken;
    ELSE
      SELECT amended._n, amended._moved INTO _n, _got FROM ${amend.name}(_job_ids[_from], _given_changes[_s], _requeue[_s], _now, _node, _writer, _first_event, _change_causes[_s], _n) AS amended;
      IF _required[_s] AND _got IS NULL THEN RAISE EXCEPTION USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_jobs_place', MESSAGE = 'jobmachine: the job has begun'; END IF;
    END IF;
    _moved := _moved || jsonb_build_array(CASE WHEN cardinality(_got) = _until - _from + 1 THEN NULL ELSE to_jsonb(coalesce(_got, '{}')) END);
    IF _attempts IS NOT NULL THEN
      INSERT INTO job_traces (job_id, last_attempt)
      SELECT id, attempt FROM unnest(_job_ids[_from:_until], _attempts[_from:_until]) AS ended (id, attempt)
      WHERE attempt IS NOT NULL AND id = ANY (_got)
      ON CONFLICT (job_id) DO UPDATE SET last_attempt = excluded.last_attempt;
    END IF;
    IF _results IS NOT NULL THEN
      INSERT INTO job_results (job_id, result)
      SELECT id, result FROM unnest(_job_ids[_from:_until], _results[_from:_until]) AS ended (id, result)
      WHERE result IS NOT NULL AND id = ANY (_got);
    END IF;
    _from := _until + 1;
  END LOOP;
  IF _limits IS NOT NULL THEN
    _met := NOT _beside_suspects AND EXISTS (SELECT 1 FROM jobs WHERE ${isSuspect});
    IF NOT _met THEN
      SELECT picked._picked, picked._served, picked._bounds, picked._aside INTO _picked, _served, _bounds, _aside
      FROM ${pick.name}((SELECT sum(most) FROM unnest(_limits) AS room (most))::integer, _handled, _served, _bounds) AS picked;
      _traced := cardinality(_picked) > 0 AND EXISTS (SELECT 1 FROM job_traces);
      FOR _r IN 1..cardinality(_limits) LOOP
        EXIT WHEN _taken >= cardinality(_picked);
        ${claimSql()}
        _taken := _taken + _limits[_r];
      END LOOP;
      ${assertEvents}
    END IF;
  END IF;
  RETURN QUERY SELECT NULL::bigint, NULL::integer, NULL::text, NULL::text, NULL::integer, NULL::integer, NULL::integer, NULL::bigint, NULL::text, NULL::jsonb,
    jsonb_build_object('now', _now, 'lastEvent', _first_event + _n, 'events', _n, 'moved', _moved, 'served', _served, 'bounds', _bounds, 'aside', _aside, 'met', _met,
    'blocks', (SELECT jsonb_agg(nextval('job_ids')) FROM generate_series(1, _blocks)))::text;
END
$$`
}

/** Stores what handlers have reported, as `reportsOf` makes it, of the jobs whose lease they hold. */
function reportFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_reports json, _now bigint) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _report json; _job bigint; _attempt integer; _n integer; _bytes bigint;
BEGIN
  FOR _report IN SELECT value FROM json_array_elements(_reports) LOOP
    _job := _report ->> 0;
    SELECT attempt INTO _attempt FROM jobs WHERE id = _job AND coalesce(lease_token, -1) = (_report ->> 1)::integer;
    CONTINUE WHEN NOT FOUND;
    IF _report ->> 2 IS NOT NULL THEN
      INSERT INTO job_progress (job_id, value, attempt, at) VALUES (_job, _report ->> 2, _attempt, _now)
      ON CONFLICT (job_id) DO UPDATE SET value = excluded.value, attempt = excluded.attempt, at = excluded.at;
    END IF;
    CONTINUE WHEN json_array_length(_report -> 3) = 0;
    _n := NULL;
    SELECT n, bytes INTO _n, _bytes FROM job_logs WHERE job_id = _job ORDER BY n DESC LIMIT 1;
    IF _n IS NULL THEN _n := 0; _bytes := 0; END IF;
    INSERT INTO job_logs (job_id, n, attempt, at, bytes, level, message, fields)
    SELECT _job, _n + place, _attempt, (line ->> 0)::bigint, _bytes + (line ->> 4)::bigint, line ->> 1, line ->> 2, line ->> 3
    FROM json_array_elements(_report -> 3) WITH ORDINALITY AS given (line, place);
    _n := _n + json_array_length(_report -> 3);
    _bytes := _bytes + (_report ->> 4)::bigint;
    DELETE FROM job_logs WHERE job_id = _job AND n < greatest(_n - ${logMax.lines - 1},
      (SELECT n FROM job_logs WHERE job_id = _job AND bytes > _bytes - ${logMax.bytes} ORDER BY n LIMIT 1));
  END LOOP;
END
$$`
}

/** Jobs of `from` as they are handed out; `attempt` is that before this one. `traced`: false if no job has a trace. */
function handOut(from: string, traced = 'true'): string {
  return `SELECT jobs.id, jobs.lease_token, jobs.type::text, jobs.queue::text, jobs.attempt - (${stateHasTag('executing')})::integer,
      jobs.max_attempts, jobs.timeout_ms, jobs.run_at, coalesce(job_payloads.payload, ''), CASE WHEN ${traced} THEN ${traceSql} END, NULL::text
    FROM ${from} LEFT JOIN job_payloads ON job_payloads.job_id = jobs.id`
}

/** Jobs that were leased before. */
export const leasedJobsSql = `${handOut('unnest($1::bigint[]) WITH ORDINALITY AS picked (id, n) JOIN jobs ON jobs.id = picked.id')}
  WHERE jobs.node_id = $2 ORDER BY picked.n`

/** Removes ended jobs with all that is theirs, one node at a time; the others do nothing meanwhile. */
export const retainSql = `SELECT ${retain.name}(:ids::bigint[], :finishedAts::bigint[])`

function retainFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_ids bigint[], _finished_ats bigint[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _writer bigint := 0; _gone bigint[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('jobmachine retention'), hashtext(current_schema())) THEN RETURN; END IF;
  -- Until the end of this transaction: what no other may remove.
  PERFORM set_config('jobmachine.removable', 'ended', true);
  WITH gone AS (
    DELETE FROM jobs USING unnest(_ids, _finished_ats) AS seen (id, finished_at)
    WHERE jobs.id = seen.id AND jobs.finished_at = seen.finished_at RETURNING jobs.id, jobs.state
  ), counted AS (
    ${addCounts(`SELECT state AS from_state, '${retention}' AS event, '' AS to_state, count(*) AS n FROM gone GROUP BY state`)}
  )
  SELECT array_agg(id) INTO _gone FROM gone;
  ${jobTables.map(([table]) => `DELETE FROM ${table} WHERE job_id = ANY (_gone);`).join('\n  ')}
  ${removeEvents('_gone')}
END
$$`
}
