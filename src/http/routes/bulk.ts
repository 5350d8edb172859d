import type { Context } from 'hono'
import { z } from 'zod'
import {
  type Bulk,
  bulkPhases,
  callerFields,
  commands,
  filterFields,
  fromWire,
  type JobSystem,
} from '../../engine/front-door.ts'
import { HttpError } from '../problem.ts'
import { reply } from '../reply.ts'
import { callerOf, type Env, parseBody } from '../request.ts'
import { count, instant, instantOf, named, state, type Wire } from '../wire.ts'
import { type ApiRoute, get, post } from './route.ts'

const commandTakes = `must be one of: ${commands.join(', ')}`
const command = z.enum(commands, commandTakes)

const bulkRequest = named(
  'BulkRequest',
  z
    .strictObject({ command, ...filterFields }, 'must be an object with a command and a filter')
    .describe('The command and which jobs it is for; without a `state`: those in any state that allows it.'),
)

const matchedTakes = 'must be the count that was shown'

const bulkRunRequest = named(
  'BulkConfirmation',
  z.strictObject(
    { matched: z.int(matchedTakes).min(0, matchedTakes).describe('The count that was shown.'), ...callerFields },
    'must be an object with the count that was shown',
  ),
)

const bulk = named(
  'Bulk',
  z.strictObject({
    id: z.string(),
    command,
    filter: z.strictObject({
      state: state.optional(),
      type: z.string().optional(),
      queue: z.string().optional(),
      text: z.string().optional(),
      created_from: instant.optional(),
      created_to: instant.optional(),
    }),
    phase: z.enum(bulkPhases).describe('`ready`: it waits for the confirmation of its count.'),
    created_at: instant,
    expires_at: instant.nullable().describe('When it expires unless it is confirmed.'),
    matched: count.describe('Jobs that match, so far while it counts.'),
    more: z.boolean().describe('More jobs match than one action may change; it includes the newest.'),
    up_to: count.nullable().describe('The highest id that it searched; later jobs are not touched.'),
    looked_to: count.nullable().describe('The lowest id that it has searched so far.'),
    moved: count,
    refused: count.describe('Jobs that had left the state by then.'),
    error: z.string().nullable().describe('Why it failed.'),
  }),
)

const bulkList = named('BulkList', z.strictObject({ bulk: z.array(bulk).describe('Newest first.') }))

const deadOnes = { command: 'requeue', type: 'sleep', text: 'timeout', created_from: '2030-01-31T00:00:00Z' }

export const bulkRoutes: readonly ApiRoute[] = [
  get({
    path: '/bulk',
    id: 'listBulks',
    tag: 'Jobs',
    summary: 'List the last bulk actions',
    answers: { 200: { description: 'At most 20.', body: bulkList } },
    examples: [{ summary: 'all', status: 200 }],
    limit: 'read',
    handle: ({ system }) => reply({ bulk: system.bulks().map(bulkView) } satisfies Wire<typeof bulkList>),
  }),
  post({
    path: '/bulk',
    id: 'prepareBulk',
    tag: 'Jobs',
    summary: 'Start counting the jobs that a bulk action is for',
    description:
      'No job changes until its count is confirmed; otherwise it expires after 15 minutes. It is kept in memory: after a crash, changed jobs stay changed, and the action is gone.',
    body: bulkRequest,
    role: 'admin',
    answers: { 202: { description: 'It is being counted.', body: bulk, headers: ['Location'] } },
    errors: ['not_a_server'],
    examples: [{ summary: 'every dead job of a type', status: 202, body: deadOnes }],
    async handle({ system }, c, body) {
      const { command, ...filter } = parseBody(bulkRequest, body)
      const prepared = await system.prepareBulk(command, fromWire(filter), callerOf(c, 'http'))
      return reply(bulkView(prepared), 202, { location: `/bulk/${prepared.id}` })
    },
  }),
  get({
    path: '/bulk/:bulk',
    id: 'showBulk',
    tag: 'Jobs',
    summary: 'Show a bulk action: its count and its progress',
    answers: { 200: { description: 'As it is now.', body: bulk } },
    examples: [{ summary: 'one that a restart forgot', status: 404 }],
    limit: 'read',
    handle: ({ system }, c) => reply(bulkView(findBulk(system, c))),
  }),
  post({
    path: '/bulk/:bulk/run',
    id: 'runBulk',
    tag: 'Jobs',
    summary: 'Confirm the count of a bulk action, which starts changing the jobs',
    body: bulkRunRequest,
    role: 'admin',
    answers: { 202: { description: 'It has begun to change them.', body: bulk } },
    errors: ['bulk_state'],
    examples: [{ summary: 'one that a restart forgot', status: 404, body: { matched: 12 } }],
    async handle({ system }, c, body) {
      const confirmed = findBulk(system, c)
      const { matched, ...said } = parseBody(bulkRunRequest, body)
      confirmed.run(matched, callerOf(c, 'http', said))
      return reply(bulkView(confirmed), 202)
    },
  }),
  post({
    path: '/bulk/:bulk/stop',
    id: 'stopBulk',
    tag: 'Jobs',
    summary: 'Stop a bulk action',
    description: 'Jobs changed so far stay changed. The request has no body.',
    role: 'admin',
    answers: { 200: { description: 'It has stopped.', body: bulk } },
    examples: [{ summary: 'one that a restart forgot', status: 404 }],
    async handle({ system }, c) {
      const stopped = findBulk(system, c)
      await stopped.stop()
      return reply(bulkView(stopped))
    },
  }),
]

/** The bulk action that the path `/…/:bulk` names. */
export function findBulk(system: JobSystem, c: Context<Env>): Bulk {
  const bulk = system.findBulk(c.req.param('bulk') ?? '')
  if (bulk) return bulk
  throw new HttpError(
    404,
    'bulk_not_found',
    'there is no such bulk action: a restart forgets them, and new ones replace the oldest',
  )
}

function bulkView(given: Bulk): Wire<typeof bulk> {
  const { createdFrom, createdTo, ...filter } = given.filter
  return {
    id: given.id,
    command: given.command,
    filter: {
      ...filter,
      ...(createdFrom === undefined ? {} : { created_from: instantOf(createdFrom) }),
      ...(createdTo === undefined ? {} : { created_to: instantOf(createdTo) }),
    },
    phase: given.phase,
    created_at: instantOf(given.createdAt),
    expires_at: instantOf(given.expiresAt),
    matched: given.matched,
    more: given.more,
    up_to: given.upTo,
    looked_to: given.lookedTo,
    moved: given.moved,
    refused: given.refused,
    error: given.error,
  }
}
