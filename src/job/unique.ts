import { z } from 'zod'
import { didYouMean } from './did-you-mean.ts'
import { delayMaxMs, keyText, wholeNumber } from './value-schemas.ts'

const conflicts = ['return', 'refuse', 'replace', 'debounce', 'after'] as const

/** How a job is the only one of its kind, as the library accepts it. */
export interface Unique {
  /** 1 to 255 printable characters. Of the jobs of one type, only one holds a key at a time, in whichever queue it is. */
  readonly key: string
  /**
   * How long the job holds its key: until it has ended, also between its attempts (`ended`, the default); until its handler is called for the
   * first time (`started`); or for so many ms from when it is stored, whether it has ended or not. A removed job holds none.
   */
  readonly until?: 'started' | 'ended' | number
  /**
   * What becomes of the request if another job holds the key. `return`, the default: that job is the answer. `refuse`: `UniqueConflictError`.
   * `after`: if that job has begun, the new one waits in `blocked` until it has ended; at most one waits like this, and later requests change that one.
   * `replace`: a job that waits gets the payload, the priority, the retries and the time of the request; one that runs is followed by a new
   * one, as with `after`. `debounce`: the same, for requests with a delay: each puts it off once more.
   */
  readonly onConflict?: (typeof conflicts)[number]
  /** With `debounce`: how long the job may be put off in all, in ms from when it was stored. Without a limit by default. */
  readonly maxWaitMs?: number
}

const untilTakes = `must be started, ended, or a whole number of ms from 1 to ${delayMaxMs}`
const until = z
  .union([z.enum(['started', 'ended']), wholeNumber(1, delayMaxMs, untilTakes)], untilTakes)
  .default('ended')
  .meta({
    description:
      'How long the job holds the key: until it has `ended`, also between its attempts; until its handler is `started` for the first time; or so many ms from when it is stored.',
  })
const onConflict = z
  .enum(conflicts, `must be ${conflicts.join(', ')}`.replace(/, (\w+)$/, ' or $1'))
  .default('return')
  .meta({
    description:
      'What becomes of the request if another job holds the key. `return`: that job is the answer. `refuse`: 409 with `unique_conflict`. `after`: if that job has begun, the new one waits in `blocked` until it has ended; at most one waits like this, and later requests change that one. `replace`: a job that waits is changed to the request; one that runs is followed, as with `after`. `debounce`: the same, and each request puts it off once more.',
  })
const maxWaitMs = wholeNumber(1, delayMaxMs)
  .optional()
  .meta({ description: 'With `debounce`: how long the job may be put off in all, in ms from when it was stored.' })
const key = keyText.meta({
  description: '1 to 255 printable characters. Of the jobs of one type, only one holds a key at a time.',
  examples: ['customer-7'],
})

function strictObject<Shape extends z.core.$ZodShape>(shape: Shape) {
  const known = Object.keys(shape)
  const error = ({ code, keys }: { code?: string; keys?: readonly string[] }) =>
    code === 'unrecognized_keys'
      ? `has no member ${JSON.stringify(keys?.[0])}${didYouMean(`${keys?.[0]}`, known)}`
      : 'must be an object with a key'
  return z.strictObject(shape, { error })
}

const terms = strictObject({ key, until, onConflict, maxWaitMs })

/** What the field `unique` accepts, with its defaults: in the library, and over HTTP. */
export const uniqueField = {
  takes: terms.optional(),
  inJson: strictObject({ key, until, on_conflict: onConflict, max_wait_ms: maxWaitMs })
    .transform(({ on_conflict, max_wait_ms, ...rest }) => ({
      ...rest,
      onConflict: on_conflict,
      maxWaitMs: max_wait_ms,
    }))
    .meta({ examples: [{ key: 'customer-7' }] })
    .optional()
    .describe(
      'Makes it the only job of its type with a key, for as long as it holds that: see the guide on unique jobs.',
    ),
}

/** What becomes of a request with `unique`. */
export const uniqueOutcomes = ['stored', 'returned', 'replaced', 'debounced', 'blocked'] as const

/** A checked `Unique`. */
export type UniqueTerms = z.output<typeof terms>
