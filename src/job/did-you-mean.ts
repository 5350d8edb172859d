/** `; did you mean NAME?` if one of the known names is similar to the written one, otherwise empty. */
export function didYouMean(written: string, known: Iterable<string>): string {
  // The name may have any length.
  if (written.length > nameMax) return ''
  const asked = plain(written)
  const names = [...known]
  const usual = names.find((name) => otherNames.get(name)?.includes(asked))
  let nearest: string | undefined
  let least = 3
  for (const name of names) {
    const distance = distanceOf(asked, plain(name), least)
    if (distance < least) [nearest, least] = [name, distance]
  }
  const meant = nearest ?? usual
  return meant === undefined ? '' : `; did you mean ${meant}?`
}

/** What other libraries call these options. */
const otherNames: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    database: ['path', 'db', 'file', 'filename', 'dbpath', 'url', 'storage'],
    workers: ['concurrency', 'parallelism', 'threads'],
    log: ['logger', 'logging'],
    type: ['name', 'kind', 'job', 'task', 'jobname'],
    payload: ['data', 'args', 'input', 'schema', 'params', 'body'],
    run: ['handler', 'process', 'perform', 'handle', 'execute', 'fn', 'work'],
    state: ['status'],
    maxRetries: ['attempts', 'maxattempts', 'retries', 'retry'],
    idempotencyKey: ['jobid', 'key', 'uniquekey', 'dedupekey'],
    idempotency_key: ['jobid', 'key', 'uniquekey', 'dedupekey'],
    runAt: ['scheduledat', 'at', 'when', 'runafter', 'startat'],
    run_at: ['scheduledat', 'at', 'when', 'runafter', 'startat'],
    cron: ['pattern', 'expression', 'crontab', 'schedule', 'rule'],
    everyMs: ['interval', 'repeat', 'every'],
    every_ms: ['interval', 'repeat', 'every'],
    zone: ['timezone', 'tz', 'location'],
    missed: ['catchup', 'misfire', 'misfirepolicy'],
    startsAt: ['start', 'startdate', 'from'],
    starts_at: ['start', 'startdate', 'from'],
    endsAt: ['end', 'enddate', 'until'],
    ends_at: ['end', 'enddate', 'until'],
  }),
)

const nameMax = 40

/** Treats `max_retries` and `maxRetries` as the same name. */
function plain(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase()
}

/**
 * How many letters are changed, added or left out. A name that only continues, as `timeout` and `timeoutMs`, is near. Infinity at `tooFar`
 * or more, if that is clear at once.
 */
function distanceOf(a: string, b: string, tooFar: number): number {
  if (a.length >= 4 && b.startsWith(a)) return Math.min(b.length - a.length, 2)
  if (Math.abs(a.length - b.length) >= tooFar) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j]! + (letter === b[j] ? 0 : 1), row[j + 1]! + 1, next[j]! + 1))
    }
    row = next
  }
  // Every short name is near to others.
  return row[b.length]! * 2 > Math.min(a.length, b.length) ? Number.POSITIVE_INFINITY : row[b.length]!
}
