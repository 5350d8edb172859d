import { defaultMaxRetries, type Settings } from '../config.ts'
import { type InputIssue, InvalidInputError, PayloadError } from '../errors.ts'
import type { Registry } from '../handlers/registry.ts'
import { type Mutable, nothingStored, store } from '../job/fields.ts'
import type { JobRequest } from '../job/request.ts'
import type { NewJobRow } from '../persistence/store.ts'

interface Rules {
  readonly settings: Pick<Settings, 'maxPayloadBytes'>
  /** Null: a producer, which cannot check payloads and stores any type. */
  readonly registry: Registry | null
}

/**
 * Requests of an array as rows to store: checked against their handlers, what they leave out filled in. Throws `InvalidInputError` (where one item is
 * at fault, `UnknownTypeError` or `PayloadError`) with the faults of all items. It looks at no
 * further item once it has found as many faults as are told of at once. `isPaced`: in as many steps as there are items.
 */
export function* toRows(requests: readonly JobRequest[], rules: Rules, isPaced: boolean): Generator<void, NewJobRow[]> {
  const faults: InvalidInputError[] = []
  const rows: NewJobRow[] = []
  let issues = 0
  for (const [index, request] of requests.entries()) {
    try {
      rows.push(toRow(request, rules, `${index}`))
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      faults.push(error)
      issues += error.issues.length
      if (issues >= InvalidInputError.issuesMax) break
    }
    if (isPaced) yield
  }
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1) throw new InvalidInputError(faults.flatMap((fault): readonly InputIssue[] => fault.issues))
  return rows
}

const emptyRow: Mutable<NewJobRow> = {
  ...nothingStored,
  payload: '',
  maxAttempts: 1,
  runAt: null,
  delayMs: null,
  idempotency: null,
}

/**
 * One request as a row to store. A job's own fields win over its handler's, those over the settings; a timeout is only filled in when the job
 * runs. `at`: what the paths of its faults begin with.
 */
export function toRow(request: JobRequest, { settings, registry }: Rules, at: string): NewJobRow {
  const { type, maxRetries, idempotencyKey, content, runAt, delayMs } = request
  const payload = JSON.stringify(request.payload)
  // Before a schema sees it. Most need not be counted: no UTF-16 unit takes more than three bytes.
  if (payload.length * 3 > settings.maxPayloadBytes) assertSize(payload, settings.maxPayloadBytes, at)
  const handler = registry?.check(type, request.payload, at, request.converted)
  const row = { ...emptyRow }
  store(request, row)
  row.payload = payload
  row.maxAttempts = maxRetries === undefined ? (handler?.maxAttempts ?? defaultMaxRetries + 1) : maxRetries + 1
  row.runAt = runAt ?? null
  row.delayMs = delayMs ?? null
  if (idempotencyKey !== undefined && content !== undefined) row.idempotency = { key: idempotencyKey, content }
  return row
}

function assertSize(payload: string, maxBytes: number, at: string): void {
  const bytes = Buffer.byteLength(payload)
  if (bytes <= maxBytes) return
  const path = at === '' ? 'payload' : `${at}.payload`
  throw new PayloadError([{ path, message: `has ${bytes} bytes as JSON, ${maxBytes} are allowed` }])
}
