/** A span of a trace, as the headers of W3C Trace Context name it. */
export interface TraceContext {
  /** In version 00: `00-<trace id>-<span id>-<flags>`, 55 characters. */
  readonly traceparent: string
  /** What tracing systems add to it, at most 512 bytes. */
  readonly tracestate: string | null
}

const tracestateBytesMax = 512
const membersMax = 32

/** A version after 00 may have more after its flags; ff is not a version. Ids of only zeros are invalid. */
const parentPattern = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:-.*)?$/
const keyPattern = /^(?:[a-z][_\da-z\-*/]{0,255}|[a-z\d][_\da-z\-*/]{0,240}@[a-z][_\da-z\-*/]{0,13})$/
const valuePattern = /^[ -+\--<>-~]{0,255}[!-+\--<>-~]$/

/**
 * Reads the two headers by the rules of W3C Trace Context. An invalid `traceparent` counts as none, so the result is null. An invalid or
 * overlong `tracestate` counts as none too, but the `traceparent` is kept.
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
