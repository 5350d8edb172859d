import { type Bulk, fromWire, type JobSystem } from '../../engine/front-door.ts'
import { HttpError } from '../problem.ts'
import { parseBody } from '../query.ts'
import { reply } from '../reply.ts'
import { bulkIdOf } from '../request.ts'
import { bulk, bulkList, bulkListView, bulkRequest, bulkRunRequest, bulkView } from '../wire/bulk.ts'
import { type ApiRoute, get, post } from './route.ts'

const deadOnes = { command: 'requeue', type: 'sleep', text: 'timeout', created_from: '2030-01-31T00:00:00Z' }

export const bulkRoutes: readonly ApiRoute[] = [
  get({
    path: '/bulk',
    id: 'listBulks',
    tag: 'Jobs',
    summary: 'List the last bulk actions',
    answers: { 200: { description: 'At most 20.', body: bulkList } },
    examples: [{ summary: 'all', status: 200 }],
    pace: 'read',
    handle: ({ system }) => reply(bulkListView(system.bulks())),
  }),
  post({
    path: '/bulk',
    id: 'prepareBulk',
    tag: 'Jobs',
    summary: 'Start counting the jobs that a bulk action is for',
    description:
      'No job moves until its count is confirmed; without that it expires after 15 minutes. It lives in memory: after a crash, jobs that were moved stay moved, and nothing else of it is left.',
    body: bulkRequest,
    answers: { 202: { description: 'It is being counted.', body: bulk, headers: ['Location'] } },
    examples: [{ summary: 'every dead job of a type', status: 202, body: deadOnes }],
    async handle({ system }, _, body) {
      const { command, ...filter } = parseBody(bulkRequest, body)
      const prepared = await system.prepareBulk(command, fromWire(filter))
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
    pace: 'read',
    handle: ({ system }, c) => reply(bulkView(findBulk(system, bulkIdOf(c)))),
  }),
  post({
    path: '/bulk/:bulk/run',
    id: 'runBulk',
    tag: 'Jobs',
    summary: 'Confirm the count of a bulk action, which starts moving the jobs',
    body: bulkRunRequest,
    answers: { 202: { description: 'It moves them.', body: bulk } },
    refusals: ['bulk_state'],
    examples: [{ summary: 'one that a restart forgot', status: 404, body: { matched: 12 } }],
    async handle({ system }, c, body) {
      const confirmed = findBulk(system, bulkIdOf(c))
      confirmed.run(parseBody(bulkRunRequest, body).matched)
      return reply(bulkView(confirmed), 202)
    },
  }),
  post({
    path: '/bulk/:bulk/stop',
    id: 'stopBulk',
    tag: 'Jobs',
    summary: 'Stop a bulk action',
    description: 'Jobs that were moved stay moved. The request has no body.',
    answers: { 200: { description: 'It has stopped.', body: bulk } },
    examples: [{ summary: 'one that a restart forgot', status: 404 }],
    async handle({ system }, c) {
      const stopped = findBulk(system, bulkIdOf(c))
      await stopped.stop()
      return reply(bulkView(stopped))
    },
  }),
]

export function findBulk(system: JobSystem, id: string): Bulk {
  const bulk = system.findBulk(id)
  if (bulk) return bulk
  throw new HttpError(
    404,
    'bulk_not_found',
    'that bulk action is no longer known: a restart forgets them, and new ones replace the oldest',
  )
}
