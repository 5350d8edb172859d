import type { Facts, ServerFacts, WorkerHolder } from './facts.ts'
import type { Obstacle } from './obstacle.ts'
import { ago, duration, number, sayTurns } from './text.ts'

/** Jobs that a sentence names. */
const namedMax = 3
/** Holders that an explanation lists. */
const listedMax = 10

/** Handlers that were told to stop, but are still running. */
export function ignoring(server: ServerFacts | null): readonly WorkerHolder[] {
  return server?.holders.filter(({ abortedAt }) => abortedAt !== null) ?? []
}

/** Says that no worker is free, and who occupies them. */
export function busyWorkers({ jobFacts: { line }, server, now }: Facts): Obstacle[] {
  if (!server || server.busy < server.slots) return []
  const place = line && line.ahead.count === 0 ? `, and it is first in line${sayTurns(line.queues)}` : ''
  return [{ code: 'no_free_worker', message: `${sayBusy(server, now)}${place}`, until: null }]
}

/** The holders: first those that ignore their signal, then those that have run longest. */
export function listHolders({ holders }: ServerFacts): readonly WorkerHolder[] {
  const rank = ({ abortedAt, since }: WorkerHolder) => (abortedAt === null ? since : Number.NEGATIVE_INFINITY)
  return [...holders].sort((a, b) => rank(a) - rank(b)).slice(0, listedMax)
}

function sayBusy(server: ServerFacts, now: number): string {
  const busy = server.slots === 1 ? 'the only worker is busy' : `all ${number(server.slots)} workers are busy`
  const told = ignoring(server)
  const others = server.holders.filter(({ abortedAt }) => abortedAt === null)
  const parts = [...sayIgnoring(told, server, now), ...sayRunning(others, told.length > 0, now)]
  return parts.length > 0 ? `${busy} (${parts.join('; ')})` : busy
}

function sayIgnoring(told: readonly WorkerHolder[], { slots }: ServerFacts, now: number): string[] {
  if (told.length === 0) return []
  const named = told
    .slice(0, namedMax)
    .map((holder) => `${sayJob(holder)}, told to stop ${ago(holder.abortedAt!, now)}`)
  const rest = told.length > namedMax ? [`${number(told.length - namedMax)} more`] : []
  const who =
    slots === 1
      ? 'its handler ignores its signal'
      : `${sayCount(told.length, slots)} by handlers that ignore their signal`
  return [`${who}: ${[...named, ...rest].join(', ')}`]
}

function sayCount(count: number, slots: number): string {
  return count === slots ? 'all held' : `${number(count)} held`
}

/** The one that has run longest, and the first that is told to stop. */
function sayRunning(running: readonly WorkerHolder[], areOthers: boolean, now: number): string[] {
  const [longest] = [...running].sort((a, b) => a.since - b.since)
  if (!longest) return []
  const rest = areOthers ? 'the longest of the others is ' : 'the longest is '
  const whose = running.length > 1 ? rest : areOthers ? 'the other is ' : ''
  const told = `${whose}${sayJob(longest)}, for ${duration(Math.max(now - longest.since, 0))}`
  const next = running.filter(({ until }) => until !== null).sort((a, b) => a.until! - b.until!)[0]
  if (!next) return [told]
  const who = next === longest ? 'it' : sayJob(next)
  const stops = next.until! > now ? 'is told to stop' : 'was to be told to stop'
  const when = next.until! > now ? `in ${duration(next.until! - now)} at the latest` : ago(next.until!, now)
  return [told, `${who} ${stops} ${when}`]
}

function sayJob({ jobId, type }: WorkerHolder): string {
  return `job ${jobId} of type ${type}`
}
