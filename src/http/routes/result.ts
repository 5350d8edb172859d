import { z } from 'zod'
import { resultWaitMaxMs } from '../../engine/front-door.ts'
import { JobNotFoundError, ResultTimeoutError } from '../../errors.ts'
import { whole } from '../query.ts'
import { reply } from '../reply.ts'
import { idOf } from '../request.ts'
import { jobId, named, state, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const result = named(
  'JobResult',
  z.strictObject({
    id: jobId,
    result: z.unknown().optional().describe('What its handler returned; left out if that was nothing.'),
  }),
)

const openJob = named('OpenJob', z.strictObject({ id: jobId, state: state.describe('It goes on; ask again.') }))

export const resultRoute: ApiRoute = get({
  path: '/jobs/:id/result',
  id: 'showResult',
  tag: 'Jobs',
  summary: 'Show what the handler of a job returned, or wait for it',
  description:
    'With `wait_ms` it answers when the job has ended, wherever it runs, or when the time is over. To wait longer, ask again. Waiting costs the server next to nothing.',
  answers: {
    200: { description: 'The job has succeeded.', body: result },
    202: { description: 'The job has not ended yet.', body: openJob },
  },
  errors: ['job_failed', 'job_cancelled'],
  examples: [{ summary: 'after a moment', status: 202, query: 'wait_ms=10' }],
  limit: 'wait',
  query: z.strictObject({
    wait_ms: whole(0, resultWaitMaxMs, 0).describe('How long to wait for the end of the job, in ms.'),
  }),
  async handle({ system, responseMemory }, c, { wait_ms: timeoutMs = 0 }, gone) {
    const id = idOf(c)
    try {
      const found = await system.result(id, { timeoutMs, signal: gone })
      return await responseMemory.serve(c.env.outgoing, () =>
        reply({ id, result: found } satisfies Wire<typeof result>),
      )
    } catch (error) {
      if (!(error instanceof ResultTimeoutError)) throw error
      const job = await system.find(id)
      if (!job) throw new JobNotFoundError(id)
      return reply({ id, state: job.state } satisfies Wire<typeof openJob>, 202)
    }
  },
})
