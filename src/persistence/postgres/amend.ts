import { takes } from '../sql/transitions.ts'
import { forgetPayloads } from '../versions.ts'
import { isMovedLater } from './event-order.ts'
import { isUpdatable } from './readable.ts'

/**
 * Changes a job that waits, as `Store.amend` says. What it was is kept in `job_versions`.
 * `_moved`: the job, if it is now as asked. The columns are set before the event, which moves it by what they say. `take`: the function that does.
 */
export function amendFunction(name: string, take: string): string {
  const event = (event: string, cause: string) =>
    `${take}('${event}', _now, _node, _writer, _first_event, false, ${cause}, NULL, ARRAY[_id], NULL, NULL, NULL, NULL, NULL, _n)`
  return `
CREATE FUNCTION ${name}(_id bigint, _given jsonb, _requeue boolean, _now bigint, _node bigint, _writer bigint, _first_event bigint, _cause text,
  INOUT _n integer, OUT _moved bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _was record; _later boolean; _payload text; _run_at bigint; _priority integer; _max integer; _changes jsonb;
BEGIN
  IF _requeue THEN
    SELECT taken._n, taken._moved INTO _n, _moved FROM ${event('requeue', '_cause')} AS taken;
    IF _moved IS NULL THEN RETURN; END IF;
    _moved := NULL;
  END IF;
  SELECT seq, attempt, priority, max_attempts, run_at, created_at, ${isMovedLater} AS later, ${takes('amend')} AND ${isUpdatable} AS takes
  INTO _was FROM jobs WHERE id = _id FOR UPDATE;
  IF _was.later THEN RAISE EXCEPTION 'jobmachine: a later transaction has moved the job' USING ERRCODE = 'serialization_failure'; END IF;
  _priority := coalesce((_given->>'priority')::integer, _was.priority);
  _max := coalesce((_given->>'maxAttempts')::integer, _was.max_attempts);
  _run_at := coalesce((_given->>'runAt')::bigint, _now + (_given->>'delayMs')::bigint);
  _run_at := CASE WHEN _run_at IS NULL THEN _was.run_at ELSE greatest(least(_run_at, _was.created_at + (_given->>'maxWaitMs')::bigint), _now) END;
  IF _was.takes IS NOT TRUE OR _max <= _was.attempt THEN RETURN; END IF;
  SELECT payload INTO _payload FROM job_payloads WHERE job_id = _id;
  IF _given->>'payload' = _payload THEN _payload := NULL; END IF;
  IF NOT _given ? 'payload' THEN _payload := NULL; END IF;
  _changes := jsonb_strip_nulls(jsonb_build_object(
    'payload', CASE WHEN _payload IS NOT NULL THEN true END,
    'runAt', CASE WHEN _run_at <> _was.run_at THEN jsonb_build_object('from', _was.run_at, 'to', _run_at) END,
    'priority', CASE WHEN _priority <> _was.priority THEN jsonb_build_object('from', _was.priority, 'to', _priority) END,
    'maxRetries', CASE WHEN _max <> _was.max_attempts THEN jsonb_build_object('from', _was.max_attempts - 1, 'to', _max - 1) END));
  IF _changes <> '{}' THEN
    INSERT INTO job_versions (job_id, seq, priority, max_attempts, payload)
    SELECT _id, _was.seq + 1, nullif(_was.priority, _priority), nullif(_was.max_attempts, _max), _payload
    WHERE _changes ?| ARRAY['payload', 'priority', 'maxRetries'];
    IF _payload IS NOT NULL THEN
      UPDATE job_payloads SET payload = _given->>'payload' WHERE job_id = _id;
      ${forgetPayloads('_id', 'octet_length(payload)')};
    END IF;
    UPDATE jobs SET priority = _priority, max_attempts = _max, run_at = _run_at WHERE id = _id;
    SELECT taken._n, taken._moved INTO _n, _moved
    FROM ${event('amend', `(coalesce(_cause::jsonb, '{"cause":"person"}') || jsonb_build_object('changes', _changes))::text`)} AS taken;
    IF _moved IS NULL THEN RAISE EXCEPTION 'jobmachine: a job that waits could not be changed'; END IF;
  END IF;
  _moved := ARRAY[_id];
END
$$`
}
