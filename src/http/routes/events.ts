import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { z } from 'zod'
import { filterFields } from '../../engine/front-door.ts'
import { InvalidInputError } from '../../errors.ts'
import { streamHeaders } from '../events/event-reader.ts'
import { whole } from '../query.ts'
import { type ApiRoute, get } from './route.ts'

export const eventRoutes: readonly ApiRoute[] = [
  get({
    path: '/events',
    id: 'streamEvents',
    tag: 'Jobs',
    summary: 'Stream every transition as it happens, as server-sent events',
    description:
      'Each has its `id`, `event: transition` and, as `data`, JSON with `job_id`, `seq`, `event`, `from`, `to`, `attempt`, `at`, `cause`, `type`, `queue` and, if they apply, `actor`, `reason`, `bulk` and `error`. What jobs report as their progress comes between them, live, as `event: progress` without an id: `job_id`, `progress`, `attempt`, `at`, `type` and `queue`, at most once a second for each job, and not with `state`. A client that comes back is not told of what it missed of that. The stream begins now, or after the `Last-Event-ID` header, which browsers send automatically. A comment is sent every 15 s. Under a load it falls behind, loses nothing and catches up. A stream ends after some ten minutes, and at once when it is the oldest of more than 100: its client comes back by `Last-Event-ID` and misses nothing.',
    answers: { 200: { description: 'A stream of some minutes.', texts: ['text/event-stream'] } },
    examples: [{ summary: 'of dead letters', status: 200, query: 'state=dead', isEndless: true }],
    limit: 'none',
    query: z.strictObject({
      state: filterFields.state.describe('Only transitions to this state.'),
      type: filterFields.type.describe('Only of jobs of this type.'),
      queue: filterFields.queue.describe('Only of jobs in this queue.'),
      job_id: whole(1, Number.MAX_SAFE_INTEGER).describe('Only of this job.'),
    }),
    async handle({ feed, sessions }, { env: { incoming, outgoing } }, { job_id: jobId, ...rest }) {
      const filter = { ...rest, ...(jobId === undefined ? {} : { jobId }) }
      const after = lastEventIdOf(incoming.headers['last-event-id'])
      // A HEAD request takes no place among the readers.
      if (incoming.method === 'HEAD') return new Response(null, { headers: streamHeaders })
      await feed.open(outgoing, filter, sessions?.sessionOf(incoming) ?? null, after)
      return RESPONSE_ALREADY_SENT
    },
  }),
]

/** If given twice it arrives as a list, which is not a number. */
function lastEventIdOf(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return
  if (/^[0-9]{1,15}$/.test(`${header}`)) return Number(header)
  throw new InvalidInputError([{ path: 'Last-Event-ID', message: 'must be the id of an event, a whole number' }])
}
