/**
 * How long a receiver asks to wait, in ms from `now`; 0 if the value cannot be read. Accepts everything in RFC 9110: seconds, and dates in
 * any of three forms. If the header came twice, for example from an application and a proxy, the later instant counts.
 */
export function retryAfterMs(headers: readonly string[], now: number): number {
  return Math.max(0, ...headers.flatMap(parts).map((value) => delayMs(value.trim(), now)))
}

/** A proxy may join several values in seconds into one header. A date contains a comma itself. */
function parts(header: string): string[] {
  return /^[\d\s,]+$/.test(header) ? header.split(',') : [header]
}

function delayMs(value: string, now: number): number {
  if (/^\d+$/.test(value)) return Number(value) * 1_000
  const at = Date.parse(isAsctime(value) ? `${value} GMT` : value)
  return Number.isNaN(at) || !(isAsctime(value) || value.endsWith('GMT')) ? 0 : at - now
}

/** `Sun Nov  6 08:49:37 1994`: it has no zone and means GMT. */
function isAsctime(value: string): boolean {
  return /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/.test(value)
}
