import { z } from 'zod'
import { type JobLogLine, pageSizes } from '../../engine/front-door.ts'
import { whole } from '../query.ts'
import { reply } from '../reply.ts'
import { idOf } from '../request.ts'
import { count, instant, instantOf, named, type Wire } from '../wire.ts'
import { get } from './route.ts'

const logLine = named(
  'LogLine',
  z
    .strictObject({
      n: z.int().min(1).describe('1, 2, 3 … within the job.'),
      at: instant,
      attempt: count,
      level: z.enum(['info', 'warn', 'error']),
      message: z.string(),
      fields: z.record(z.string(), z.unknown()).nullable().describe('`null` if there are none.'),
    })
    .describe('A line that a handler logged.'),
)

const jobLog = named(
  'JobLog',
  z.strictObject({
    lines: z.array(logLine).describe('Oldest first.'),
    first: count.nullable().describe('`n` of the oldest line that is kept; `null` if there is none.'),
    last: count.nullable().describe('`n` of the newest.'),
  }),
)

export const logRoute = get({
  path: '/jobs/:id/log',
  id: 'showLog',
  tag: 'Jobs',
  summary: 'Show what the handler of a job logged',
  description:
    'The lines of `context.log`, of all attempts. A job keeps its newest 1,000 lines, and 256 KiB of them. They are stored within a second, and with the end of the attempt.',
  answers: { 200: { description: 'Lines of its log.', body: jobLog } },
  examples: [{ summary: 'of the first job', status: 200, query: 'limit=100' }],
  limit: 'read',
  query: z.strictObject({
    after: whole(0, Number.MAX_SAFE_INTEGER, 0).describe('Only lines after the one with this `n`.'),
    limit: whole(1, pageSizes.log.max, pageSizes.log.byDefault).describe('Lines on one page.'),
  }),
  async handle({ system }, c, query) {
    const { lines, first, last } = await system.log(idOf(c), query)
    return reply({ lines: lines.map(lineView), first, last } satisfies Wire<typeof jobLog>)
  },
})

function lineView({ n, at, attempt, level, message, fields }: JobLogLine): Wire<typeof logLine> {
  return { n, at: instantOf(at), attempt, level, message, fields }
}
