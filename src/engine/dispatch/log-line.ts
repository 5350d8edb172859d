import { describeError } from '../../handlers/describe-error.ts'
import type { LogLine } from '../../persistence/store.ts'

/** Characters that are kept of a message, and of its fields as JSON. */
const messageMax = 1_000
const fieldsMax = 2_000
/** Bytes that a line counts besides its message and its fields. */
const overhead = 64

/** A line as it is kept, whatever a handler passes. The fields are read at once: the handler may change them later. */
export function toLine(at: number, level: LogLine['level'], fields: unknown, message: unknown): LogLine {
  // Loggers take a message alone too, or an error.
  const isAlone = typeof fields === 'string' && message === undefined
  const text = isAlone ? fields : message === undefined ? '' : String(message)
  const kept = isAlone ? null : fieldsText(fields instanceof Error ? { err: fields } : fields)
  return lineOf(at, level, text, kept)
}

/** A line with a text of ours. */
export function lineOf(at: number, level: LogLine['level'], text: string, fields: string | null): LogLine {
  // PostgreSQL stores no NUL.
  const message = cut(text, messageMax).replaceAll('\0', '\uFFFD')
  return { at, level, message, fields, bytes: overhead + Buffer.byteLength(message) + Buffer.byteLength(fields ?? '') }
}

function fieldsText(fields: unknown): string | null {
  if (typeof fields !== 'object' || fields === null) return null
  const whole = jsonOf(fields)
  if (whole !== undefined && whole.length <= fieldsMax) return whole === '{}' ? null : whole
  return shortened(fields)
}

/** The members that fit, each cut if it is long. */
function shortened(fields: object): string {
  const kept: Record<string, unknown> = {}
  let left = fieldsMax
  for (const name of Object.keys(fields)) {
    const text = cut(memberText(fields, name), fieldsMax / 4)
    left -= name.length + text.length
    if (left < 0) break
    kept[cut(name, fieldsMax / 4)] = text
  }
  return JSON.stringify({ ...kept, shortened: true })
}

function memberText(fields: object, name: string): string {
  try {
    const value = Reflect.get(fields, name)
    return (typeof value === 'string' ? value : jsonOf(value)) ?? String(value)
  } catch {
    return 'cannot be read'
  }
}

/** Undefined if there is none. */
function jsonOf(value: unknown): string | undefined {
  try {
    const hasError = typeof value === 'object' && value !== null && Object.values(value).some(isError)
    if (isError(value)) return JSON.stringify(describeError(value))
    return hasError
      ? JSON.stringify(value, (_, inner) => (isError(inner) ? describeError(inner) : inner))
      : JSON.stringify(value)
  } catch {
    return undefined
  }
}

const isError = (value: unknown) => value instanceof Error

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…`.toWellFormed() : text.toWellFormed()
}
