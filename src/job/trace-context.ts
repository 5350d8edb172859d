/** Which span of a trace something belongs to, as the headers of W3C Trace Context say it. */
export interface TraceContext {
  /** By version 00: `00-<trace id>-<span id>-<flags>`, 55 characters. */
  readonly traceparent: string
  /** What tracing systems add to it, 512 bytes at most. */
  readonly tracestate: string | null
}

const tracestateBytesMax = 512
const membersMax = 32

/** A version after 00 may have more behind its flags; ff is none. Ids that are all zeros are invalid. */
const parentPattern = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:-.*)?$/
const keyPattern = /^(?:[a-z][_\da-z\-*/]{0,255}|[a-z\d][_\da-z\-*/]{0,240}@[a-z][_\da-z\-*/]{0,13})$/
const valuePattern = /^[ -+\--<>-~]{0,255}[!-+\--<>-~]$/

/**
 * Reads the two headers, by the rules of W3C Trace Context. A `traceparent` that is not valid counts as none: null. So does a `tracestate`,
 * or one that is too long, but the `traceparent` is kept.
 */
export function parseTraceContext(traceparent: unknown, tracestate?: unknown): TraceContext | null {
  if (typeof traceparent !== 'string') return null
  const [, version, traceId, spanId, flags] = parentPattern.exec(traceparent.trim()) ?? []
  if (version === undefined || (version === '00' && traceparent.trim().length !== 55)) return null
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: parseTracestate(tracestate) }
}

/** 32 lower-case hexadecimal digits. */
export function traceIdOf({ traceparent }: Pick<TraceContext, 'traceparent'>): string {
  return traceparent.slice(3, 35)
}

function parseTracestate(text: unknown): string | null {
  if (typeof text !== 'string') return null
  const members = text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
  const keys = members.map((member) => member.slice(0, member.indexOf('=')))
  const isValid = members.every((member, index) => {
    const key = keys[index]!
    return keyPattern.test(key) && valuePattern.test(member.slice(key.length + 1))
  })
  const kept = members.join()
  const fits = members.length <= membersMax && kept.length <= tracestateBytesMax && new Set(keys).size === keys.length
  return kept !== '' && isValid && fits ? kept : null
}
