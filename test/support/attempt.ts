import type { Handler, JobContext } from '../../src/handlers/define.ts'
import { parsePayload } from './payload.ts'

const silent = { info() {}, warn() {}, error() {} }

/** The context of a handler; the first of four attempts by default. */
export function aContext(given: Partial<JobContext> = {}): JobContext {
  const { signal } = new AbortController()
  const note = () => {}
  const progress = () => {}
  const complete = async () => {}
  const schedule = async () => null
  const job = { jobId: 7, attempt: 1, maxAttempts: 4, idempotencyToken: 'f00d.7' }
  return { ...job, signal, log: silent, note, progress, complete, schedule, ...given }
}

/** Makes one attempt as the system does: checks the payload first, as it was sent. */
export async function attempt<Output>(
  handler: Handler<Output>,
  payload: unknown,
  context: Partial<JobContext> = {},
): Promise<void> {
  await handler.run(parsePayload(handler, payload), aContext(context))
}

/** What the attempt threw; fails if it succeeded. */
export async function failureOf<Output>(
  handler: Handler<Output>,
  payload: unknown,
  context?: Partial<JobContext>,
): Promise<Error> {
  const thrown: unknown = await attempt(handler, payload, context).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(thrown instanceof Error)) throw new Error('the attempt succeeded')
  return thrown
}

/** The faults of the payload, as `path: message`. */
export function faultsOf<Output>(handler: Handler<Output>, payload: unknown): string[] {
  try {
    parsePayload(handler, payload)
    return []
  } catch (error) {
    return (error as { issues: { path: string; message: string }[] }).issues.map(
      ({ path, message }) => `${path}: ${message}`,
    )
  }
}
