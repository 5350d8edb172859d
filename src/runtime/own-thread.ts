import type { WorkerOptions } from 'node:worker_threads'

/**
 * For every thread of ours: without what the process was started with. `--input-type`, a `--require` or an `--import`, also those in
 * `NODE_OPTIONS`, are meant for the program; in a thread they would run it, or a part of it, a second time. Only Yarn's Plug'n'Play is
 * inherited: without its preload no package is found.
 */
export const ownThread: Pick<WorkerOptions, 'execArgv' | 'env'> = process.versions.pnp ? {} : { execArgv: [], env: {} }
