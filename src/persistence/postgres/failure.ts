/**
 * What an error of the driver says. `lost`: the connection broke, and what was under way may be committed or not. `retry`: the server rolled
 * it back because of others, and it may go well again. `slow`: it was rolled back because it took too long. `locked`: another transaction has held
 * for too long what it needs. `given up`: this writer's node was declared dead. `key`: an idempotency key or a unique key that another
 * transaction has stored meanwhile. `moved`: the server was replaced by a standby. `ids`: the ids of new jobs
 * are given already. `full`: the server's disk. `refused`: the server takes no writes or connections now. Null: a bug of ours.
 */
export function failureOf(
  error: unknown,
): 'lost' | 'retry' | 'slow' | 'locked' | 'given up' | 'key' | 'moved' | 'ids' | 'full' | 'refused' | null {
  const { code, constraint, message } = Object(error) as Partial<Record<string, string>>
  // Not EPIPE, which is as long as the server's codes.
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^E[A-Z]+$/.test(code))
    return isOfConnection(code, message) ? 'lost' : null
  if (code.startsWith('08') || code === '57P01' || code === '57P02' || code === '57P03') return 'lost'
  if (code === '40P01' || code === '40001') return 'retry'
  if (code === '57014') return 'slow'
  if (code === '55P03') return 'locked'
  if (code === 'JM001') return 'given up'
  if (code === '23505' && isOfKey(constraint)) return 'key'
  if (code === 'JM003') return 'moved'
  if (code === '23505' && /^(jobs_pkey|job_payloads_pkey|job_events_seq|unique_jobs_pkey)$/.test(constraint ?? ''))
    return 'ids'
  if (code === '53100') return 'full'
  // Too many connections, a standby; a password or a database that is no longer valid.
  return /^(53|28|3D)/.test(code) || code === '25006' ? 'refused' : null
}

/** Whether it is the index of a key that callers choose. */
function isOfKey(constraint: string | undefined): boolean {
  return constraint === 'jobs_key' || constraint === 'unique_jobs_place'
}

function isOfConnection(code: string | undefined, message = ''): boolean {
  return /^E[A-Z]+$/.test(code ?? '') || /connection|not queryable|timeout|socket/i.test(message)
}
