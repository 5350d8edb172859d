import { z } from 'zod'
import { defaultMaxRetries, defaults } from '../../../src/config.ts'
import { callerFields, reasonMax } from '../../../src/job/cause.ts'
import { fields, fieldsNamed, snakeCase } from '../../../src/job/fields.ts'
import { payloadDepthMax } from '../../../src/job/payload.ts'
import { edgesOn } from '../../../src/machines/edges.ts'
import type { GuardName } from '../../../src/machines/job.ts'
import { conditionOf } from '../../../src/persistence/sql/transitions.ts'

/** What a column of the view is held to, and the sentence that refuses it. Null is what is left out. */
interface Check {
  readonly when: string
  readonly says: string
}

/** Fields that the view does not have. */
const notInSql = ['unique', 'replace_dead']
const columns = [...fieldsNamed.snake_case.keys(), 'actor', 'reason'].filter((name) => !notInSql.includes(name))

/** The sentence with which every other front door refuses a value of that field. */
function refusalOf(field: keyof typeof fields): string {
  return `${snakeCase(field)} ${fields[field].takes.safeParse({}).error!.issues[0]!.message}`
}

function lengthMaxOf(schema: z.ZodType): number {
  const { pattern } = z.toJSONSchema(schema) as { pattern: string }
  return Number(/\{\d+,(\d+)\}\$$/.exec(pattern)![1])
}

const hasNul = (column: string) => `instr(CAST(NEW.${column} AS BLOB), x'00') > 0`

/** One character more than the first, which its pattern names apart. */
const nameLengthMax = lengthMaxOf(fields.type.takes) + 1
const name = (field: 'type' | 'queue'): Check => ({
  when: `NOT (typeof(NEW.${field}) = 'text' AND length(CAST(NEW.${field} AS BLOB)) = length(NEW.${field}) AND length(NEW.${field}) <= ${nameLengthMax}
      AND NEW.${field} GLOB '[A-Za-z0-9]*' AND NEW.${field} NOT GLOB '*[^A-Za-z0-9._:-]*')`,
  says: refusalOf(field),
})

/** Also as text or as a REAL, as some drivers bind every number. */
const wholeNumber = (field: 'priority' | 'maxRetries' | 'delayMs' | 'timeoutMs'): Check => {
  const { minimum, maximum } = z.toJSONSchema(fields[field].takes) as { minimum: number; maximum: number }
  const column = `NEW.${snakeCase(field)}`
  return {
    when: `NOT (CAST(${column} AS INTEGER) = ${column} AND CAST(${column} AS INTEGER) BETWEEN ${minimum} AND ${maximum})`,
    says: refusalOf(field),
  }
}

const printable = (column: string, max: number): Check => ({
  when: `NOT (typeof(NEW.${column}) = 'text' AND length(NEW.${column}) BETWEEN 1 AND ${max})
      OR NEW.${column} GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*' OR ${hasNul(column)}`,
  says: `${column} must be 1 to ${max} printable characters`,
})

const instantMax = Date.UTC(9999, 11, 31, 23, 59, 59, 999)
const digits = (count: number) => '[0-9]'.repeat(count)
const isInstantText = `NEW.run_at GLOB '${digits(4)}-${digits(2)}-${digits(2)}[T ]${digits(2)}:${digits(2)}*'
        AND (NEW.run_at GLOB '*[Zz]' OR NEW.run_at GLOB '*[+-]${digits(2)}:${digits(2)}')`
const msOf = (instant: string) => `CAST(round((julianday(${instant}) - 2440587.5) * 86400000) AS INTEGER)`
/** As epoch ms, once it was checked. */
const runAt = `iif(NEW.run_at GLOB '????-*', ${msOf('NEW.run_at')}, CAST(NEW.run_at AS INTEGER))`
const delayMs = 'CAST(NEW.delay_ms AS INTEGER)'

const checks: Readonly<Record<string, readonly Check[]>> = {
  type: [{ when: 'NEW.type IS NULL', says: 'type is required' }, name('type')],
  payload: [
    { when: 'NEW.payload IS NULL', says: "payload is required; JSON null is the text ''null''" },
    {
      when: `typeof(NEW.payload) <> 'text' OR ${hasNul('payload')} OR NOT json_valid(NEW.payload)`,
      says: 'payload must be JSON as text',
    },
    {
      when: `length(CAST(json(NEW.payload) AS BLOB)) > ${defaults.maxPayloadBytes}`,
      says: `payload must have at most ${defaults.maxPayloadBytes} bytes as JSON`,
    },
    {
      when: `(SELECT count(*) FROM json_tree(NEW.payload)) > ${defaults.maxPayloadValues} + 1`,
      says: `payload must have at most ${defaults.maxPayloadValues} members and elements`,
    },
    {
      when: `EXISTS (SELECT 1 FROM json_tree(NEW.payload) WHERE (type = 'integer' OR type = 'real') AND atom NOT BETWEEN -${Number.MAX_VALUE} AND ${Number.MAX_VALUE})`,
      says: 'payload has a number that a double cannot hold',
    },
    {
      when: `(WITH RECURSIVE nested (value, depth) AS (
        SELECT NEW.payload, iif(json_type(NEW.payload) = 'array' OR json_type(NEW.payload) = 'object', 1, 0) UNION ALL
        SELECT member.value, depth + 1 FROM nested, json_each(nested.value) AS member
        WHERE (member.type = 'array' OR member.type = 'object') AND depth BETWEEN 1 AND ${payloadDepthMax}
      ) SELECT max(depth) FROM nested) > ${payloadDepthMax}`,
      says: `payload must be at most ${payloadDepthMax} levels deep`,
    },
  ],
  queue: [name('queue')],
  priority: [wholeNumber('priority')],
  max_retries: [wholeNumber('maxRetries')],
  idempotency_key: [printable('idempotency_key', lengthMaxOf(fields.idempotencyKey.takes))],
  delay_ms: [
    wholeNumber('delayMs'),
    { when: 'NEW.run_at IS NOT NULL', says: 'set either run_at or delay_ms, not both' },
  ],
  timeout_ms: [wholeNumber('timeoutMs')],
  run_at: [
    {
      when: `NOT iif(${isInstantText},
        julianday(NEW.run_at) IS NOT NULL AND date(substr(NEW.run_at, 1, 10), '+0 days') = substr(NEW.run_at, 1, 10),
        CAST(NEW.run_at AS INTEGER) = NEW.run_at AND abs(CAST(NEW.run_at AS INTEGER)) <= ${instantMax})`,
      says: 'run_at must be epoch ms, or RFC 3339 text with an offset, such as 2030-01-31T09:30:00Z, to the year 9999',
    },
  ],
  actor: [printable('actor', lengthMaxOf(callerFields.actor))],
  reason: [
    {
      when: `NOT (typeof(NEW.reason) = 'text' AND length(NEW.reason) BETWEEN 1 AND ${reasonMax}) OR ${hasNul('reason')}`,
      says: `reason must be 1 to ${reasonMax} characters`,
    },
  ],
}

const required = new Set(['type', 'payload'])
const refusals = columns.flatMap((column) =>
  checks[column]!.map(({ when, says }) => {
    const asked = required.has(column) ? when : `NEW.${column} IS NOT NULL AND (${when})`
    return `WHEN ${asked} THEN RAISE(ABORT, 'jobmachine: ${says}')`
  }),
)

const { unset: defaultQueue } = fields.queue.stored
const { unset: defaultPriority } = fields.priority.stored
const queue = `coalesce(NEW.queue, '${defaultQueue}')`
const priority = `coalesce(CAST(NEW.priority AS INTEGER), ${defaultPriority})`
const maxAttempts = `coalesce(CAST(NEW.max_retries AS INTEGER), ${defaultMaxRetries}) + 1`
const timeoutMs = 'CAST(NEW.timeout_ms AS INTEGER)'
/** What a request with the same key must share besides what the job's columns say. */
const content = `'sql ' || coalesce(${runAt}, '') || ' ' || coalesce(${delayMs}, '')`

/** What a job was when it was enqueued: it may have been changed since. */
const asEnqueued = (column: string) => `coalesce((SELECT earlier.${column} FROM job_versions AS earlier
        WHERE earlier.job_id = jobs.id AND earlier.${column} IS NOT NULL ORDER BY earlier.seq LIMIT 1), ${column})`

const newestEvent = '(SELECT id FROM event_runs ORDER BY id DESC LIMIT 1)'
const now = msOf("'now'")
const runAtAfter = (instant: string) => `max(${instant}, coalesce(${runAt}, ${instant} + ${delayMs}, ${instant}))`
const guards: Partial<Record<GuardName, string>> = { runAtLiesAhead: 'run_at > now' }
// What an INSERT stores never waits for another job.
const free = edgesOn('enqueue').flatMap(({ conditions, ...edge }) =>
  conditions.some(({ guard, holds }) => guard === 'isBlocked' && holds)
    ? []
    : [{ ...edge, conditions: conditions.filter(({ guard }) => guard !== 'isBlocked') }],
)
const states = free.map(
  (edge) => `WHEN ${conditionOf(edge, { state: '' }, (guard: GuardName) => guards[guard]!)} THEN '${edge.to}'`,
)

/** The view through which any SQL client enqueues: nothing to read, and an INSERT that writes all that a job consists of. */
export const newJobsView = `
  CREATE VIEW new_jobs (${columns.join(', ')}) AS SELECT ${columns.map(() => 'NULL').join(', ')} WHERE 0;

  -- An OR IGNORE or OR REPLACE of the INSERT would hold in here too: nothing that is written may conflict.
  CREATE TRIGGER new_jobs_are_enqueued INSTEAD OF INSERT ON new_jobs
  BEGIN
    SELECT CASE
      ${refusals.join('\n      ')}
    END;

    SELECT iif(type = NEW.type AND queue = ${queue} AND ${asEnqueued('priority')} = ${priority} AND ${asEnqueued('max_attempts')} = ${maxAttempts}
        AND timeout_ms IS ${timeoutMs} AND ${asEnqueued('payload')} = json(NEW.payload) AND content = ${content},
      RAISE(IGNORE), RAISE(ABORT, 'jobmachine: idempotency_key was used before, with other content; send the same again, or use another key'))
    FROM jobs LEFT JOIN job_payloads ON job_id = id WHERE idempotency_key = NEW.idempotency_key;

    INSERT INTO event_runs (id, first_job_id, seq, event, to_state, attempt, at, cause)
    SELECT max(coalesce((SELECT id + length FROM event_runs ORDER BY id DESC LIMIT 1), 1),
        coalesce((SELECT json_extract(value, '$[#-1].firstTransition') FROM meta WHERE name = 'epochs'), 1)),
      -- SQLite writes sqlite_sequence when a statement ends: of several rows, the ones before are seen in jobs.
      max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), 0), coalesce((SELECT max(id) FROM jobs), 0)) + 1,
      1, 'enqueue', CASE ${states.join(' ')} END, 0, now,
      json_patch('{"cause":"sql"}', json_object('actor', NEW.actor, 'reason', NEW.reason))
    FROM (SELECT now, ${runAtAfter('now')} AS run_at FROM (SELECT ${now} AS now));

    INSERT INTO jobs (id, type, queue, state, seq, priority, attempt, max_attempts, run_at, timeout_ms, created_at,
      idempotency_key, content, last_event_id)
    SELECT first_job_id, NEW.type, ${queue}, to_state, 1, ${priority}, 0, ${maxAttempts}, ${runAtAfter('at')},
      ${timeoutMs}, at, NEW.idempotency_key, iif(NEW.idempotency_key IS NULL, NULL, ${content}), id
    FROM event_runs WHERE id = ${newestEvent};

    INSERT INTO job_payloads (job_id, payload)
    SELECT first_job_id, json(NEW.payload) FROM event_runs WHERE id = ${newestEvent};

    INSERT INTO edge_counts (from_state, event, to_state, n)
    SELECT 'new', 'enqueue', to_state, 0 FROM event_runs WHERE id = ${newestEvent}
      AND NOT EXISTS (SELECT 1 FROM edge_counts AS kept
        WHERE kept.from_state = 'new' AND kept.event = 'enqueue' AND kept.to_state = event_runs.to_state);
    UPDATE edge_counts SET n = n + 1
    WHERE from_state = 'new' AND event = 'enqueue' AND to_state = (SELECT to_state FROM event_runs WHERE id = ${newestEvent});
  END;
`
