import type { ScheduleEventType, ScheduleNode, ScheduleState, ScheduleTag } from './schedule.ts'
import { scheduleTable } from './schedule-table.ts'

/** The stored states of a schedule, in the order of its lifecycle. */
export const scheduleStates: readonly ScheduleState[] = Object.freeze(
  (Object.keys(scheduleTable.nodes) as ScheduleNode[]).filter((node): node is ScheduleState => node !== 'new'),
)

/** The events of a schedule, in the machine's order. */
export const scheduleEvents: readonly ScheduleEventType[] = Object.freeze(scheduleTable.eventTypes)

/** Every arrow of the machine. */
export const scheduleEdges = scheduleTable.edges

/** The state to which an event leads; undefined if the machine refuses it. */
export function scheduleAfter(from: ScheduleNode, event: ScheduleEventType): ScheduleState | undefined {
  return scheduleEdges.find((edge) => edge.from === from && edge.event === event)?.to
}

/** The events that the machine allows in a state. */
export function scheduleEventsFrom(from: ScheduleNode): readonly ScheduleEventType[] {
  return scheduleTable.nodes[from].events
}

export function hasScheduleTag(state: ScheduleState, tag: ScheduleTag): boolean {
  return scheduleTable.nodes[state]?.tags.includes(tag) ?? false
}

/** One row of a schedule's history, with what the machine can check. */
export interface ScheduleStep {
  readonly seq: number
  readonly event: ScheduleEventType
  readonly from: ScheduleState | null
  readonly to: ScheduleState
}

/** What the row of a schedule must be after a history, or after its newest part if the older was removed. */
export function replaySchedule(
  steps: readonly ScheduleStep[],
  tell: (fault: string) => void,
): { readonly state: ScheduleNode; readonly seq: number } {
  const [oldest] = steps
  let end: { state: ScheduleNode; seq: number } = { state: oldest?.from ?? 'new', seq: oldest ? oldest.seq - 1 : 0 }
  for (const { seq, event, from, to } of steps) {
    if (seq !== end.seq + 1) tell(`seq ${seq} follows seq ${end.seq}`)
    if ((from ?? 'new') !== end.state)
      tell(`seq ${seq} begins in ${from ?? 'new'}, but seq ${end.seq} ended in ${end.state}`)
    if (scheduleAfter(end.state, event) !== to)
      tell(`seq ${seq} goes from ${end.state} to ${to} by ${event}, which is not an edge`)
    end = { state: to, seq }
  }
  return end
}
