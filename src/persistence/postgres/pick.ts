import { claimOrder, orderBy } from '../sql/claim-order.ts'
import { isReady, parkedAs } from '../sql/conditions.ts'
import { stateHasTag } from '../sql/transitions.ts'
import { isMovedLater } from './event-order.ts'
import { isClaimable } from './readable.ts'

/** Jobs without a handler anywhere, or that cannot be read, that one claim sets aside, of each queue. */
const setAsideMax = 200
/**
 * Rows of the index that a claim may pass over without taking them, in each queue: of jobs that left it (they stay in the index as long as
 * any open transaction can see them), are locked, or are for other nodes. If there are more, the next claims begin where this one ended.
 */
const passedMax = 2_000
/**
 * The same of pages, because rows that no transaction can see any more are passed over uncounted until VACUUM has removed them: without a
 * bound, a claim took 1 ms longer for each 60,000 jobs done since then. A claim of 1,000 jobs reads ten pages.
 */
const pagesMax = 40
/** What came before the bound is looked for after so many times what that took. So it takes a twentieth of the time, and comes so much later. */
const restShare = 20
/** The most, in ms, also if the server's clock is set back. */
const restMaxMs = 60_000
/** How much earlier than the bound a job's `run_at` may be, in ms: what is committed later may have begun earlier. */
const slackMs = 20

const inQueue = `${isReady} AND queue = _queue`
const passed = `pg_stat_get_xact_tuples_returned('jobs_ready'::regclass)`
const pages = `pg_stat_get_xact_blocks_fetched('jobs_ready'::regclass)`
const clock = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

/** The two ranges of the index from a bound on. */
const sameLevel = `priority = _priority AND run_at >= _run_at - ${slackMs}`
const laterLevels = 'priority < _priority'

const head = (and: string, limit: string) =>
  `SELECT array_agg(id) INTO _more FROM (SELECT id FROM jobs WHERE ${inQueue} ${and} AND type = ANY (_types) AND ${isClaimable} AND NOT ${isMovedLater} ORDER BY ${orderBy(claimOrder)} LIMIT ${limit} FOR UPDATE SKIP LOCKED) AS head`

const readBound = `_priority := (_bounds -> _queue -> 'priority')::integer;
      _run_at := (_bounds -> _queue -> 'runAt')::bigint;`

/**
 * Jobs in front that no live node handles, or that cannot be read: so that no claim meets them again. The answer says how many of each type,
 * and under no type the ids of those that cannot be read.
 */
const setAside = `SELECT array_agg(id) INTO _strays FROM (SELECT id, type, ${isClaimable} AS leasable FROM jobs WHERE ${inQueue} ORDER BY ${orderBy(claimOrder)} LIMIT ${setAsideMax}) AS head
        WHERE NOT leasable OR (type <> ALL (_types) AND NOT EXISTS (SELECT 1 FROM nodes WHERE ended_at IS NULL AND head.type = ANY (nodes.types)));
        IF _strays IS NOT NULL THEN
          WITH head AS MATERIALIZED (
            SELECT id, ${isClaimable} AS leasable FROM jobs WHERE id = ANY (_strays) AND ${stateHasTag('ready', "jobs.state || ''")} AND parked + 0 = 0
            ORDER BY id FOR UPDATE SKIP LOCKED
          ), aside AS (UPDATE jobs SET parked = ${parkedAs.unhandled} FROM head WHERE jobs.id = head.id RETURNING jobs.id, jobs.type, head.leasable)
          SELECT jsonb_object_agg(type, told) INTO _counts FROM (
            SELECT type, to_jsonb(count(*)) AS told FROM aside WHERE leasable GROUP BY type
            UNION ALL SELECT '', jsonb_agg(id) FROM aside WHERE NOT leasable HAVING count(*) > 0) AS counted;
          IF _counts IS NOT NULL THEN _aside := coalesce(_aside, '[]') || _counts; END IF;
        END IF;`

/** Where the next claims of a queue begin: at the last job taken, else at the last that is ready, else where the claims before began. */
const setBounds = `FOREACH _queue IN ARRAY _queues LOOP
    CONTINUE WHEN NOT (_queue = ANY (_dear) OR _bounds ? _queue);
    -- Those of one queue are in order.
    SELECT priority, run_at INTO _priority, _run_at FROM jobs
    WHERE id = ANY (CASE WHEN cardinality(_queues) = 1 THEN _picked[cardinality(_picked):] ELSE _picked END) AND queue = _queue
    ORDER BY priority, run_at DESC, id DESC LIMIT 1;
    IF NOT FOUND THEN
      CONTINUE WHEN _bounds ? _queue OR array_position(_queues, _queue) = ANY (_places);
      SELECT priority, run_at INTO _priority, _run_at FROM jobs WHERE ${inQueue} ORDER BY priority, run_at DESC, id DESC LIMIT 1;
    END IF;
    IF NOT FOUND THEN
      CONTINUE WHEN NOT _old ? _queue;
      _priority := (_old -> _queue -> 'priority')::integer;
      _run_at := (_old -> _queue -> 'runAt')::bigint;
    END IF;
    _bounds := _bounds || jsonb_build_object(_queue, jsonb_build_object('priority', _priority, 'runAt', _run_at,
      'until', coalesce((_bounds -> _queue -> 'until')::bigint, _until)));
  END LOOP;`

/** The queues with ready jobs, in the order of their turns, without the rows before the bounds. */
const visitQueues = `WHILE cardinality(_queues) < _most AND NOT (_wrapped AND _last >= _served COLLATE "C") LOOP
    _bounded := NULL;
    IF _bounds <> '{}' THEN
      SELECT min(key COLLATE "C") INTO _bounded FROM jsonb_object_keys(_bounds) AS bounds (key) WHERE key > _last COLLATE "C";
    END IF;
    IF _bounded IS NULL THEN
      SELECT queue INTO _queue FROM jobs WHERE ${isReady} AND queue > _last ORDER BY queue LIMIT 1;
    ELSE
      SELECT queue INTO _queue FROM jobs WHERE ${isReady} AND queue > _last AND queue < _bounded ORDER BY queue LIMIT 1;
      IF NOT FOUND THEN
        _queue := _bounded;
        _last := _bounded;
        ${readBound}
        PERFORM 1 FROM jobs WHERE ${inQueue} AND ${sameLevel} LIMIT 1;
        IF NOT FOUND THEN PERFORM 1 FROM jobs WHERE ${inQueue} AND ${laterLevels} LIMIT 1; END IF;
        CONTINUE WHEN NOT FOUND;
      END IF;
    END IF;
    IF FOUND AND NOT (_wrapped AND _queue > _served COLLATE "C") THEN
      _queues := _queues || _queue;
      _last := _queue;
    ELSE
      EXIT WHEN _wrapped;
      _wrapped := true;
      _last := '';
    END IF;
  END LOOP;`

/** The first jobs of a queue. */
const takeHead = `IF _bounds ? _queue THEN
        ${readBound}
        ${head(`AND ${sameLevel}`, '_share')};
        _ids := _more;
        IF coalesce(cardinality(_ids), 0) < _share THEN
          ${head(`AND ${laterLevels}`, '_share - coalesce(cardinality(_ids), 0)')};
          _ids := _ids || _more;
        END IF;
      ELSE
        _passed := ${passed};
        _pages := ${pages};
        ${head('', '_share')};
        _ids := _more;
        _passed := ${passed} - _passed - coalesce(cardinality(_ids), 0);
        IF _passed > ${passedMax} OR ${pages} - _pages > ${pagesMax} THEN _dear := _dear || _queue; END IF;
        IF _passed > 0 OR current_setting('track_counts') = 'off' THEN
          ${setAside}
        END IF;
      END IF;`

/**
 * Picks ready jobs and locks them: queues take turns from the one after `_served`, job by job while more than one has any; within one by
 * the order of claims. Jobs that another transaction has locked, or a later one has stored, are passed over. It visits no more queues than there is room. `_bounds`:
 * of queues where claims would pass over many rows, where they begin instead, and until when (`{ queue: { priority, runAt, until } }`).
 */
export function pickFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_most integer, _types text[], INOUT _served text, INOUT _bounds jsonb, OUT _picked bigint[], OUT _aside jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _queues text[] := '{}'; _full text[] := '{}'; _dear text[] := '{}'; _queue text; _last text := _served; _wrapped boolean := false;
  _share integer; _ids bigint[]; _more bigint[]; _place integer; _strays bigint[]; _counts jsonb;
  _found bigint[] := '{}'; _rounds integer[] := '{}'; _places integer[] := '{}';
  _begun bigint := ${clock}; _until bigint; _old jsonb := _bounds; _bounded text; _passed bigint; _pages bigint; _priority integer; _run_at bigint;
BEGIN
  _picked := '{}';
  IF _bounds <> '{}' THEN
    SELECT coalesce(jsonb_object_agg(key, value), '{}') INTO _bounds FROM jsonb_each(_bounds) WHERE (value -> 'until')::bigint - _begun BETWEEN 1 AND ${restMaxMs};
  END IF;
  ${visitQueues}
  _share := (_most + cardinality(_queues) - 1) / nullif(cardinality(_queues), 0);
  FOR _pass IN 1..2 LOOP
    FOREACH _queue IN ARRAY CASE _pass WHEN 1 THEN _queues ELSE _full END LOOP
      _place := array_position(_queues, _queue);
      ${takeHead}
      CONTINUE WHEN _ids IS NULL;
      IF cardinality(_queues) = 1 THEN
        _found := _ids;
        CONTINUE;
      END IF;
      IF _pass = 2 THEN
        SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(round), '{}'), coalesce(array_agg(place), '{}') INTO _found, _rounds, _places
        FROM unnest(_found, _rounds, _places) AS head (id, round, place) WHERE place <> _place;
      END IF;
      _found := _found || _ids;
      _rounds := _rounds || ARRAY(SELECT generate_subscripts(_ids, 1));
      _places := _places || array_fill(_place, ARRAY[cardinality(_ids)]);
      IF cardinality(_ids) = _share THEN _full := _full || _queue; END IF;
    END LOOP;
    EXIT WHEN cardinality(_found) >= _most OR _share >= _most OR cardinality(_full) = 0;
    _share := _most;
  END LOOP;
  IF cardinality(_queues) = 1 AND cardinality(_found) > 0 THEN
    _picked := _found;
    _served := _queues[1];
  ELSIF cardinality(_found) > 0 THEN
    SELECT array_agg(id ORDER BY round, place), (array_agg(_queues[place] ORDER BY round DESC, place DESC))[1] INTO _picked, _served
    FROM (SELECT * FROM unnest(_found, _rounds, _places) AS head (id, round, place) ORDER BY round, place LIMIT _most) AS head;
  END IF;
  IF _dear <> '{}' OR _bounds <> '{}' THEN
    _until := ${clock} + least(${restShare} * (${clock} - _begun), ${restMaxMs});
    ${setBounds}
  END IF;
END
$$`
}
