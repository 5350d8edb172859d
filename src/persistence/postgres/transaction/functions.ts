import { stateHasTag } from '../../sql/transitions.ts'
import { planSettings } from '../connection.ts'
import { firstEventOf } from '../event-order.ts'
import { eventsOf } from '../event-runs.ts'
import { channel } from '../node/row.ts'
import { knownTimelineSql, timelineSql } from '../server-change.ts'
import { keyUsersSql } from '../unique-keys.ts'

/** Events that a transaction of a user may write; the ids would allow some more. */
const eventsMax = 4_000

/** What the functions are made of: the statements that store new jobs with their parameters, and the name of the function that moves jobs. */
interface Parts {
  readonly insert: string
  readonly parameters: readonly (readonly [name: string, type: string])[]
  readonly take: string
  readonly hashed: (prefix: string, create: (name: string) => string) => { readonly name: string; readonly sql: string }
}

/**
 * The functions that a user's transaction calls, each with a JSON text and answered by one, so that any driver passes both on as they are.
 * They run with the rights of their owner: a role needs to see the schema, and nothing else. None waits for a lock that a node holds for longer
 * than its commit, and none takes one that a node waits for.
 */
export function transactionFunctions({ insert, parameters, take, hashed }: Parts) {
  const look = hashed('look', lookFunction)
  const enqueue = hashed('enqueue', (name) => enqueueFunction(name, insert, parameters))
  const finish = hashed('finish', (name) => finishFunction(name, take))
  const complete = hashed('complete', (name) => completeFunction(name, finish.name))
  return { look, enqueue, finish, complete }
}

const rights = `LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT ${planSettings.map((setting) => `SET ${setting}`).join(' ')}`

/** Numbers of events that earlier calls of the same transaction have used. */
const usedEvents =
  'coalesce((SELECT max(id) FROM single_events WHERE id >= _first_event AND id < _first_event + 4096) - _first_event, 0)'

/** Counts of a transaction have a row that is its own, so that no two wait for each other; a node adds them to the others later. */
const declarations = `
  _asked json := _request::json;
  _transaction bigint := pg_current_xact_id_if_assigned()::text::bigint;
  _writer bigint := -_transaction;
  _now bigint := instant((_asked ->> 'now')::bigint);
  _first_event bigint := ${firstEventOf('_transaction')};
  _n integer := ${usedEvents};`

/** Two calls are in one transaction if this is still its id: outside of one, each statement has its own. */
const refuseOutside = `IF _transaction IS DISTINCT FROM (_asked ->> 'transaction')::bigint THEN RETURN json_build_object('outcome', 'outside'); END IF;`

/** The transaction sees what was committed before its first statement, and nothing later. */
const hasOldSnapshot = `current_setting('transaction_isolation') IN ('repeatable read', 'serializable')`

const raiseOldSnapshot = `RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'jobmachine: another transaction has used the same key since this one began; roll back, and try again';`

const isOwnJob = `EXISTS (SELECT 1 FROM single_events WHERE job_id = jobs.id AND seq = 1
        AND single_events.id >= _first_event AND single_events.id < _first_event + 4096) AS "isOwn"`

/** The transaction, and which of the keys its jobs have that it can see. */
function lookFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_request text) RETURNS text ${rights} AS $$
DECLARE
  _transaction bigint := pg_current_xact_id()::text::bigint;
  _first_event bigint := ${firstEventOf('_transaction')};
  _timeline text := ${knownTimelineSql};
BEGIN
  IF _timeline <> '' THEN
    IF _timeline <> ${timelineSql} THEN RETURN json_build_object('outcome', 'moved'); END IF;
  END IF;
  RETURN json_build_object('outcome', 'seen', 'transaction', _transaction, 'keyed', (
    SELECT coalesce(json_agg(job), '[]') FROM (
      SELECT idempotency_key AS key, id, state, content, ${isOwnJob}
      FROM jobs WHERE idempotency_key = ANY (ARRAY(SELECT json_array_elements_text((_request::json) -> 'keys')))) AS job),
  'holders', (
    SELECT coalesce(json_agg(job), '[]') FROM (
      ${keyUsersSql("_request::json -> 'uniques'", "instant((_request::json ->> 'now')::bigint)", `, ${isOwnJob}`)}) AS job));
END
$$`
}

/**
 * Wakes nodes with free workers when the transaction commits. Transactions that notify commit one after the other, so only one that is open
 * does it at a time; the others leave it to that one, or to the poll of the nodes. A prepared transaction may not notify.
 */
const wake = `IF current_setting('max_prepared_transactions') = '0' AND EXISTS (SELECT 1 FROM nodes WHERE is_waiting AND ended_at IS NULL)
    AND pg_try_advisory_xact_lock(hashtext('jobmachine wake'), hashtext(current_schema())) THEN
    PERFORM pg_notify('${channel}', current_schema() || ' jobs 0');
  END IF;`

/** The block with a handler is a transaction within the transaction, of which one should not have many: it is for jobs with keys alone. */
function enqueueFunction(name: string, insert: string, parameters: Parts['parameters']): string {
  return `
CREATE FUNCTION ${name}(_request text) RETURNS text ${rights} AS $$
#variable_conflict use_column
DECLARE ${declarations}
  ${parameters.map(([parameter, type]) => `_${parameter} ${type} := (_asked ->> '${parameter}')::${type};`).join('\n  ')}
  _constraint text;
BEGIN
  ${refuseOutside}
  IF _n + cardinality(_ids) > ${eventsMax} THEN RETURN json_build_object('outcome', 'too many', 'max', ${eventsMax}, 'stored', _n); END IF;
  IF (_asked ->> 'isKeyed')::boolean THEN
    BEGIN
      ${insert};
    EXCEPTION WHEN unique_violation THEN
      GET STACKED DIAGNOSTICS _constraint = CONSTRAINT_NAME;
      IF _constraint <> 'jobs_key' AND _constraint <> 'unique_jobs_place' THEN RAISE; END IF;
      IF ${hasOldSnapshot} THEN
        ${raiseOldSnapshot}
      END IF;
      RETURN json_build_object('outcome', 'key used');
    END;
  ELSE
    ${insert};
  END IF;
  ${wake}
  RETURN json_build_object('outcome', 'stored', 'now', _now);
END
$$`
}

const raiseLost = (job: string) =>
  `RAISE EXCEPTION USING ERRCODE = 'JM002', MESSAGE = 'jobmachine: the lease of job ' || ${job} || ' is lost or has an outcome, so this transaction cannot complete it; nothing of it is stored';`

/** The job, if it still has that lease, and its node lives. */
const heldJob = (id: string, token: string) => `SELECT 1 FROM jobs JOIN nodes ON nodes.id = jobs.node_id
    WHERE jobs.id = ${id} AND coalesce(jobs.lease_token, -1) = ${token} AND nodes.ended_at IS NULL`

/**
 * Notes that the job ends with the transaction. An attempt whose lease is lost fails the transaction at once, and later its commit. The
 * transaction must have begun after the start, or the event of the end would come first. It may have been open for any time, so the ids of
 * the events are compared, and not `xmin`. A snapshot in which the attempt has not started yet is older too.
 */
function completeFunction(name: string, finish: string): string {
  return `
CREATE FUNCTION ${name}(_request text) RETURNS text ${rights} AS $$
DECLARE
  _asked json := _request::json;
  _transaction bigint := pg_current_xact_id_if_assigned()::text::bigint;
  _first_event bigint := ${firstEventOf('_transaction')};
  _job bigint := (_asked ->> 'id')::bigint;
  _token integer := (_asked ->> 'leaseToken')::integer;
BEGIN
  ${refuseOutside}
  IF EXISTS (SELECT 1 FROM completions WHERE job_id = _job AND lease_token = _token) THEN RETURN json_build_object('outcome', 'noted'); END IF;
  IF ${hasOldSnapshot} AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = _job AND seq > _token) THEN
    RETURN json_build_object('outcome', 'began before');
  END IF;
  IF NOT EXISTS (${heldJob('_job', '_token')}) THEN ${raiseLost('_job')} END IF;
  IF EXISTS (SELECT 1 FROM ${eventsOf('_job')} WHERE seq >= _token AND id > _first_event) THEN
    RETURN json_build_object('outcome', 'began before');
  END IF;
  INSERT INTO completions (job_id, lease_token, given, cause, result, taken_by)
  VALUES (_job, _token, (_asked ->> 'now')::bigint, _asked ->> 'cause', _asked ->> 'result', '${finish}');
  RETURN json_build_object('outcome', 'noted');
END
$$`
}

/** Moves the job, as the last thing that its transaction does. */
function finishFunction(name: string, take: string): string {
  return `
CREATE FUNCTION ${name}(_job bigint, _token integer, _given bigint, _cause text) RETURNS void ${rights} AS $$
#variable_conflict use_column
DECLARE
  _transaction bigint := pg_current_xact_id()::text::bigint;
  _first_event bigint := ${firstEventOf('_transaction')};
  _n integer := ${usedEvents};
  _moved bigint[];
BEGIN
  IF EXISTS (${heldJob('_job', '_token')}) THEN
    SELECT taken._moved INTO _moved FROM ${take}('succeed', instant(_given), NULL, -_transaction, _first_event, false, _cause, NULL,
      ARRAY[_job], ARRAY[_token], NULL, NULL, NULL, NULL, _n) AS taken;
  END IF;
  IF _moved IS NULL THEN ${raiseLost('_job')} END IF;
  INSERT INTO job_results (job_id, result)
  SELECT job_id, result FROM completions WHERE job_id = _job AND lease_token = _token AND result IS NOT NULL;
  DELETE FROM completions WHERE job_id = _job AND lease_token = _token;
END
$$`
}

/**
 * Called when a transaction of a user commits that has stored a job which waits for another: if that does not hold the key any more, the job
 * goes on. It writes the holder's row, as does whoever ends the holder: so one of the two comes second and sees what the first has done, or, with
 * an old snapshot, fails.
 */
export function checkFunction(name: string, take: string): string {
  return `
CREATE FUNCTION ${name}(_job bigint) RETURNS void ${rights} AS $$
#variable_conflict use_column
DECLARE
  _transaction bigint := pg_current_xact_id()::text::bigint;
  _first_event bigint := ${firstEventOf('_transaction')};
  _n integer := ${usedEvents};
  _holder bigint;
BEGIN
  LOOP
    _holder := NULL;
    UPDATE unique_jobs SET place = 1 FROM unique_jobs AS own
    WHERE own.job_id = _job AND own.place = 2 AND unique_jobs.type = own.type AND unique_jobs.unique_key = own.unique_key AND unique_jobs.place = 1
    RETURNING unique_jobs.job_id INTO _holder;
    IF EXISTS (SELECT 1 FROM jobs WHERE id = _holder AND NOT ${stateHasTag('ended')}) THEN RETURN; END IF;
    BEGIN
      UPDATE unique_jobs SET place = NULL WHERE job_id = _holder;
      UPDATE unique_jobs SET place = 1 WHERE job_id = _job AND place = 2;
      IF NOT FOUND THEN RETURN; END IF;
      EXIT;
    EXCEPTION WHEN unique_violation THEN
      IF ${hasOldSnapshot} THEN ${raiseOldSnapshot} END IF;
    END;
  END LOOP;
  PERFORM ${take}('unblock', (SELECT created_at FROM jobs WHERE id = _job), NULL, -_transaction, _first_event, false, NULL, NULL,
    ARRAY[_job], NULL, NULL, NULL, NULL, NULL, _n);
END
$$`
}
