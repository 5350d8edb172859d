// The crash points of a test build, which `points.ts` copies into it as `crash-point.js` and calls from patched files. Armed by
// JOBMACHINE_CRASH_AT, such as "inside running succeed succeeded": the process dies by SIGKILL at the point named when a job takes the edge
// named. Before that it writes down which jobs are concerned, into the file that JOBMACHINE_CRASH_NOTE names.
//
//   before     the edge's first row is about to be written
//   halfway    some of its rows are written and some are not
//   inside     all of the transaction is written, the COMMIT is not
//   committed  after the COMMIT, before anyone is told
//   effect     the handler's effect is done, its outcome not reported
import { appendFileSync } from 'node:fs'
import { findEdge } from './machines/edges.js'

const [point, ...words] = (process.env.JOBMACHINE_CRASH_AT ?? '').split(' ')
const armed = words.join(' ')
/** Jobs that take the armed edge in the current transaction. */
let doomed = []
let factsOf

/** A transaction begins. */
export function begin() {
  doomed = []
}

/** Dies here, if this point is armed and the transaction takes the armed edge. */
export function reach(here) {
  if (here === point && doomed.length > 0) die()
}

/** The stored jobs of `runs` are about to take `events`, one after another. */
export function foreseeMove(db, events, runs, crashed) {
  if (armed === '') return
  factsOf ??= db.prepare(
    'SELECT id, state, seq, attempt, max_attempts AS maxAttempts, crashes, run_at AS runAt FROM jobs WHERE id = ?',
  )
  for (const { firstJobId, length, jobOffsets } of runs) {
    const offsets = jobOffsets === null ? Array.from({ length }, (_, place) => place) : JSON.parse(jobOffsets)
    for (const offset of offsets) {
      const { id, ...job } = factsOf.get(firstJobId + offset)
      let { state, seq } = job
      for (const type of events) {
        const edge = findEdge(state, { type, crashed, blocked: false, delayed: job.runAt > Date.now() }, job)
        if (!edge) break
        seq++
        if (nameOf(edge) === armed) doomed.push({ id, seq })
        state = edge.to
      }
    }
  }
}

/** New jobs are about to be stored. */
export function foreseeIntake(admitted) {
  for (const { job, answers } of admitted) {
    if (armed === `new enqueue ${answers[0].state}`) doomed.push({ key: job.idempotency.key })
  }
}

/** A job is about to be removed. */
export function foreseeRemoval(id, state) {
  if (armed === `${state} retention`) doomed.push({ id })
}

/** The schema is about to be migrated to its newest version. */
export function foreseeMigration() {
  if (armed === 'migration') doomed.push({})
}

/** One step of the schema; at `halfway` some of its tables exist. */
export function migrate(db, sql) {
  const middle = sql.indexOf('CREATE', sql.length / 2)
  db.exec(sql.slice(0, middle))
  reach('halfway')
  db.exec(sql.slice(middle))
}

/** A handler has ended, and its outcome, `event`, is about to be reported. */
export function ended(job, event) {
  if (point !== 'effect' || !event) return
  const attempt = job.attempt + 1
  if (nameOf(findEdge('running', { type: event.event }, { ...job, attempt, crashes: 0 })) !== armed) return
  doomed = [{ id: job.id, attempt }]
  die()
}

function nameOf(edge) {
  return edge && `${edge.from} ${edge.event} ${edge.to}`
}

function die() {
  appendFileSync(
    process.env.JOBMACHINE_CRASH_NOTE,
    `${JSON.stringify({ point, edge: armed, pid: process.pid, jobs: doomed })}\n`,
  )
  process.kill(process.pid, 'SIGKILL')
  // Whichever thread this is, it does nothing more.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
