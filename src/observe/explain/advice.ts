import { eventsFrom, hasTag } from '../../machines/edges.ts'
import { isCommand } from '../../machines/events.ts'
import { adviceOnDelay } from './delay.ts'
import { adviceAfterEnd } from './ended-advice.ts'
import { type Facts, nearestType, type ServerFacts, type WorkerHolder } from './facts.ts'
import { isHolderSilent, isOver } from './leased.ts'
import type { Obstacle, ObstacleCode } from './obstacle.ts'
import { endedWithSnooze } from './snoozing.ts'
import { duration, number, sayInstant } from './text.ts'
import { ignoring, isHeldLong, listHolders } from './workers.ts'

/** What to do about a job: one line, and right for its case. */
export function adviceFor(facts: Facts, obstacles: readonly Obstacle[]): string {
  const { fault, job } = facts.jobFacts
  const { state } = job
  if (fault !== null) return mendFile
  if (hasTag(state, 'ended')) return adviceAfterEnd(facts)
  const codes = new Set(obstacles.map(({ code }) => code))
  // In this order: nothing later helps while an earlier one stands.
  for (const code of adviceOrder) if (codes.has(code)) return advices[code]!(facts)
  return 'Wait: it runs as soon as it is claimed, which takes milliseconds.'
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
  holder_gone: () =>
    'Start a server on the file: its recovery puts the job back in line at once. The attempt was interrupted, so it may repeat what it has done.',
  unique_key_held: waitForKey,
  not_due: waitForTime,
  no_handler: findHandler,
  put_aside: () => 'Wait: it is back in line in a moment.',
  suspect_alone: waitForSuspects,
  behind_suspects: waitForSuspects,
  attempt_running: whileRunning,
  outcome_pending: () => 'Wait: its outcome is stored in a moment.',
  no_free_worker: freeWorkers,
  behind_others: waitInLine,
  node_elsewhere: () => 'Wait for the other node; its own page of the job knows more.',
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
  'unique_key_held',
  'not_due',
  'put_aside',
  'suspect_alone',
  'behind_suspects',
  'attempt_running',
  'outcome_pending',
  'no_free_worker',
  'behind_others',
  'node_elsewhere',
  'server_elsewhere',
  'needs_event',
]

function mendStorage(facts: Facts): string {
  const stay = isOver(facts)
    ? 'Do not restart the server before that: the outcome of the attempt is only in memory, so the job would run again and might repeat its effect. Requeuing or cancelling does not help.'
    : 'Nothing is lost, and everything then continues by itself; requeuing or cancelling does not help.'
  return `${mendTrouble(facts.server!)}. ${stay}`
}

function mendTrouble({ trouble, file }: ServerFacts): string {
  const named = file === null || /^[\w./-]+$/.test(file) ? file : JSON.stringify(file)
  const where = named === null ? '' : ` ${named}`
  if (trouble!.cause === 'full') return `Free space on the disk that holds the database${where}`
  if (trouble!.cause === null && file === null)
    return 'Make the database server reachable and writable again; the message says what fails'
  if (trouble!.cause === null) return `Repair the storage of the database${where} as the message says`
  const who = named === null ? '' : `: \`fuser ${named}\` names it, besides this server, which must go on`
  return `End the other program that holds a lock on the database (a SQLite shell, a script), or let it finish if it is a backup${who}`
}

function findHandler(facts: Facts): string {
  const { job } = facts.jobFacts
  const meant = nearestType(facts)
  const type = JSON.stringify(job.type)
  if (meant !== null) {
    return `If ${JSON.stringify(meant)} was meant, correct the program that enqueues it; then cancel this job and enqueue it again with that type: the type of a job cannot be changed. Otherwise start a server with a handler for ${type}.`
  }
  return `Start a server with a handler for ${type}; the job then runs by itself. If there will be no such handler, cancel it, and correct the program that enqueues it.`
}

function waitForKey({ jobFacts: { uniqueKey } }: Facts): string {
  return `Wait: it runs by itself when job ${uniqueKey!.holder!.id} has ended. If that will not end, its own page says why; cancel that job to let this one run.`
}

function waitForTime(facts: Facts): string {
  const { job, lastEvent } = facts.jobFacts
  if (lastEvent.event === 'snooze') {
    return `Provide what its handler waits for, or wait: it checks again ${sayInstant(job.runAt, facts.now)}. ${sooner('it check')} If that will never come, cancel it: snoozes do not count as attempts, so they never run out.`
  }
  if (job.attempt > 0 || job.crashes > 0) {
    return `Wait if the cause of the failure is temporary: it is tried again ${sayInstant(job.runAt, facts.now)}. Otherwise correct the cause first. ${sooner('it run')} It continues with the attempts that are left.`
  }
  return adviceOnDelay(facts) ?? `Wait: it runs by itself at that time. ${sooner('it run')}`
}

function sooner(what: string): string {
  return `To let ${what} now, edit it: set \`run_at\` to the present (\`runAt\` in the library).`
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
  if (isHolderSilent(facts)) return 'Wait: if the node that runs it stays silent, another one runs it again by itself.'
  if (facts.server.phase === 'draining' && !facts.isElsewhere)
    return 'Wait: if it is not done in time, the next server runs it again.'
  const snoozing = endedWithSnooze(facts) ? ' It may be snoozed again.' : ''
  return `Wait until it is done. To stop it, cancel it, which fires its handler's signal; what it has done by then stays done.${snoozing}`
}

function freeWorkers(facts: Facts): string {
  const held = ignoring(facts.server)
  if (held.length > 0) return freeIgnoring(held, facts.server!.busy - held.length)
  const isInLine = (facts.jobFacts.line?.ahead.count ?? 0) > 0
  if (isHeldLong(facts)) return `${freeHeld(facts)}${isInLine ? ` ${waitInLine(facts)}` : ''}`
  if (isInLine) return waitInLine(facts)
  return 'Wait: it runs next when a worker is free. If all are often busy, raise WORKER_COUNT (`workers` in the library) or make the handlers faster.'
}

function freeIgnoring(held: readonly WorkerHolder[], others: number): string {
  const types = [...new Set(held.map(({ type }) => type))].join(', ')
  const ids = held.length === 1 ? 'that job' : 'those jobs'
  const interrupted =
    others === 0
      ? ''
      : ` A restart interrupts the other ${others === 1 ? 'job that runs: it runs' : `${number(others)} jobs that run: they run`} again, and may repeat what was done.`
  return `Restart the server to free the workers. Correct the handler of ${types} as well, or it holds them again: it must end when its signal fires.${interrupted} Cancelling ${ids} frees no worker, and requeuing this one does not help.`
}

function freeHeld(facts: Facts): string {
  const [longest] = listHolders(facts.server!)
  const { jobId, until } = longest!
  const end =
    until === null || until <= facts.now ? '' : `; otherwise it is told to stop in ${duration(until - facts.now)}`
  return `Look at job ${jobId} first: it may be hung. Cancelling it frees the worker if its handler heeds its signal${end}.`
}

function waitInLine({ jobFacts: { line } }: Facts): string {
  if (line && line.higher.count > 0) {
    return `To get this job ahead of those with a higher priority, edit it: give it a priority above ${line.highest}. Such jobs in a queue of their own delay it less, because queues take turns. More workers help too: WORKER_COUNT (\`workers\` in the library).`
  }
  return 'Wait: its turn will come. If the queue does not get shorter, raise WORKER_COUNT (`workers` in the library) or make the handlers faster.'
}

function askServer(facts: Facts): string {
  return facts.isLate
    ? 'Start its server again: nothing runs until one serves the file.'
    : 'Ask the process that serves the file (its dashboard, or its `explain`): it knows what its workers do. If there is none, start it.'
}
