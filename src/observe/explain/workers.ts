import type { Facts, ServerFacts, WorkerHolder } from './facts.ts'
import type { Obstacle } from './obstacle.ts'
import { ago, duration, number, sayTurns } from './text.ts'

/** How long the same jobs hold all workers before it is they, and not the line, that a job waits for, in ms. */
const heldLongMs = 60_000
/** Holders that an explanation lists. */
const listedMax = 10

/** Handlers that were told to stop, but are still running. */
export function ignoring(server: ServerFacts | null): readonly WorkerHolder[] {
  return server?.holders.filter(({ abortedAt }) => abortedAt !== null) ?? []
}

/** Whether every worker has been held, for long, by a job that started before this one was ready: nothing has started since. */
export function isHeldLong({ jobFacts: { lastEvent }, server, now }: Facts): boolean {
  if (!server || server.holders.length === 0 || server.holders.length < server.slots) return false
  return server.holders.every(({ since }) => since <= Math.min(lastEvent.at, now - heldLongMs))
}

/** Whether a job waits for those that hold the workers rather than for its turn. */
export function holdersFirst(facts: Facts): boolean {
  return ignoring(facts.server).length > 0 || isHeldLong(facts)
}

/** Says that no worker is free, and who occupies them. */
export function busyWorkers(facts: Facts): Obstacle[] {
  const { server } = facts
  const { line } = facts.jobFacts
  if (!server || server.busy < server.slots) return []
  const others = facts.jobFacts.handledByOthers ?? 0
  const elsewhere =
    others === 0 ? '' : `, on this node; ${others === 1 ? 'another runs' : `${number(others)} others run`} its type too`
  const place = line && line.ahead.count === 0 ? `, and it is first in line${sayTurns(line.queues)}` : ''
  return [{ code: 'no_free_worker', message: `${sayBusy(facts, server)}${elsewhere}${place}`, until: null }]
}

/** The holders: first those that ignore their signal, then those that have run longest. */
export function listHolders({ holders }: ServerFacts): readonly WorkerHolder[] {
  const rank = ({ abortedAt, since }: WorkerHolder) => (abortedAt === null ? since : Number.NEGATIVE_INFINITY)
  return [...holders].sort((a, b) => rank(a) - rank(b)).slice(0, listedMax)
}

function sayBusy(facts: Facts, server: ServerFacts): string {
  const told = ignoring(server)
  if (told.length > 0) return sayIgnoring(told, server, facts.now)
  const [longest] = listHolders(server)
  const isOnly = server.slots === 1
  if (!longest) return busyAll(server)
  if (!isHeldLong(facts)) {
    return `${busyAll(server)} (${isOnly ? '' : 'the longest: '}${sayJob(longest)}, for ${heldFor(longest, facts.now)})`
  }
  if (isOnly) return `the only worker has been held by ${sayJob(longest)} for ${heldFor(longest, facts.now)}`
  const shortest = server.holders.reduce((last, each) => (each.since > last.since ? each : last))
  return `all ${number(server.slots)} workers have been held by the same jobs for ${heldFor(shortest, facts.now)} or longer (the longest: ${sayJob(longest)}, for ${heldFor(longest, facts.now)})`
}

function busyAll({ slots }: ServerFacts): string {
  return slots === 1 ? 'the only worker is busy' : `all ${number(slots)} workers are busy`
}

/** How many, and the one that has ignored it for the longest time; `workers` lists the others. */
function sayIgnoring(told: readonly WorkerHolder[], server: ServerFacts, now: number): string {
  const first = told.reduce((oldest, each) => (each.abortedAt! < oldest.abortedAt! ? each : oldest))
  const which = `(${told.length > 1 ? 'the first: ' : ''}${sayJob(first)}, told to stop ${ago(first.abortedAt!, now)})`
  if (server.slots === 1) return `the only worker is held by a handler that ignores its signal ${which}`
  const handlers = told.length === 1 ? 'a handler that ignores its signal' : 'handlers that ignore their signal'
  if (told.length === server.slots) return `all ${number(server.slots)} workers are held by ${handlers} ${which}`
  return `${busyAll(server)}, ${number(told.length)} of them with ${handlers} ${which}`
}

function heldFor({ since }: WorkerHolder, now: number): string {
  return duration(Math.max(now - since, 0))
}

function sayJob({ jobId, type }: Pick<WorkerHolder, 'jobId' | 'type'>): string {
  return `job ${jobId} of type ${type}`
}
