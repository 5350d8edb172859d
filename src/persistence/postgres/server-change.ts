import { firstEventOf } from './event-order.ts'
import { newestId } from './event-runs.ts'

/** The least distance of what a new epoch gives out from what is known, in ids of jobs and in transactions, and more than a server gives out in a ms. */
const leap = 1_000_000
const jobsPerMs = 1_000
const transactionsPerMs = 10
const lostMaxMs = 31_557_600_000
/** The same of nodes and writers, of which there are few. */
const nodesLeap = 1_000

/** On which line of its history the server is. Each promotion of a standby and each restore begins a new one. */
export const timelineSql = `left(pg_walfile_name(pg_current_wal_lsn()), 8)`

/** Which server it is, on which timeline, and with which table: a dump that was restored has another. */
export const placeSql = `(SELECT system_identifier FROM pg_control_system()) || ' ' || ${timelineSql} || ' ' || 'meta'::regclass::oid`

/** Null in a database that never said where it is. */
export const knownTimelineSql = `(SELECT split_part(value, ' ', 2) FROM meta WHERE name = 'place')`

/**
 * Begins an epoch if the database is not where it was, and gives out higher ids; forced, the latter alone: the server may lack what was committed last, and have gone back with all that it counts.
 * The ids to come lie above what may have been given out meanwhile: since somebody was heard of last, faster than any server can. It has the
 * rights of its owner, for a node may not set a sequence.
 */
export function beginEpochFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_place text, _is_forced boolean, _given bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  _known text; _lost_ms bigint; _job bigint; _offset bigint; _lowest bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('jobmachine ' || current_schema()));
  SELECT value INTO _known FROM meta WHERE name = 'place';
  IF (_known IS NOT NULL AND _known <> _place) OR _is_forced THEN
    _lost_ms := least(greatest(instant(_given) - greatest((SELECT max(seen_at) FROM nodes), (SELECT at FROM single_events ORDER BY id DESC LIMIT 1), (SELECT at FROM event_runs ORDER BY last_id DESC LIMIT 1)), 0), ${lostMaxMs});
    _job := (greatest((SELECT max(id) FROM jobs), nextval('job_ids')) + greatest(${leap}, coalesce(_lost_ms, 0) * ${jobsPerMs})) / ${leap} * ${leap} + ${leap + 1};
    PERFORM setval('job_ids', _job, false);
    PERFORM setval(sequence, nextval(sequence) + ${nodesLeap})
    FROM unnest(ARRAY[pg_get_serial_sequence('nodes', 'id')::regclass, pg_get_serial_sequence('writers', 'id')::regclass]) AS sequence;
    _offset := greatest(${newestId()}, ${firstEventOf('pg_snapshot_xmax(pg_current_snapshot())::text::bigint')}) / 4096
      + greatest(${leap}, coalesce(_lost_ms, 0) * ${transactionsPerMs}) - _lowest;
    UPDATE meta SET value = _offset::text WHERE name = 'transaction_offset';
    -- Other nodes do not hear of one that is forced, and must not have other names for its jobs.
    INSERT INTO meta (name, value) SELECT 'epochs', (coalesce((SELECT value FROM meta WHERE name = 'epochs'), '[]')::jsonb
      || jsonb_build_object('id', gen_random_uuid(), 'firstJob', _job, 'firstTransition', (_lowest + _offset) * 4096))::text
    WHERE NOT _is_forced
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
  END IF;
  INSERT INTO meta (name, value) SELECT 'place', _place WHERE _place IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value <> excluded.value;
END
$$`
}
