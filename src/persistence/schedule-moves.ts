import type { ScheduleNode } from '../machines/schedule.ts'
import { scheduleAfter } from '../machines/schedule-edges.ts'
import type { EnqueueResult, ScheduleMove, ScheduleMoveResult } from './store.ts'

/** Why a job of a schedule was not stored. It has no idempotency key with which it could conflict. */
export function toMoveResult(result: Exclude<EnqueueResult, { readonly outcome: 'stored' }>): ScheduleMoveResult {
  return result.outcome === 'full' ? result : { outcome: 'held', holder: result.id! }
}

/** Whether a move was decided for the schedule as it is kept, and its machine has the event. */
export function isMoveAllowed(
  { id, seq, event }: Pick<ScheduleMove, 'id' | 'seq' | 'event'>,
  kept: { readonly state: ScheduleNode; readonly seq: number } | undefined,
): boolean {
  if (id === null) return kept === undefined && event !== null && scheduleAfter('new', event) !== undefined
  if (kept?.seq !== seq) return false
  return event === null || scheduleAfter(kept.state, event) !== undefined
}
