import { types } from 'node:util'
import { defaults } from '../config.ts'
import type { InputIssue } from '../errors.ts'
import { className, isBytes, jsonProblem } from './payload-value.ts'

/** How many levels of arrays and objects a payload may have. */
export const payloadDepthMax = 64
/** The most faults of one payload that one error lists. */
const faultsMax = 20

/** A payload as it will be stored and read back, or why it cannot be. */
interface StoredPayload {
  readonly value: unknown
  /** Empty if it can be stored. Paths begin with `.`, or are empty. */
  readonly faults: readonly InputIssue[]
  /** By path, the class of each value whose `toJSON` result is stored. */
  readonly converted: ReadonlyMap<string, string>
}

const {
  getOwnPropertyNames,
  getOwnPropertySymbols,
  getPrototypeOf,
  hasOwn,
  is,
  keys: keysOf,
  prototype: objects,
} = Object
const { prototype: arrays } = Array

/** Whether a value is JSON with at most `valuesMax` members and elements. False is not yet a fault. */
function isPlainWithin(value: unknown, isLoose: boolean, valuesMax: number): boolean {
  try {
    return !('toJSON' in objects || 'toJSON' in arrays) && valuesLeft(value, payloadDepthMax, isLoose, valuesMax) >= 0
  } catch {
    // A getter or a Proxy: `toStoredPayload` says which.
    return false
  }
}

/**
 * Runs at each enqueue, so it uses no closure, no path, and only calls that V8 answers from an object's shape. `isLoose` allows undefined
 * members and −0, which JSON leaves out and turns into 0. Returns how many of `values` are left; negative if there are too many or the
 * value is not plain.
 */
function valuesLeft(value: unknown, levels: number, isLoose: boolean, values: number): number {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return values
  if (typeof value === 'number') return Number.isFinite(value) && (isLoose || !is(value, -0)) ? values : -1
  if (typeof value !== 'object' || levels === 0) return -1
  const prototype = getPrototypeOf(value)
  let left = values
  if (prototype === arrays && Array.isArray(value)) {
    // By index, because a hole reads as undefined.
    for (let index = 0; index < value.length; index++) {
      left = valuesLeft(value[index], levels - 1, isLoose, left - 1)
      if (left < 0) return -1
    }
    return keysOf(value).length === value.length && getOwnPropertySymbols(value).length === 0 ? left : -1
  }
  if (prototype !== objects) return -1
  let count = 0
  // Not `Object.keys`, which makes an array. This finds inherited members too.
  for (const key in value) {
    if (--left < 0 || !hasOwn(value, key)) return -1
    count++
    const member = (value as Record<string, unknown>)[key]
    if (typeof member === 'string' || (isLoose && member === undefined)) continue
    left = valuesLeft(member, levels - 1, isLoose, left)
    if (left < 0) return -1
  }
  return getOwnPropertyNames(value).length === count && getOwnPropertySymbols(value).length === 0 ? left : -1
}

/**
 * What is stored of a value, until `valuesMax` members and elements were visited; undefined if it is stored and read back unchanged, like a
 * result of `JSON.parse`. Undefined members are left out and −0 becomes 0, as in `JSON.stringify`.
 */
export function toStoredPayload(value: unknown, valuesMax = defaults.maxPayloadValues): StoredPayload | undefined {
  if (isPlainWithin(value, false, valuesMax)) return
  const converted = new Map<string, string>()
  const faults: InputIssue[] = []
  // This handles by far the most payloads, in a third of the time.
  if (isPlainWithin(value, true, valuesMax)) return { value: JSON.parse(JSON.stringify(value)), faults, converted }
  // The payload itself is not one of its members.
  const met = { values: -1 }
  for (const fault of faultsAt({ '': value }, '', { path: '', within: [], converted, met, valuesMax })) {
    if (faults.push(fault) === faultsMax || met.values > valuesMax) break
  }
  if (faults.length > 0) return { value: undefined, faults, converted }
  try {
    return { value: JSON.parse(JSON.stringify(value)), faults, converted }
  } catch (error) {
    return {
      value: undefined,
      faults: [{ path: '', message: `cannot be stored as JSON${messageOf(error)}` }],
      converted,
    }
  }
}

/** The position of a value in a payload. */
interface Place {
  readonly path: string
  /** The arrays and objects around it. */
  readonly within: readonly object[]
  readonly converted: Map<string, string>
  /** The number of members and elements so far, and their limit. */
  readonly met: { values: number }
  readonly valuesMax: number
}

/** Like `JSON.stringify`, reads the member of a holder and calls its `toJSON` once; the result's `toJSON` is not called. */
function* faultsAt(holder: object, key: string, at: Place): Generator<InputIssue> {
  const { path } = at
  if (++at.met.values > at.valuesMax) {
    yield { path: '', message: `has more than ${at.valuesMax} members and elements` }
    return
  }
  try {
    const value: unknown = (holder as Record<string, unknown>)[key]
    if (value === undefined) {
      if (path === '') yield { path, message: 'is required' }
      else if (Array.isArray(holder))
        yield { path, message: `${key in holder ? 'undefined' : 'a hole'} in an array; use null` }
      return
    }
    const toJson = toJsonOf(value)
    const told = toJson ? toJson.call(value, key) : value
    if (toJson) at.converted.set(path, className(value))
    const message = types.isDate(value) && told === null ? 'an invalid Date' : problemOf(told, at)
    if (message) yield { path, message }
    else if (typeof told === 'object' && told !== null) yield* faultsWithin(told, at)
  } catch (error) {
    yield { path, message: `cannot be read${messageOf(error)}` }
  }
}

function* faultsWithin(value: object, { path, within, ...same }: Place): Generator<InputIssue> {
  const inside = [...within, value]
  const below = (key: string) => ({ path: `${path}.${key}`, within: inside, ...same })
  const isArray = Array.isArray(value)
  for (let index = 0; isArray && index < value.length; index++) yield* faultsAt(value, `${index}`, below(`${index}`))
  for (const key of Reflect.ownKeys(value)) {
    if (typeof key === 'symbol')
      yield { path, message: `has a member with the symbol key ${String(key)}, which JSON does not keep` }
    else if (isArray && (key === 'length' || isIndex(key))) continue
    else if (isArray)
      yield { path: `${path}.${key}`, message: 'is a property of an array; JSON keeps only its elements' }
    else if (Object.prototype.propertyIsEnumerable.call(value, key)) yield* faultsAt(value, key, below(key))
    else yield { path: `${path}.${key}`, message: 'is not enumerable; JSON does not keep it' }
  }
}

/** `JSON.stringify` calls the `toJSON` only of objects and bigints. Bytes in a Buffer have one, but its result is no longer bytes. */
function toJsonOf(value: unknown): ((this: unknown, key: string) => unknown) | undefined {
  if ((typeof value !== 'object' || value === null || isBytes(value)) && typeof value !== 'bigint') return
  const { toJSON } = value as { toJSON?: unknown }
  return typeof toJSON === 'function' ? (toJSON as (key: string) => unknown) : undefined
}

/** What is wrong with a value as a whole, at its position. */
function problemOf(value: unknown, { within }: Place): string | undefined {
  if (typeof value !== 'object' || value === null) return jsonProblem(value)
  if (within.includes(value)) return 'contains itself; JSON has no cycles'
  if (within.length === payloadDepthMax) return `is nested deeper than ${payloadDepthMax} levels`
  return jsonProblem(value)
}

function messageOf(error: unknown): string {
  try {
    return `: ${String((error as Error).message)}`.slice(0, 200)
  } catch {
    return ''
  }
}

function isIndex(key: string): boolean {
  return /^(0|[1-9]\d*)$/.test(key)
}
