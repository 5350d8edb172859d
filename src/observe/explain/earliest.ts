import { edges, findEdge, hasTag } from '../../machines/edges.ts'
import { commands, waysOn } from '../../machines/events.ts'
import type { JobNode } from '../../machines/job.ts'
import type { Facts } from './facts.ts'
import { isOver } from './leased.ts'
import type { Obstacle, ObstacleCode } from './obstacle.ts'
import { sayInstant } from './text.ts'

/** When a job runs next, if nothing else intervenes. */
interface NextRun {
  /**
   * Epoch ms; null if nobody knows: someone must do something first, other jobs run before it, no worker is free, or it never runs again.
   */
  readonly at: number | null
  /** The same as an adverb: `now`, `as soon as a worker is free`, `never, unless someone requeues it`. */
  readonly when: string
  /** The same as a sentence; empty if it is already running. */
  readonly sentence: string
}

/** What must happen before a job runs; `byItself`: without anyone's help, and soon. */
const conditions: Readonly<Partial<Record<ObstacleCode, { readonly clause: string; readonly byItself: boolean }>>> = {
  unreadable: { clause: 'somebody has repaired its row', byItself: false },
  no_handler: { clause: 'a server with a handler for its type serves this database', byItself: false },
  not_started: { clause: 'this server starts', byItself: false },
  not_serving: { clause: 'a server serves this database again', byItself: false },
  draining: { clause: 'a server serves this database again', byItself: false },
  storage_trouble: { clause: 'the database can be written again', byItself: false },
  server_elsewhere: { clause: "the file's server reaches it", byItself: true },
  node_elsewhere: { clause: 'a node with a handler for its type reaches it', byItself: true },
  recovering: { clause: 'the server has recovered', byItself: true },
  holder_gone: { clause: 'the server has recovered', byItself: true },
  put_aside: { clause: 'it is back in line', byItself: true },
  unique_key_held: { clause: 'the job that holds its unique key has ended', byItself: true },
  behind_others: { clause: 'its turn comes', byItself: true },
  suspect_alone: { clause: 'no other job has to run alone', byItself: true },
  behind_suspects: { clause: 'no other job has to run alone', byItself: true },
  no_free_worker: { clause: 'a worker is free', byItself: true },
}

/** `obstacles`: those before its next run. */
export function nextRun(facts: Facts, obstacles: readonly Obstacle[]): NextRun {
  const { job } = facts.jobFacts
  if (hasTag(job.state, 'ended')) return never(job.state)
  if (isOver(facts)) {
    return { at: null, when: afterOutcome(facts), sentence: '' }
  }
  if (facts.isExecuting && !facts.isNext) {
    if (!facts.isOrphan && !facts.isAbandoned) return { at: facts.now, when: 'now: it is running', sentence: '' }
    const { to } = findEdge(job.state, { type: 'expire', crashed: true }, job)!
    if (hasTag(to, 'ended')) return never(to)
  }
  return waited(facts, obstacles)
}

/** Its attempt is over, but the outcome is not on disk. */
function afterOutcome({ outcome }: Facts): string {
  if (outcome === 'succeed') return 'never again: its handler has succeeded, which only has to be stored'
  return 'not before the outcome of its attempt is stored, and then only if it did not succeed'
}

function never(state: JobNode): NextRun {
  const leadsOn = edges.filter(({ from, to }) => from === state && !hasTag(to, 'ended')).map(({ event }) => event)
  const ways = commands.filter((event) => leadsOn.includes(event))
  const unless = ways.length > 0 ? `, unless someone ${ways.map((event) => `${event}s it`).join(' or ')}` : ''
  return { at: null, when: `never${unless}`, sentence: `It never runs again${unless}.` }
}

function waited({ jobFacts: { job }, now }: Facts, obstacles: readonly Obstacle[]): NextRun {
  const all = obstacles.flatMap(({ code }) =>
    code === 'needs_event' ? { clause: waysOn(job.state), byItself: false } : (conditions[code] ?? []),
  )
  const others = all.filter(({ byItself }) => !byItself)
  const clauses = new Intl.ListFormat('en-GB').format(
    new Set((others.length > 0 ? others : all).map(({ clause }) => clause)),
  )
  const dueAt = hasTag(job.state, 'timed') && job.runAt > now ? job.runAt : null
  const instant = dueAt === null ? null : sayInstant(dueAt, now)
  const when =
    others.length > 0
      ? `when ${clauses}${instant ? `, but not before it is due ${instant}` : ''}`
      : [instant ?? (clauses ? null : 'now'), clauses && `${instant ? 'once' : 'as soon as'} ${clauses}`]
          .filter(Boolean)
          .join(', ')
  const isClockAlone = others.length === 0 && (dueAt !== null || all.length === 0)
  return { at: isClockAlone ? (dueAt ?? now) : null, when, sentence: `It can run ${when}.` }
}
