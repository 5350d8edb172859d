import { z } from 'zod'
import type { Health } from '../../engine/front-door.ts'
import { named, type Wire } from './wire.ts'

export const live = named('Live', z.strictObject({ status: z.literal('live') }))
export const ready = named('Ready', z.strictObject({ status: z.literal('ready') }))
export const notReady = named(
  'NotReady',
  z.strictObject({
    status: z.literal('not ready'),
    reason: z.string().optional().describe('If the server requires a token: only for requests with it.'),
  }),
)

/** `mayKnowWhy`: the client has shown the token, or none is needed. */
export function notReadyView({ reason }: Health, mayKnowWhy: boolean): Wire<typeof notReady> {
  return { status: 'not ready', ...(mayKnowWhy && reason !== null && { reason }) }
}
