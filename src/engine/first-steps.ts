import { shown } from '../config.ts'
import type { AnyHandler } from '../handlers/define.ts'

/** Methods of a system that are called on its promise if the `await` was forgotten. */
const firstCalls = ['start', 'enqueue', 'submit', 'list', 'stop']

/** The same promise, which answers such a call with an explanation. */
export function toBeAwaited<T>(promise: Promise<T>): Promise<T> {
  for (const name of firstCalls) {
    const value = () => {
      throw new TypeError(`createJobSystem returns a promise: await it before you call ${name}`)
    }
    void Object.defineProperty(promise, name, { value })
  }
  return promise
}

/**
 * The position from which `called` was called, as `/app/jobs.js:12:3`; null if the stack does not show it. Call it before anything is
 * awaited.
 */
export function callerOf(called: (...given: never[]) => unknown): string | null {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, called)
  const frame = /^ +at .*$/m.exec(holder.stack ?? '')?.[0]
  return frame ? (/\(?((?:file:\/\/)?[^\s(]*:\d+:\d+)\)?$/.exec(frame)?.[1]?.replace('file://', '') ?? null) : null
}

/** A job has no member of that name. Anything that is not an object is refused later, with what it must be. */
export function isHandler(given: unknown): given is AnyHandler {
  return typeof given === 'object' && given !== null && 'run' in given
}

/** What is wrong with the arguments of `enqueue`; null if nothing is. Faults of a job itself are found later. */
export function checkCall(given: unknown, isHandler: boolean, second: unknown, options: unknown): string | null {
  if (typeof given !== 'object' || given === null)
    return `must be a job { type, payload }, an array of jobs, or a handler and its payload; got ${shown(given)}`
  if (isHandler) {
    const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
    return options === undefined || isObject ? null : `options must be an object; got ${shown(options)}`
  }
  if (second === undefined || isClientAlone(second)) return null
  return 'a second argument is only for a handler and its payload, or { client }; write options into the job: { type, payload, delayMs }'
}

function isClientAlone(given: unknown): boolean {
  return typeof given === 'object' && given !== null && Object.keys(given).join() === 'client'
}
