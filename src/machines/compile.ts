import assert from 'node:assert/strict'
import { type AnyStateMachine, type AnyStateNode, type AnyTransitionDefinition, transition } from 'xstate'
import { guards } from './guards.ts'
import {
  type EventType,
  type GuardName,
  type JobFacts,
  type JobNode,
  type JobState,
  type JobTag,
  jobMachine,
} from './job.ts'
import {
  type ScheduleEventType,
  type ScheduleNode,
  type ScheduleState,
  type ScheduleTag,
  scheduleMachine,
} from './schedule.ts'

/** What a transition does to `attempt`: leave it, add one, give one back, or reset it. */
type AttemptEffect = 'keep' | 'count' | 'giveBack' | 'forget'

/** The same for `crashes`. */
type CrashEffect = Exclude<AttemptEffect, 'giveBack'>

/** The answer that a guard must give. */
interface Condition<Guard extends string = GuardName> {
  readonly guard: Guard
  readonly holds: boolean
}

/**
 * One arrow of a machine, the job's by default. It is taken if all of its conditions are met; exactly one arrow of a state and an event can
 * be.
 */
export interface Edge<
  Node extends string = JobNode,
  Event extends string = EventType,
  Guard extends string = GuardName,
  To extends string = JobState,
> {
  readonly from: Node
  readonly event: Event
  /** In the order in which the machine asks them; the last one distinguishes this arrow from later ones. */
  readonly conditions: readonly Condition<Guard>[]
  readonly to: To
  readonly attempt: AttemptEffect
  readonly crashes: CrashEffect
}

/** A whole machine, as data. */
interface Table<Node extends string, Tag extends string, Event extends string, TableEdge> {
  /** Each node, in the order of the lifecycle, with the events that it allows, in its own order. */
  readonly nodes: Readonly<
    Record<Node, { readonly tags: readonly Tag[]; readonly description: string; readonly events: readonly Event[] }>
  >
  /** In the machine's order. */
  readonly eventTypes: readonly Event[]
  readonly edges: readonly TableEdge[]
}

/** Far from 0 and from the limit, so that each effect on it is different. */
const probe = 5
const probeFacts: JobFacts = { attempt: probe, maxAttempts: 9, crashes: probe }
const effects = new Map<number, AttemptEffect>([
  [probe, 'keep'],
  [probe + 1, 'count'],
  [probe - 1, 'giveBack'],
  [0, 'forget'],
])

/**
 * Asks XState for everything that the job machine does: every node × event with every answer of its guards. A look-up is a thousand times
 * faster than `transition()` per row, and SQL can move a batch only by a table.
 */
export function compileJobMachine(): Table<JobNode, JobTag, EventType, Edge> {
  return compile(jobMachine, Object.keys(guards))
}

/** The same of a schedule's machine, which has no guards. */
export function compileScheduleMachine(): Table<
  ScheduleNode,
  ScheduleTag,
  ScheduleEventType,
  Edge<ScheduleNode, ScheduleEventType, never, ScheduleState>
> {
  return compile(scheduleMachine, [])
}

function compile<Whole extends Table<string, string, string, unknown>>(
  machine: AnyStateMachine,
  guardNames: readonly string[],
): Whole {
  const nodes = Object.entries(machine.states as Record<string, AnyStateNode>)
  return {
    nodes: Object.fromEntries(
      nodes.map(([name, { tags, description = '', ownEvents }]) => [
        name,
        { tags, description, events: [...new Set(ownEvents as string[])] },
      ]),
    ),
    eventTypes: [...new Set(machine.events as string[])],
    edges: compileEdges(machine, guardNames),
  } as unknown as Whole
}

/**
 * The edges of a flat machine whose context is `JobFacts`, in its order. Throws if a guard is not one of `guardNames`, because SQL would
 * not know it.
 */
export function compileEdges(
  machine: AnyStateMachine,
  guardNames: readonly string[],
): Edge<string, string, string, string>[] {
  const target = prepareTarget(machine, guardNames)
  return Object.values(machine.states as Record<string, AnyStateNode>).flatMap((node) =>
    [...new Set(machine.events as string[])].flatMap((event) => {
      const asked = guardsOf(machine, node, event, guardNames)
      return branch(asked, {}, (answers) => target(node.key, event, answers)).map(({ conditions, found }) => ({
        from: node.key,
        event,
        conditions,
        ...found,
      }))
    }),
  )
}

type Answers = Readonly<Record<string, boolean>>

interface Target {
  readonly to: string
  readonly attempt: AttemptEffect
  readonly crashes: CrashEffect
}

interface Branch {
  readonly conditions: readonly Condition<string>[]
  readonly found: Target
}

/** Branches on a guard only if its answer makes a difference. */
function branch(names: readonly string[], answers: Answers, ask: (answers: Answers) => Target | undefined): Branch[] {
  const [guard, ...rest] = names
  if (guard === undefined) {
    const found = ask(answers)
    return found ? [{ conditions: [], found }] : []
  }
  const decides = completions(rest, answers).some((all) => {
    const [held, not] = [true, false].map((holds) => ask({ ...all, [guard]: holds }))
    return held?.to !== not?.to || held?.attempt !== not?.attempt || held?.crashes !== not?.crashes
  })
  if (!decides) return branch(rest, { ...answers, [guard]: false }, ask)
  return [true, false].flatMap((holds) =>
    branch(rest, { ...answers, [guard]: holds }, ask).map(({ conditions, found }) => ({
      conditions: [{ guard, holds }, ...conditions],
      found,
    })),
  )
}

function completions(names: readonly string[], answers: Answers): Answers[] {
  return names.reduce<Answers[]>(
    (all, name) => all.flatMap((one) => [true, false].map((holds) => ({ ...one, [name]: holds }))),
    [answers],
  )
}

/**
 * The guards that an event may ask in a state, in the machine's order: those of the state, of the machine, and of its eventless
 * transitions.
 */
function guardsOf(machine: AnyStateMachine, node: AnyStateNode, event: string, known: readonly string[]): string[] {
  const always = Object.values(machine.states as Record<string, AnyStateNode>).flatMap(({ always = [] }) => always)
  const own = [node, machine.root].flatMap(({ transitions }) => transitions.get(event) ?? [])
  for (const transition of own) assertExpressible(node, event, transition)
  const asked = own.length === 0 ? [] : [...own, ...always]
  const names = asked.flatMap(({ guard }) => {
    if (guard === undefined) return []
    const name = typeof guard === 'string' ? guard : (guard as { type?: string }).type
    assert(
      name !== undefined && known.includes(name),
      `${node.key} on ${event} asks the guard "${name ?? String(guard)}", which is none of those named: ${known.join(', ')}`,
    )
    return [name]
  })
  return [...new Set(names)]
}

/** Refuses what the table cannot express; otherwise it would be silently left out. */
function assertExpressible(
  node: AnyStateNode,
  event: string,
  { source, target, guard, reenter }: AnyTransitionDefinition,
): void {
  const where = `${node.key} on ${event}`
  const [to] = target ?? []
  assert(event !== '*', `${node.key} accepts any event, "*", but the table must name each`)
  assert(to !== undefined && (to !== node || source !== node || reenter), `${where} leads to no other state`)
  assert(Object.keys(to.states).length === 0, `${where} leads to ${to.key}, which has states of its own`)
  const hasParams = typeof guard === 'object' && 'params' in guard
  assert(!hasParams, `${where} asks the guard "${(guard as { type?: string } | undefined)?.type}" with parameters`)
}

/** Where XState goes from a state on an event if the guards answer as given (false by default); undefined if it stays. */
function prepareTarget(machine: AnyStateMachine, guardNames: readonly string[]) {
  let answers: Answers = {}
  const asking = machine.provide({
    guards: Object.fromEntries(guardNames.map((name) => [name, () => answers[name] ?? false])),
  })
  return (from: string, event: string, told: Answers): Target | undefined => {
    answers = told
    const before = asking.resolveState({ value: from, context: probeFacts })
    if (before.status !== 'active') return
    if (!before.can({ type: event })) return
    const [after] = transition(asking, before, { type: event })
    const others = Object.keys(after.context).filter((fact) => fact !== 'attempt' && fact !== 'crashes')
    const changed = others.find((fact) => after.context[fact] !== before.context[fact])
    assert(changed === undefined, `${from} on ${event} changes ${changed}, for which the table has no word`)
    const attempt = effects.get(after.context.attempt)
    const crashes = effects.get(after.context.crashes)
    assert(attempt, `${from} on ${event} changes attempt in a way the table has no word for`)
    assert(crashes && crashes !== 'giveBack', `${from} on ${event} changes crashes in a way the table has no word for`)
    return { to: after.value as string, attempt, crashes }
  }
}
