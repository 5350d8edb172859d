import { edgesOn, hasTag } from '../../machines/edges.ts'
import { isCommand, waysOn } from '../../machines/events.ts'
import type { EventType } from '../../machines/job.ts'
import type { Counted, PlaceInLine } from '../../persistence/store.ts'
import { type Facts, nearestType } from './facts.ts'
import { obstaclesOfLease, running } from './leased.ts'
import type { Obstacle } from './obstacle.ts'
import { describeExclusive } from './suspicion.ts'
import { counted, number, sayInstant, sayOwner, sayTurns } from './text.ts'
import { busyWorkers, holdersFirst } from './workers.ts'

/** Types with a handler that a sentence names. */
const typesMax = 10

/** What prevents an event of a job now; empty if it can happen. Only for events that the machine allows in the state of the job. */
export function obstaclesTo(event: EventType, facts: Facts): Obstacle[] {
  if (isCommand(event)) return [...keyHeld(event, facts), ...draining(facts), ...uncommitted(facts)]
  switch (event) {
    case 'enqueue':
      return []
    case 'amend':
      return [...draining(facts), ...uncommitted(facts)]
    case 'unblock':
      return [...keyHeld(event, facts), ...uncommitted(facts)]
    case 'due':
      return [...notDue(facts), ...uncommitted(facts)]
    case 'lease':
      return [...unreadable(facts), ...unhandled(facts), ...suspects(facts), ...waiting(facts), ...notStarting(facts)]
    case 'start':
      return [...obstaclesOfLease(event, facts), ...notStarting(facts)]
    case 'succeed':
    case 'fail':
    case 'reject':
    case 'snooze':
    case 'release':
    case 'expire':
      return [...obstaclesOfLease(event, facts), ...uncommitted(facts)]
  }
}

/** What prevents the next run of a job. */
export function obstaclesToRun(facts: Facts): Obstacle[] {
  const { state } = facts.jobFacts.job
  if (hasTag(state, 'timed'))
    return [...unreadable(facts), ...notDue(facts), ...unhandled(facts), ...notStarting(facts)]
  if (hasTag(state, 'blocked')) return [...unreadable(facts), ...obstaclesTo('unblock', facts)]
  if (hasTag(state, 'ready')) return obstaclesTo('lease', facts)
  if (hasTag(state, 'executing')) return executing(facts)
  if (hasTag(state, 'held')) return obstaclesTo('start', facts)
  if (hasTag(state, 'ended')) return [...unreadable(facts), { code: 'ended', message: 'it has ended', until: null }]
  return [{ code: 'needs_event', message: `it stays ${state} until ${waysOn(state)}`, until: null }]
}

/** Another job holds its unique key, which it needs for what the event leads to. */
function keyHeld(event: EventType, { jobFacts: { job, uniqueKey } }: Facts): Obstacle[] {
  const needsKey = edgesOn(event).some(({ from, to }) => from === job.state && !hasTag(to, 'ended'))
  if (!needsKey || !uniqueKey?.holder) return []
  const { key, holder } = uniqueKey
  const message = `job ${holder.id}, which is ${holder.state}, holds its unique key ${JSON.stringify(key)}`
  return [{ code: 'unique_key_held', message, until: null }]
}

/** The file is damaged, or somebody has written into it. */
function unreadable({ jobFacts: { fault } }: Facts): Obstacle[] {
  if (fault === null) return []
  return [{ code: 'unreadable', message: `${fault}, so it is not run; jobmachine verify says more`, until: null }]
}

function executing(facts: Facts): Obstacle[] {
  const others = (facts.isOrphan ? notStarting : uncommitted)(facts)
  // What is wrong with the storage causes everything else.
  return facts.server?.trouble ? [...others, ...running(facts)] : [...running(facts), ...others]
}

function notDue({ jobFacts: { job }, now }: Facts): Obstacle[] {
  if (job.runAt <= now) return []
  return [{ code: 'not_due', message: `it is due ${sayInstant(job.runAt, now)}`, until: job.runAt }]
}

function unhandled(facts: Facts): Obstacle[] {
  const { server } = facts
  const { job, fault, isUnhandled } = facts.jobFacts
  const type = JSON.stringify(job.type)
  const others = facts.jobFacts.handledByOthers ?? 0
  if (server && !server.hasHandler && others > 0) {
    const which = others === 1 ? 'another node that lives has one' : `${number(others)} other nodes that live have one`
    const message = `this server has no handler for type ${type}, but ${which}`
    return [{ code: 'node_elsewhere', message, until: null }]
  }
  if (server && !server.hasHandler) {
    const meant = nearestType(facts)
    const known = meant === null ? sayTypes(server.types) : `, but it has one for ${JSON.stringify(meant)}`
    return [{ code: 'no_handler', message: `this server has no handler for type ${type}${known}`, until: null }]
  }
  if (!isUnhandled || fault !== null) return []
  const since = `it was set aside when no server had a handler for type ${type}`
  return server
    ? [{ code: 'put_aside', message: `${since}, and is being put back in line`, until: null }]
    : [{ code: 'no_handler', message: since, until: null }]
}

function sayTypes(types: readonly string[]): string {
  const named = types.slice(0, typesMax)
  if (types.length > typesMax) named.push(`${number(types.length - typesMax)} more`)
  return named.length > 0 ? `, only for ${named.join(', ')}` : ''
}

/** Jobs that run first and alone, because the process ended while they ran, more than once. */
function suspects({ jobFacts: { job, isSuspect, exclusive, suspectsAhead }, now }: Facts): Obstacle[] {
  const obstacles: Obstacle[] = []
  const said = exclusive && exclusive.id !== job.id ? describeExclusive(exclusive, now) : null
  if (exclusive && said) {
    obstacles.push({ code: 'suspect_alone', message: `job ${exclusive.id} ${said.clause}`, until: said.until })
  }
  if (suspectsAhead.count > 0) {
    const jobs = counted(suspectsAhead, isSuspect ? 'other job' : 'job')
    const message = `${jobs} ${goes(suspectsAhead)} before it, one at a time, because the process ended more than once while ${suspectsAhead.count === 1 ? 'it' : 'they'} ran`
    obstacles.push({ code: 'behind_suspects', message, until: null })
  }
  return obstacles
}

/** For its turn and for a worker: what holds it is named first. */
function waiting(facts: Facts): Obstacle[] {
  const [line, workers] = [inLine(facts), busyWorkers(facts)]
  return holdersFirst(facts) ? [...workers, ...line] : [...line, ...workers]
}

function inLine({ jobFacts: { job, line } }: Facts): Obstacle[] {
  if (!line || line.ahead.count === 0) return []
  const ahead = `${counted(line.ahead, 'job')} of queue ${JSON.stringify(job.queue)} ${goes(line.ahead)} before it`
  return [
    {
      code: 'behind_others',
      message: `${ahead}${overtaken(line)}${line.higher.count > 0 && line.queues.count > 1 ? ',' : ''}${sayTurns(line.queues)}`,
      until: null,
    },
  ]
}

/** How many of those before it have a higher priority: then waiting alone may not be enough. */
function overtaken({ ahead, higher, highest }: PlaceInLine): string {
  if (higher.count === 0) return ''
  const all = ahead.count === 1 && !ahead.more
  const which = all
    ? ''
    : higher.count === ahead.count
      ? 'all of them '
      : `${higher.more ? 'more than ' : ''}${number(higher.count)} of them `
  return `, ${which}by higher priority (up to ${highest}; later ones overtake it too)`
}

function goes({ count, more }: Counted): string {
  return count === 1 && !more ? 'goes' : 'go'
}

/** Why no job is leased or started. */
function notStarting(facts: Facts): Obstacle[] {
  const { server } = facts
  const notYet: Obstacle[] =
    server?.phase === 'created'
      ? [{ code: 'not_started', message: 'this server has not started', until: null }]
      : server?.phase === 'recovering'
        ? [
            {
              code: 'recovering',
              message: 'this server is recovering what a dead process left, before it runs anything',
              until: null,
            },
          ]
        : draining(facts)
  return [...notYet, ...uncommitted(facts)]
}

function draining({ server }: Facts): Obstacle[] {
  if (server?.phase !== 'draining') return []
  return [{ code: 'draining', message: 'this server is stopping', until: null }]
}

/** Why this process cannot write to the file. */
function uncommitted(facts: Facts): Obstacle[] {
  const { server } = facts
  if (!server) return [elsewhere(facts)]
  const isOver = server.phase === 'stopped' || server.phase === 'failed'
  return [
    ...(isOver ? [{ code: 'not_serving', message: `this server has ${server.phase}`, until: null } as const] : []),
    ...(server.trouble ? [{ code: 'storage_trouble', message: server.trouble.message, until: null } as const] : []),
  ]
}

function elsewhere(facts: Facts): Obstacle {
  const { newestOwner: owner } = facts.jobFacts
  const isAlive = facts.isLate ? 'has probably ended' : 'may still live'
  const who = owner
    ? `${sayOwner(owner)}, which began to serve the file at ${owner.startedAt}, ${isAlive}`
    : 'no server has served the file yet'
  return { code: 'server_elsewhere', message: `this process is not a server, and ${who}`, until: null }
}
