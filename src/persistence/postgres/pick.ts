import { claimOrder, orderBy } from '../sql/claim-order.ts'
import { isReady, parkedAs } from '../sql/conditions.ts'
import { isMovedLater } from './event-order.ts'
import { isLeasable } from './readable.ts'

/** Jobs without a handler anywhere, or that cannot be read, that one claim sets aside, of each queue. */
const setAsideMax = 200

const atHead = (columns: string, and: string, limit: string) =>
  `SELECT ${columns} FROM jobs WHERE ${isReady} AND queue = _queue AND NOT ${isMovedLater} ${and} ORDER BY ${orderBy(claimOrder)} LIMIT ${limit} FOR UPDATE SKIP LOCKED`

const headOf = (and: string) =>
  `SELECT array_agg(id), coalesce(bool_and(type = ANY (_types) AND leasable), true) INTO _ids, _known FROM (${atHead(`id, type, ${isLeasable} AS leasable`, and, '_share')}) AS head;`

/** So that no claim meets them again; the answer says how many of each type, and under no type the ids of those that cannot be read. */
const setAside = `WITH head AS MATERIALIZED (${atHead(`id, type, ${isLeasable} AS leasable`, '', String(setAsideMax))}), aside AS (
          UPDATE jobs SET parked = ${parkedAs.unhandled} FROM head WHERE jobs.id = head.id AND (NOT head.leasable
            OR NOT EXISTS (SELECT 1 FROM nodes WHERE ended_at IS NULL AND head.type = ANY (nodes.types))) RETURNING jobs.id, jobs.type, head.leasable
        )
        SELECT jsonb_object_agg(type, told) INTO _more FROM (
          SELECT type, to_jsonb(count(*)) AS told FROM aside WHERE leasable GROUP BY type
          UNION ALL SELECT '', jsonb_agg(id) FROM aside WHERE NOT leasable HAVING count(*) > 0) AS counted;`

/**
 * Picks ready jobs and locks them: queues take turns from the one after `_served`, job by job while more than one has any; within one by
 * the order of claims. Jobs that another transaction has locked, or a later one has stored, are passed over. It visits no more queues than there is room.
 */
export function pickFunction(name: string): string {
  return `
CREATE FUNCTION ${name}(_most integer, _types text[], INOUT _served text, OUT _picked bigint[], OUT _aside jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _queues text[] := '{}'; _full text[] := '{}'; _queue text; _last text := _served; _wrapped boolean := false;
  _share integer; _ids bigint[]; _known boolean; _more jsonb; _place integer;
  _found bigint[] := '{}'; _rounds integer[] := '{}'; _places integer[] := '{}';
BEGIN
  _picked := '{}';
  WHILE cardinality(_queues) < _most LOOP
    SELECT queue INTO _queue FROM jobs WHERE ${isReady} AND queue > _last ORDER BY queue LIMIT 1;
    IF FOUND AND NOT (_wrapped AND _queue > _served) THEN
      _queues := _queues || _queue;
      _last := _queue;
    ELSE
      EXIT WHEN _wrapped;
      _wrapped := true;
      _last := '';
    END IF;
  END LOOP;
  IF cardinality(_queues) = 0 THEN RETURN; END IF;
  _share := (_most + cardinality(_queues) - 1) / cardinality(_queues);
  FOR _pass IN 1..2 LOOP
    FOREACH _queue IN ARRAY CASE _pass WHEN 1 THEN _queues ELSE _full END LOOP
      _place := array_position(_queues, _queue);
      ${headOf('')}
      IF NOT _known THEN
        ${setAside}
        IF _more IS NOT NULL THEN _aside := coalesce(_aside, '[]') || _more; END IF;
        ${headOf(`AND type = ANY (_types) AND ${isLeasable}`)}
      END IF;
      CONTINUE WHEN _ids IS NULL;
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
  IF cardinality(_found) = 0 THEN RETURN; END IF;
  IF cardinality(_queues) = 1 THEN
    _picked := _found;
    _served := _queues[1];
    RETURN;
  END IF;
  SELECT array_agg(id ORDER BY round, place), (array_agg(_queues[place] ORDER BY round DESC, place DESC))[1] INTO _picked, _served
  FROM (SELECT * FROM unnest(_found, _rounds, _places) AS head (id, round, place) ORDER BY round, place LIMIT _most) AS head;
END
$$`
}
