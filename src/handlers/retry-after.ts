/**
 * How long a receiver asks to wait, in ms from `now`; 0 where it asks for nothing that can be read. Takes all that RFC 9110 has: seconds, and a
 * date in any of three forms. Where the header came twice, as of an application and of the proxy before it, the later instant counts.
 */
export function retryAfterMs(headers: readonly string[], now: number): number {
  return Math.max(0, ...headers.flatMap(parts).map((value) => delayMs(value.trim(), now)))
}

/** Seconds that a proxy has joined to one header; a date has a comma of its own. */
function parts(header: string): string[] {
  return /^[\d\s,]+$/.test(header) ? header.split(',') : [header]
}

function delayMs(value: string, now: number): number {
  if (/^\d+$/.test(value)) return Number(value) * 1_000
  const at = Date.parse(isAsctime(value) ? `${value} GMT` : value)
  return Number.isNaN(at) || !(isAsctime(value) || value.endsWith('GMT')) ? 0 : at - now
}

/** `Sun Nov  6 08:49:37 1994`: it names no zone and means GMT. */
function isAsctime(value: string): boolean {
  return /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/.test(value)
}
