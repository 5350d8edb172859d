import assert from 'node:assert/strict'
import { transition } from 'xstate'
import { guards } from './guards.ts'
import {
  type EventType,
  type GuardName,
  type JobEvent,
  type JobFacts,
  type JobNode,
  type JobState,
  type JobTag,
  jobMachine,
} from './job.ts'

/** What a transition does to `attempt`: nothing, one more, one given back, or back to none. */
export type AttemptEffect = 'keep' | 'count' | 'giveBack' | 'forget'

/** One arrow of the job machine. `guard` null: it is taken whatever the facts. */
export interface Edge {
  readonly from: JobNode
  readonly event: EventType
  readonly guard: { readonly name: GuardName; readonly holds: boolean } | null
  readonly to: JobState
  readonly attempt: AttemptEffect
}

/** The whole job machine, as data. */
export interface JobTable {
  /** Each node, in the order of the lifecycle. */
  readonly nodes: Readonly<Record<JobNode, { readonly tags: readonly JobTag[]; readonly description: string }>>
  /** In the order in which the machine names them. */
  readonly eventTypes: readonly EventType[]
  readonly edges: readonly Edge[]
}

const guardNames = Object.keys(guards) as GuardName[]
/** Far from 0 and from the limit, so that each effect on it can be told from the others. */
const probeAttempt = 5
const probeFacts: JobFacts = { attempt: probeAttempt, maxAttempts: 9 }
const effects = new Map<number, AttemptEffect>([
  [probeAttempt, 'keep'],
  [probeAttempt + 1, 'count'],
  [probeAttempt - 1, 'giveBack'],
  [0, 'forget'],
])

const machines = new Map<string, typeof jobMachine>()

/**
 * Asks XState for all that the job machine does: every node × event under every combination of guards. A thousand times faster to look
 * up than `transition()` per row, and the only form in which SQL can move a batch. Takes 40 ms.
 */
export function compileJobMachine(): JobTable {
  const nodes = Object.entries(jobMachine.states) as [JobNode, (typeof jobMachine.states)[JobNode]][]
  const eventTypes = [...new Set(jobMachine.events as EventType[])]
  return {
    nodes: Object.fromEntries(
      nodes.map(([name, { tags, description = '' }]) => [name, { tags, description }]),
    ) as unknown as JobTable['nodes'],
    eventTypes,
    edges: nodes.flatMap(([from]) => eventTypes.flatMap((event) => edgesOf(from, event))),
  }
}

function edgesOf(from: JobNode, event: EventType): Edge[] {
  // Four in five pairs, known without asking.
  if (!jobMachine.states[from]!.ownEvents.includes(event)) return []
  const whatever = target(from, event, {})
  const deciding = guardNames.filter((name) => differs(from, event, name))
  if (deciding.length === 0) return whatever ? [{ from, event, guard: null, ...whatever }] : []
  // The SQL knows one condition per edge; a machine that needs two says so here and not in production.
  assert.equal(deciding.length, 1, `${from} on ${event} depends on more than one guard`)
  const name = deciding[0]!
  return [true, false].flatMap((holds) => {
    const found = target(from, event, { [name]: holds })
    return found ? [{ from, event, guard: { name, holds }, ...found }] : []
  })
}

function differs(from: JobNode, event: EventType, name: GuardName): boolean {
  const others = guardNames.filter((other) => other !== name)
  return combinations(others).some((rest) => {
    const [held, not] = [true, false].map((holds) => target(from, event, { ...rest, [name]: holds }))
    return held?.to !== not?.to || held?.attempt !== not?.attempt
  })
}

function combinations(names: GuardName[]): Partial<Record<GuardName, boolean>>[] {
  return names.reduce<Partial<Record<GuardName, boolean>>[]>(
    (all, name) => all.flatMap((one) => [true, false].map((holds) => ({ ...one, [name]: holds }))),
    [{}],
  )
}

/** The machine with its guards answering as told, false unless told: built once for each combination, which is what takes long. */
function answering({ attemptsRemain = false, runAtLiesAhead = false }: Partial<Record<GuardName, boolean>>) {
  const key = `${attemptsRemain} ${runAtLiesAhead}`
  const machine =
    machines.get(key) ??
    jobMachine.provide({ guards: { attemptsRemain: () => attemptsRemain, runAtLiesAhead: () => runAtLiesAhead } })
  machines.set(key, machine)
  return machine
}

/** Where XState goes from `from` on `event` when each guard answers as told; undefined where it stays. */
function target(from: JobNode, event: EventType, answers: Partial<Record<GuardName, boolean>>) {
  const machine = answering(answers)
  const before = machine.resolveState({ value: from, context: probeFacts })
  if (before.status !== 'active') return
  const [after] = transition(machine, before, { type: event, delayed: false } as JobEvent)
  if (after.value === from) return
  const attempt = effects.get(after.context.attempt)
  assert(attempt, `${from} on ${event} changes attempt in a way the table has no word for`)
  return { to: after.value as JobState, attempt }
}
