import { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers'

/**
 * Node's timers, for everything that runs in the user's own event loop. The fake timers of a user's tests replace the globals, and a system
 * that used those would wait forever. The simulation puts its virtual time in the place of this one object.
 */
export const timers = { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout }

/** The function as it is at load time, for the same reason. */
export const { queueMicrotask } = globalThis
