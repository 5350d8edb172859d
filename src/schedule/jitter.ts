/**
 * The delay in ms of the job of a tick, from 0 to `jitterMs` but at most half of the way to the next tick. The same id and tick always give
 * the same delay, on each server and after each restart.
 */
export function jitterDelay(_scheduleId: string, _tick: number, _jitterMs: number, _nextTick: number | null): number {
  throw new Error('not yet')
}
