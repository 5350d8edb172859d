import { eventsFrom, hasTag } from '../../machines/edges.ts'
import { isCommand } from '../../machines/events.ts'
import { adviceAfterEnd } from './ended-advice.ts'
import { type Facts, nearestType } from './facts.ts'
import { isOver } from './leased.ts'
import type { Obstacle, ObstacleCode } from './obstacle.ts'
import { endedWithSnooze } from './snoozing.ts'
import { duration, sayInstant } from './text.ts'
import { ignoring } from './workers.ts'

/** A delay longer than this is taken for a mistake of units, in ms. */
const farMs = 366 * 86_400_000

/** What to do about a job: one line, and right for its case. */
export function adviceFor(facts: Facts, obstacles: readonly Obstacle[]): string {
  const { fault, job } = facts.jobFacts
  const { state } = job
  if (fault !== null) return mendFile
  if (hasTag(state, 'ended')) return adviceAfterEnd(facts)
  const codes = new Set(obstacles.map(({ code }) => code))
  // In this order: nothing later helps while an earlier one stands.
  for (const code of adviceOrder) if (codes.has(code)) return advices[code]!(facts)
  return 'Nothing: it runs as soon as it is claimed, which takes milliseconds.'
}

const mendFile =
  'Run `jobmachine verify`, then repair the row or restore a backup. If only the payload is lost, enqueue the job again.'

const advices: Readonly<Partial<Record<ObstacleCode, (facts: Facts) => string>>> = {
  storage_trouble: mendStorage,
  not_serving: () =>
    'Start a server on the file again; if it failed, its log says why. The job is on disk and is not lost.',
  not_started: () => 'Start this server (`start()`): until then nothing runs.',
  recovering: () => 'Wait until the recovery has finished; the job then continues.',
  draining: () => 'Start a server again when this one has stopped: the job is on disk and waits for it.',
  holder_gone: () => 'Start a server on the file: its recovery puts the job back in line at once.',
  not_due: waitForTime,
  no_handler: findHandler,
  put_aside: () => 'Wait: it is back in line in a moment.',
  suspect_alone: waitForSuspects,
  behind_suspects: waitForSuspects,
  attempt_running: whileRunning,
  outcome_pending: () => 'Wait: its outcome is stored in a moment.',
  no_free_worker: freeWorkers,
  behind_others: waitInLine,
  server_elsewhere: askServer,
  needs_event: ({ jobFacts: { job } }) =>
    `Send what it waits for: ${eventsFrom(job.state)
      .filter((event) => isCommand(event))
      .join(' or ')}.`,
}

const adviceOrder: readonly ObstacleCode[] = [
  'storage_trouble',
  'not_serving',
  'holder_gone',
  'not_started',
  'recovering',
  'no_handler',
  'draining',
  'not_due',
  'put_aside',
  'suspect_alone',
  'behind_suspects',
  'attempt_running',
  'outcome_pending',
  'no_free_worker',
  'behind_others',
  'server_elsewhere',
  'needs_event',
]

function mendStorage(facts: Facts): string {
  const trouble = facts.server?.trouble ?? ''
  const what = /full/.test(trouble)
    ? 'Free space on the disk that holds the database'
    : /lock/.test(trouble)
      ? 'End the other program that holds a lock on the database (a SQLite shell, a backup, a script; `fuser` on the file names it)'
      : 'Repair the storage as the message says'
  const stay = isOver(facts)
    ? 'Do not restart the server before that, because the outcome of the attempt is only in memory'
    : 'Nothing is lost, and everything then continues by itself'
  return `${what}. ${stay}; requeuing or cancelling does not help.`
}

function findHandler(facts: Facts): string {
  const { job } = facts.jobFacts
  const meant = nearestType(facts)
  const type = JSON.stringify(job.type)
  if (meant !== null) {
    return `If ${JSON.stringify(meant)} was meant, cancel it and enqueue it again with that type: the type of a job cannot be changed. Otherwise start a server with a handler for ${type}.`
  }
  return `Start a server with a handler for ${type}; the job then runs by itself. If there will be no such handler, cancel it.`
}

function waitForTime(facts: Facts): string {
  const { job, lastEvent, snoozes } = facts.jobFacts
  const waitMs = job.runAt - facts.now
  const sooner = 'to run it now, cancel and then requeue it'
  if (lastEvent.event === 'snooze') {
    const since =
      snoozes.count > 2 && snoozes.since !== null ? ` (so far for ${duration(facts.now - snoozes.since)})` : ''
    return `Provide what its handler is waiting for, or wait: it checks again ${sayInstant(job.runAt, facts.now)}. Snoozes do not count as attempts, so it continues forever if that never comes${since}; in that case cancel it.`
  }
  if (job.attempt > 0 || job.crashes > 0) {
    return `Wait if the cause of the failure is temporary: it is tried again ${sayInstant(job.runAt, facts.now)}. Otherwise correct the cause first; ${sooner}, with all its attempts.`
  }
  if (waitMs > farMs) {
    return `If ${duration(waitMs)} is not what you meant, cancel it and enqueue it again: a delay is in ms, and an instant is not a delay. A job's time cannot be changed; ${sooner}.`
  }
  return `Nothing: it runs by itself at that time; ${sooner}.`
}

function waitForSuspects({ jobFacts: { exclusive, isSuspect } }: Facts): string {
  const whose = exclusive ? `that of job ${exclusive.id}` : 'that of the job which ran'
  const wait = isSuspect ? 'its turn will come' : 'it continues by itself when they have ended'
  return `Wait: ${wait}. Look into why the process ended (its log and exit code) and correct the handler that ends it: ${whose}, most likely.`
}

function whileRunning(facts: Facts): string {
  if (facts.attempt?.aborted) {
    return 'Correct its handler so that it ends when its signal fires (pass `signal` on to the calls that it awaits). Restart the server if it never ends: until then it occupies a worker.'
  }
  if (!facts.server)
    return facts.isAbandoned ? 'Start its server again: the process that ran it has probably ended.' : askServer(facts)
  if (facts.server.phase === 'draining') return 'Wait: if it is not done in time, the next server runs it again.'
  const snoozing = endedWithSnooze(facts) ? ' It may be snoozed again.' : ''
  return `Wait until it is done; to stop it, cancel it, which fires its handler's signal.${snoozing}`
}

function freeWorkers(facts: Facts): string {
  const held = ignoring(facts.server)
  if (held.length > 0) {
    const types = [...new Set(held.map(({ type }) => type))].join(', ')
    const ids = held.length === 1 ? 'that job' : 'those jobs'
    return `Restart the server to free the workers, and correct the handler of ${types}: it must end when its signal fires. Cancelling ${ids} frees no worker, and requeuing this one does not help.`
  }
  if (facts.jobFacts.line && facts.jobFacts.line.ahead.count > 0) return waitInLine(facts)
  return 'Wait: it runs next when a worker is free. If all are often busy, raise WORKER_COUNT (`workers` in the library) or make the handlers faster.'
}

function waitInLine({ jobFacts: { line, job } }: Facts): string {
  if (line && line.higher.count > 0) {
    return `If it must not wait that long, cancel it and enqueue it again with a priority above ${job.priority}, or in a separate queue (queues take turns); the priority of a job cannot be changed. If all workers are busy all the time, raise WORKER_COUNT (\`workers\`).`
  }
  return 'Wait: its turn will come. If the queue does not get shorter, raise WORKER_COUNT (`workers` in the library) or make the handlers faster.'
}

function askServer(facts: Facts): string {
  return facts.isLate
    ? 'Start its server again: nothing runs until one serves the file.'
    : 'Ask the process that serves the file (its dashboard, or its `explain`): it knows what its workers do. If there is none, start it.'
}
