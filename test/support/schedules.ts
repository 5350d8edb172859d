import type { ScheduleMove, SchedulePlan, ScheduleRow } from '../../src/persistence/schedules.ts'
import type { Store } from '../../src/persistence/store.ts'
import { startAt } from './store.ts'

const plan: SchedulePlan = {
  source: 'api',
  spec: '{}',
  overlap: 'allow',
  since: startAt,
  lastTick: startAt,
  nextTick: startAt + 60_000,
  tzVersion: 'test',
  problem: null,
}

/** A move of a schedule that is kept, or of a new one. */
export function aMove(
  kept: ScheduleRow | { readonly name: string },
  event: ScheduleMove['event'],
  { plan: changed, ...more }: Partial<Omit<ScheduleMove, 'plan'>> & { readonly plan?: Partial<SchedulePlan> } = {},
): ScheduleMove {
  const { id, name, seq } = 'id' in kept ? kept : { ...kept, id: null, seq: 0 }
  const before = 'id' in kept ? { ...plan, ...planOf(kept) } : plan
  return { id, name, seq, event, plan: { ...before, ...changed }, tick: null, details: null, job: null, ...more }
}

function planOf({ source, spec, overlap, since, lastTick, nextTick, tzVersion, problem }: ScheduleRow): SchedulePlan {
  return { source, spec, overlap, since, lastTick, nextTick, tzVersion, problem }
}

/** The schedule of that name as it is now. */
export async function scheduleIn(store: Store, name: string) {
  const { schedule } = await store.schedules.find(name)
  return schedule!
}

/** Makes one, and returns it. */
export async function aScheduleIn(store: Store, name: string, changed: Partial<SchedulePlan> = {}) {
  const [result] = await store.schedules.move([aMove({ name }, 'create', { plan: changed })])
  if (result!.outcome !== 'moved') throw new Error(`the schedule ${name} was not made: ${result!.outcome}`)
  return scheduleIn(store, name)
}
