import { types } from 'node:util'

/** Why a value of a payload, apart from its members, cannot be stored as JSON; undefined if it can. */
export function jsonProblem(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? objectFault(value) : primitiveFault(value)
}

function primitiveFault(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : `${value} is not a JSON number`
    case 'undefined':
      return 'its toJSON gives nothing'
    case 'bigint':
      return 'a bigint cannot be stored as JSON; use text'
    case 'symbol':
    case 'function':
      return `a ${typeof value} cannot be stored as JSON`
    default:
      return
  }
}

export const isBytes = (value: unknown) => ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)

/** Values that are described by their kind, whatever their realm; `advice` may be empty. */
const kinds: readonly (readonly [is: (value: object) => boolean, what: string, advice: string])[] = [
  [types.isMap, 'a Map', 'use an object or an array'],
  [types.isSet, 'a Set', 'use an array'],
  [types.isPromise, 'a Promise', 'await it first'],
  [types.isNativeError, 'an Error', 'use its message'],
  [isBytes, 'bytes', 'use text, such as base64'],
  [types.isRegExp, 'a RegExp', 'use its source'],
  [types.isBoxedPrimitive, 'a boxed primitive', 'use the primitive'],
]

function objectFault(value: object): string | undefined {
  const kind = kinds.find(([is]) => is(value))
  if (kind) return `${kind[1]} cannot be stored as JSON; ${kind[2]}`
  const prototype = Object.getPrototypeOf(value)
  // `Array.prototype` is itself an array, in every realm; the prototype of a class that extends it is not.
  if (Array.isArray(value) ? Array.isArray(prototype) : prototype === null || isRootPrototype(prototype)) return
  return `an instance of ${className(value)} cannot be stored as JSON; use a plain object, or add a toJSON to its class`
}

/** `Object.prototype`, of any realm. */
function isRootPrototype(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

/** The name of its class, of at most 100 characters. */
export function className(value: unknown): string {
  try {
    const name: unknown = Object(value).constructor.name
    return typeof name === 'string' && name !== '' ? name.slice(0, 100) : 'a class'
  } catch {
    return 'a class'
  }
}
