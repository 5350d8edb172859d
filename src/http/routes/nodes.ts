import { z } from 'zod'
import type { NodeInfo } from '../../engine/front-door.ts'
import { reply } from '../reply.ts'
import { count, instant, instantOf, named, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const node = named(
  'Node',
  z.strictObject({
    id: count.describe('Never used again. A process that was declared dead and lives gets another.'),
    pid: z.int(),
    host: z.string(),
    started_at: z.string(),
    is_own: z.boolean().describe('It is the process that answers.'),
    serves: z.boolean().describe('It runs jobs; a producer does not.'),
    types: z.array(z.string()).describe('Those that have a handler there.'),
    lease_ms: z
      .number()
      .describe('Silent for so long while others are heard of, it is declared dead, and others run its jobs.'),
    heard_at: instant.describe("When it was heard of last, by the database's clock."),
    silent_ms: count.describe('How long ago that was, by the same clock.'),
    ended_at: instant.nullable().describe('When it ended or was declared dead; `null` if it lives.'),
    declared_by: count.nullable().describe('The node that declared it dead; `null` if it lives, or ended by itself.'),
    is_stopping: z.boolean(),
    held: count.describe('Jobs that it has leased or runs.'),
    running: count.describe('Jobs that it runs.'),
    duties: z
      .array(z.strictObject({ duty: z.enum(['promotion', 'recovery', 'retention', 'schedules']), done_at: instant }))
      .describe(
        'What it did last of all nodes: queue due jobs, take those of dead nodes, remove old ones, plan the ticks of schedules.',
      ),
  }),
)
const list = named('NodeList', z.strictObject({ nodes: z.array(node) }))

export const nodeRoutes: readonly ApiRoute[] = [
  get({
    path: '/nodes',
    id: 'listNodes',
    tag: 'Server',
    summary: 'List the processes that share the database',
    description:
      'At most 100: those that live first, then the newest of those that ended within a day. On SQLite only this process, if it runs jobs.',
    answers: { 200: { description: 'The nodes.', body: list } },
    examples: [{ summary: 'now', status: 200 }],
    limit: 'read',
    handle: async ({ system }) => reply({ nodes: (await system.nodes()).map(nodeView) } satisfies Wire<typeof list>),
  }),
]

function nodeView(given: NodeInfo): Wire<typeof node> {
  return {
    id: given.id,
    pid: given.pid,
    host: given.host,
    started_at: given.startedAt,
    is_own: given.isOwn,
    serves: given.serves,
    types: given.types,
    lease_ms: given.leaseMs,
    heard_at: instantOf(given.heardAt),
    silent_ms: given.silentMs,
    ended_at: instantOf(given.endedAt),
    declared_by: given.declaredBy,
    is_stopping: given.isStopping,
    held: given.held,
    running: given.running,
    duties: given.duties.map(({ duty, doneAt }) => ({ duty, done_at: instantOf(doneAt) })),
  }
}
