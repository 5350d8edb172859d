import { shown } from '../config.ts'
import { InvalidInputError } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import type { EventCause } from '../machines/cause.ts'

/** The caller of whom nobody says who it is. */
export const byLibrary: EventCause = { cause: 'library' }

/** `by`: who asks, which the history keeps: actor of 1 to 255 characters, reason of 1 to 1,000; the library by default. */
export interface CallerOptions {
  readonly by?: EventCause
}

/** Throws `InvalidInputError` if these are not the options of a call, or if it does not accept one of them: callers in JavaScript have no type check. */
export function assertOptions(call: string, options: unknown, known: readonly string[]): void {
  // `ids.map(system.cancel)` passes an index.
  if (typeof options === 'number' && known.includes('by')) return
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const message = `the options of ${call} must be an object, such as { ${known[0]} }; got ${shown(options)}`
    throw new InvalidInputError([{ path: '', message }])
  }
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  throw new InvalidInputError(
    unknown.map((path) => ({
      path,
      message: `is not an option of ${call}, which takes ${known.join(' and ')}${didYouMean(path, known)}`,
    })),
  )
}
