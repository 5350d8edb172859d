import { z } from 'zod'
import type { Health } from '../../engine/front-door.ts'
import { reply } from '../reply.ts'
import { named, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const live = named('Live', z.strictObject({ status: z.literal('live') }))
const ready = named(
  'Ready',
  z.strictObject({
    status: z.literal('ready'),
    unreadable_jobs: z
      .int()
      .optional()
      .describe('Jobs that were not run because they cannot be read; left out if there were none.'),
    warnings: z
      .array(z.string())
      .optional()
      .describe('What stops nothing but should be ended. If the server requires a token: only for requests with it.'),
  }),
)
const notReady = named(
  'NotReady',
  z.strictObject({
    status: z.literal('not ready'),
    reason: z.string().optional().describe('If the server requires a token: only for requests with it.'),
  }),
)

export const healthRoutes: readonly ApiRoute[] = [
  get({
    path: '/livez',
    id: 'showLive',
    tag: 'Server',
    summary: 'Whether the process is alive',
    answers: { 200: { description: 'It does.', body: live } },
    examples: [{ summary: 'now', status: 200 }],
    isOpen: true,
    limit: 'none',
    handle: () => reply({ status: 'live' } satisfies Wire<typeof live>),
  }),
  get({
    path: '/readyz',
    id: 'showReady',
    tag: 'Server',
    summary: 'Whether the server can store a job now',
    answers: {
      200: { description: 'It would.', body: ready },
      503: { description: 'It would not.', body: notReady, headers: ['Retry-After'] },
    },
    errors: ['too_many_guesses'],
    examples: [{ summary: 'now', status: 200 }],
    isOpen: true,
    limit: 'none',
    async handle({ system, sessions, isGuarded }, { env }) {
      const mayKnowWhy = !isGuarded || (sessions !== null && (await sessions.admits(env.incoming)))
      const health = system.health()
      if (health.ready) return reply(readyView(health, mayKnowWhy))
      return reply(notReadyView(health, mayKnowWhy), 503, { 'retry-after': '1' })
    },
  }),
]

/** `mayKnowWhy`: the client has sent the token, or none is needed. */
function readyView({ unreadableJobs, warnings }: Health, mayKnowWhy: boolean): Wire<typeof ready> {
  return {
    status: 'ready',
    ...(unreadableJobs !== undefined && { unreadable_jobs: unreadableJobs }),
    ...(mayKnowWhy && warnings && { warnings: [...warnings] }),
  }
}

function notReadyView({ reason }: Health, mayKnowWhy: boolean): Wire<typeof notReady> {
  return { status: 'not ready', ...(mayKnowWhy && reason !== null && { reason }) }
}
