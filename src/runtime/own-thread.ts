import type { WorkerOptions } from 'node:worker_threads'

/**
 * Options for every thread of ours, without what the process was started with. `--input-type`, `--require` and `--import`, also in
 * `NODE_OPTIONS`, are meant for the program; a thread would run them, or a part of the program, a second time. Only Yarn's Plug'n'Play is
 * inherited, because without its preload no package is found.
 */
export const ownThread: Pick<WorkerOptions, 'execArgv' | 'env'> = process.versions.pnp ? {} : { execArgv: [], env: {} }
