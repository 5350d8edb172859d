import { PayloadError } from '../../src/errors.ts'
import { checkPayload, type Handler } from '../../src/handlers/define.ts'

/** The payload as the handler accepts it; throws `PayloadError` if it does not. */
export function parsePayload<Output>(handler: Handler<Output>, payload: unknown): Output {
  const checked = checkPayload(handler, payload, 'payload')
  if (checked.issues) throw new PayloadError(checked.issues)
  return checked.value
}
