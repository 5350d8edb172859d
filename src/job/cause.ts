import { z } from 'zod'
import { shown } from '../config.ts'
import { InvalidInputError } from '../errors.ts'
import { causes, type EventCause } from '../machines/cause.ts'

/** Characters of the actor and of the reason. */
const actorMax = 255
export const reasonMax = 1_000
export const actorPattern = new RegExp(`^\\P{C}{1,${actorMax}}$`, 'u')
const reasonPattern = new RegExp(`^[\\s\\S]{1,${reasonMax}}$`, 'u')
const actorTakes = `must be 1 to ${actorMax} printable characters`
const reasonTakes = `must be 1 to ${reasonMax} characters`

/** What a request may say of its sender. */
export const callerFields = {
  actor: z
    .string(actorTakes)
    .regex(actorPattern, actorTakes)
    .exactOptional()
    .describe(
      'The name of the user, for the history. It must not differ from the name that the app knows, if it knows one.',
    ),
  reason: z.string(reasonTakes).regex(reasonPattern, reasonTakes).exactOptional().describe('Why, for the history.'),
}

/** The text of each cause alone: most callers pass nothing else, at each enqueue. */
const plainTexts: ReadonlyMap<string, string> = new Map(
  Object.keys(causes).map((cause) => [cause, JSON.stringify({ cause })]),
)

/**
 * The caller's cause as it is stored, with what the system adds: JSON text. Throws `InvalidInputError` on a cause that does not exist, and on texts that are too long.
 */
export function causeText(
  by: EventCause,
  { bulk, schedule, tick, missed, firstMissed }: Omit<EventCause, 'cause' | 'actor' | 'reason' | 'node'> = {},
): string {
  if (typeof by !== 'object' || by === null)
    throw new InvalidInputError([{ path: 'by', message: `must be { cause, actor, reason }; got ${shown(by)}` }])
  const { cause, actor, reason } = by
  if (!Object.hasOwn(causes, cause)) {
    throw new InvalidInputError([{ path: 'by.cause', message: `must be one of: ${Object.keys(causes).join(', ')}` }])
  }
  if (actor === undefined && reason === undefined && bulk === undefined && schedule === undefined)
    return plainTexts.get(cause)!
  assertText('by.actor', actor, actorPattern, actorTakes)
  assertText('by.reason', reason, reasonPattern, reasonTakes)
  return JSON.stringify({ cause, actor, reason, bulk, schedule, tick, missed, firstMissed } satisfies {
    [Key in keyof Required<Omit<EventCause, 'node'>>]: unknown
  })
}

function assertText(path: string, text: unknown, pattern: RegExp, takes: string): void {
  if (text === undefined || (typeof text === 'string' && pattern.test(text))) return
  throw new InvalidInputError([{ path, message: takes }])
}
