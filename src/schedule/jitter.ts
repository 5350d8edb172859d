import { createHash } from 'node:crypto'

/**
 * The delay in ms of the job of a tick, from 0 to `jitterMs` but at most half of the way to the next tick. The same id and tick always give
 * the same delay, on each server and after each restart.
 */
export function jitterDelay(scheduleId: string, tick: number, jitterMs: number, nextTick: number | null): number {
  const most = nextTick === null ? jitterMs : Math.min(jitterMs, Math.floor((nextTick - tick) / 2))
  const hash = createHash('sha256').update(`${scheduleId}\n${tick}`).digest().readUIntBE(0, 6)
  return Math.floor((hash / 2 ** 48) * (most + 1))
}
