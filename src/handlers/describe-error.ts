import type { DescribedError, StoredError } from '../machines/stored-error.ts'

/** Characters kept of an error's name, of its code, and of its message with its causes. */
const nameMax = 100
const messageMax = 2_000
/** Characters kept of the message of a cause or of an inner error. */
const innerMessageMax = 500
/** Causes that are followed, and errors that are kept of an `AggregateError`. */
const causesMax = 3
const errorsMax = 10
/** Frames kept of one error, and characters of the whole stored stack. */
const framesMax = 10
const stackMax = 4_000

/** The stored form of anything thrown, with a note after its message. Never throws, however hostile `thrown` is. */
export function describeError(thrown: unknown, note?: string): StoredError {
  const causes = causesOf(thrown)
  const errors = [thrown, ...causes].flatMap((error) => errorsOf(error).slice(0, errorsMax)).slice(0, errorsMax)
  const stack = stackOf(thrown, causes)
  return {
    ...withNote(describe(thrown, causes, messageMax), note),
    ...(causes.length > 0 ? { causes: causes.map((cause) => describe(cause, [], innerMessageMax)) } : {}),
    ...(errors.length > 0 ? { errors: errors.map((error) => describe(error, causesOf(error), innerMessageMax)) } : {}),
    ...(stack === '' ? {} : { stack }),
  }
}

/** The same for an error of the engine, without a stack: its place in the engine helps no user. */
export function describeOwnError(error: Error, note?: string): StoredError {
  return withNote({ name: error.name, message: cut(error.message, messageMax) }, note)
}

function withNote(error: DescribedError, note: string | undefined): DescribedError {
  if (note === undefined) return error
  return { ...error, message: `${cut(error.message, messageMax - note.length - 3)} (${note})` }
}

function describe(thrown: unknown, causes: readonly unknown[], messageMax: number): DescribedError {
  const code = read(thrown, 'code')
  const errno = read(thrown, 'errno')
  const syscall = readText(thrown, 'syscall')
  return {
    name: cut(nameOf(thrown), nameMax),
    message: cut(messageWith(thrown, causes), messageMax),
    ...(typeof code === 'string' && code !== '' ? { code: cut(code, nameMax) } : {}),
    ...(Number.isFinite(code) ? { code: code as number } : {}),
    ...(Number.isFinite(errno) ? { errno: errno as number } : {}),
    ...(syscall === undefined ? {} : { syscall: cut(syscall, nameMax) }),
  }
}

/** Its causes in order, up to a limit; an error that is its own cause is listed once. */
function causesOf(thrown: unknown): unknown[] {
  const line = [thrown]
  for (;;) {
    const cause = read(line.at(-1), 'cause') ?? undefined
    if (cause === undefined || line.length > causesMax || line.includes(cause)) return line.slice(1)
    line.push(cause)
  }
}

/** The errors inside an `AggregateError`, a `SuppressedError` or an error with the same members. */
function errorsOf(thrown: unknown): readonly unknown[] {
  const errors = read(thrown, 'errors')
  try {
    if (Array.isArray(errors)) return errors
  } catch {
    // A revoked Proxy.
  }
  const suppressed = read(thrown, 'suppressed')
  return suppressed === undefined ? [] : [read(thrown, 'error'), suppressed]
}

function messageWith(thrown: unknown, causes: readonly unknown[]): string {
  const [last = '', ...before] = [thrown, ...causes].map(messageOf).reverse()
  return before.reduce((cause, message) => `${message} (cause: ${cause})`, last)
}

function messageOf(thrown: unknown): string {
  const own = ownMessageOf(thrown)
  const errors = errorsOf(thrown)
  if (errors.length === 0) return own ?? saying(thrown)
  const told = errors
    .slice(0, errorsMax)
    .map((error) => ownMessageOf(error)?.slice(0, innerMessageMax) ?? saying(error))
  const rest = errors.length > errorsMax ? `; and ${errors.length - errorsMax} more` : ''
  const all = `${errors.length} error${errors.length === 1 ? '' : 's'}: ${told.join('; ')}${rest}`
  return own === undefined ? all : `${own} (${all})`
}

function ownMessageOf(thrown: unknown): string | undefined {
  return readText(thrown, 'message')?.slice(0, messageMax + 1)
}

/** A description of something without a message. */
function saying(thrown: unknown): string {
  try {
    switch (typeof thrown) {
      case 'string':
        return thrown === '' ? 'an empty string was thrown, not an error' : thrown.slice(0, messageMax + 1)
      case 'object': {
        if (thrown === null) break
        const name = nameOf(thrown)
        if (read(thrown, 'stack') !== undefined) return `${name} without a message`
        const text = JSON.stringify(thrown)
        return `${name} was thrown, not an error${text === undefined || text === '{}' ? '' : `: ${text.slice(0, messageMax)}`}`
      }
      case 'function':
        return 'a function was thrown, not an error'
    }
    return `${String(thrown)} was thrown, not an error`
  } catch {
    return 'no message'
  }
}

const builtIn = new Set(
  'Error TypeError RangeError SyntaxError ReferenceError EvalError URIError AggregateError'.split(' '),
)

/** A class that sets no name inherits that of the built-in class it extends; then its own name says more. */
function nameOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return `thrown ${thrown === null ? 'null' : typeof thrown}`
  const name = readText(thrown, 'name')
  if (name !== undefined && !builtIn.has(name)) return name
  const ofClass = readText(read(thrown, 'constructor'), 'name')
  return ofClass ?? name ?? 'Object'
}

/** The frames of an error and, below `cause: …`, those of its causes; empty if there are none. */
function stackOf(thrown: unknown, causes: readonly unknown[]): string {
  const parts = [thrown, ...causes].flatMap((error, index) => {
    const frames = framesOf(error)
    if (index === 0 || frames.length === 0) return frames
    return [cut(`cause: ${nameOf(error)}: ${messageOf(error)}`, innerMessageMax), ...frames]
  })
  return cut(parts.join('\n'), stackMax)
}

/** The frames below this one called the handler: see `attempt.ts`. */
const engine = '#callHandler'

function framesOf(thrown: unknown): string[] {
  const stack = readText(thrown, 'stack') ?? ''
  // The message comes before the frames and may have any length.
  const at = stack.indexOf('\n    at ')
  if (at === -1) return []
  const lines = stack.slice(at + 1, at + stackMax).split('\n')
  const end = lines.findIndex((line) => line.includes(engine) || !line.startsWith(' '))
  return lines.slice(0, Math.min(end === -1 ? lines.length : end, framesMax)).map((line) => line.trim())
}

function readText(thrown: unknown, key: string): string | undefined {
  const value = read(thrown, key)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function read(thrown: unknown, key: string): unknown {
  if ((typeof thrown !== 'object' || thrown === null) && typeof thrown !== 'function') return
  try {
    return (thrown as unknown as Record<string, unknown>)[key]
  } catch {
    return
  }
}

/** Cuts between code points, so that no half of a surrogate pair is stored. */
function cut(text: string, max: number): string {
  const head = text.slice(0, max + 1)
  return head.length <= max ? head.toWellFormed() : `${head.slice(0, max - 1).toWellFormed()}…`
}
