import { crashesMax } from '../machines/guards.ts'
import { processEnded, type StoredError } from './store.ts'

/** Of a lease that ran out while its process lives. */
export const leaseExpiredError: StoredError = {
  name: 'LeaseExpiredError',
  message: 'the lease ran out: its worker was silent for longer than the visibility timeout',
}

/** Of a job whose process has ended. `ran`: its start was stored; `crashes`: before this one; `ranTogether`: jobs that ran in that process. */
export function processEndedError(ran: boolean, crashes: number, ranTogether: number): StoredError {
  return { name: processEnded, message: sayEnd(ran, crashes, ranTogether - 1) }
}

function sayEnd(ran: boolean, crashes: number, beside: number): string {
  if (!ran) return 'the process that held it ended before it ran it'
  const times = crashes === 0 ? '' : `, for the ${ordinal(crashes + 1)} time`
  return `the process ended while it ran${times}; ${sayCompany(beside)}${sayVerdict(crashes + 1, beside)}`
}

/** Of that moment: a job that was started alone has others beside it when it has run for some seconds. */
function sayCompany(beside: number): string {
  if (beside === 0) return 'it ran alone'
  return `${beside === 1 ? '1 other' : `${beside} others`} ran beside it at that moment`
}

/** What a job's last crash means. */
function sayVerdict(crashes: number, beside: number): string {
  if (crashes < crashesMax) return ''
  const evidence = beside === 0 ? 'so it counts' : `but it ran at all ${crashes} such ends, so it counts`
  return `, ${evidence} as the cause (correct its handler, then requeue it)`
}

function ordinal(n: number): string {
  return { 2: 'second', 3: 'third', 4: 'fourth' }[n] ?? `${n}th`
}
