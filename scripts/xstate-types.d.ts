// Replaces xstate in the package's own types: see plain-types.js. Only the parts that they use.

// biome-ignore-all lint/suspicious/noExplicitAny: what is any here is XState's, for those who have its types
// biome-ignore-all lint/correctness/noUnusedVariables: in the places that XState has them in

export interface StateMachine<A, B, C, D, E, F, G, Value, H, I, J, K, L, M, N = unknown> {
  readonly value: Value
}
export type AnyStateMachine = StateMachine<any, any, any, any, any, any, any, any, any, any, any, any, any, any>
export type SnapshotFrom<Machine> = Machine extends { readonly value: infer Value } ? { readonly value: Value } : never
export type CallbackActorLogic<Event, Input = unknown, Emitted = unknown> = (event: Event, input: Input) => Emitted
export type EventObject = { readonly type: string }
export type MachineContext = object
export type MetaObject = object
export type NonReducibleUnknown = unknown
export type Actor<Logic> = any
export type ActorRefFrom<Logic> = any
export type ActorRefFromLogic<Logic> = any
/** XState's type of the same name; use that as an annotation to get its members. */
export type InspectionEvent = any
