import { defaults } from '../config.ts'
import { type InputIssue, ResultError } from '../errors.ts'
import { toStoredPayload } from '../job/payload.ts'
import { type AnyHandler, checkBy } from './define.ts'

const noResult = 'a handler whose result nobody needs returns nothing'

/**
 * What is kept of what a handler returned, as JSON text; undefined if that is nothing. Throws `ResultError` if it does not match the
 * handler's schema, is not JSON, or has more than `maxBytes`: another attempt would return the same.
 */
export function toResult(
  handler: AnyHandler,
  returned: unknown,
  maxBytes = defaults.maxResultBytes,
): string | undefined {
  const value = handler.result ? parsed(handler.result, handler.type, returned) : returned
  if (value === undefined) return
  // Each member takes more than a byte.
  const stored = toStoredPayload(value, maxBytes)
  if (stored && stored.faults.length > 0) throw refused(stored.faults)
  const text = JSON.stringify(stored ? stored.value : value)
  // A character has three bytes at most, a pair of them four.
  if (3 * text.length <= maxBytes) return text
  const bytes = Buffer.byteLength(text)
  if (bytes <= maxBytes) return text
  throw refused([
    { path: '', message: `has ${bytes} bytes as JSON; the limit is ${maxBytes} (maxResultBytes, MAX_RESULT_BYTES)` },
  ])
}

function parsed(schema: NonNullable<AnyHandler['result']>, type: string, returned: unknown): unknown {
  const checked = checkedBy(schema, type, returned)
  if (checked.issues) throw new ResultError(checked.issues)
  return checked.value
}

function checkedBy(schema: NonNullable<AnyHandler['result']>, type: string, returned: unknown) {
  try {
    return checkBy(schema, type, returned, 'result')
  } catch (cause) {
    throw new ResultError([{ path: 'result', message: 'cannot be checked: its schema threw' }], { cause })
  }
}

/** `faults`: paths below the result. */
function refused(faults: readonly InputIssue[]): ResultError {
  const named = faults.map(({ path, message }) => ({ path: `result${path}`, message }))
  return new ResultError(
    named.map((issue, index) =>
      index + 1 < named.length ? issue : { ...issue, message: `${issue.message}; ${noResult}` },
    ),
  )
}
