/** The HTTP API and the dashboard, inside the user's own app: `jobmachine/http`. */
export type { Access, Authorize, Role } from './access.ts'
export type { JobsHttp } from './http.ts'
export type { ListenOptions, Timeouts } from './listen.ts'
export type { HttpOptions } from './options.ts'

import { type JobSystem, systemClock, version } from '../engine/front-door.ts'
import { assembleHttp, type JobsHttp } from './http.ts'
import { completeOptions, type HttpOptions } from './options.ts'

/**
 * Makes the HTTP API and the dashboard of a system, to be mounted in another app or to listen by itself. Whoever can reach it may do all,
 * unless `apiToken` is given or the app that mounts it lets only some through. Throws `ConfigError` if an option is unknown or cannot work.
 */
export function createHttp(system: JobSystem, options: HttpOptions = {}): JobsHttp {
  return assembleHttp({
    ...completeOptions(system, options),
    system,
    now: systemClock.now,
    random: Math.random,
    version: version(),
    ownsProcess: false,
  })
}
