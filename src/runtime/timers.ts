import { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers'

/**
 * Node's timers, for whatever runs in the user's own event loop: the fake ones of a user's tests replace the globals, and a system that is served by
 * those waits for ever. One object, in whose place the simulation puts its virtual time.
 */
export const timers = { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout }

/** As it is when this is loaded, for the same reason. */
export const { queueMicrotask } = globalThis
