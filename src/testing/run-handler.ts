import type { StoredResult } from '../engine/job-system.ts'
import { PayloadError } from '../errors.ts'
import { checkPayload, defineHandler, type Handler, type JobContext } from '../handlers/define.ts'
import { toResult } from '../handlers/result.ts'
import { toStoredPayload } from '../job/payload.ts'

/**
 * Checks the payload against the handler's schema and calls its `run` once, without a queue or a file; resolves with the result as it would
 * be kept. Rejects with `PayloadError`, with `ResultError`, with what the handler threw, and with `TypeError` if it is not a handler.
 * `context` is passed to `run`; by default it is attempt 1 of 4 of job 1, its `progress` and `complete` do nothing, and no schedule made it.
 */
export async function runHandler<Output, Result>(
  handler: Handler<Output, unknown, string, Result>,
  payload: unknown,
  context: Partial<JobContext> = {},
): Promise<StoredResult<Result>> {
  defineHandler(handler)
  const log = { info() {}, warn() {}, error() {} }
  const note = () => {}
  const progress = () => {}
  const complete = async () => {}
  const schedule = async () => null
  const { signal } = new AbortController()
  const checked = checkPayload(handler, asStored(payload ?? null), 'payload')
  if (checked.issues) throw new PayloadError(checked.issues)
  const returned = await handler.run(checked.value, {
    jobId: 1,
    attempt: 1,
    maxAttempts: 4,
    idempotencyToken: 'test.1',
    signal,
    log,
    note,
    progress,
    complete,
    schedule,
    ...context,
  })
  const text = toResult(handler, returned)
  return text === undefined ? (undefined as StoredResult<Result>) : JSON.parse(text)
}

/** The payload as `enqueue` stores it, in a copy. Throws `PayloadError` if it cannot. */
function asStored(payload: unknown): unknown {
  const stored = toStoredPayload(payload)
  if (!stored) return JSON.parse(JSON.stringify(payload))
  const { value, faults } = stored
  if (faults.length === 0) return value
  throw new PayloadError(faults.map(({ path, message }) => ({ path: `payload${path}`, message })))
}
