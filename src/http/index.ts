/** The HTTP API and the dashboard, inside the user's own app: `jobmachine/http`. */
export type { Access, Authorize, Role } from './access.ts'
export type { JobsHttp } from './http.ts'
export type { ListenOptions, Timeouts } from './listen.ts'
export type { HttpOptions } from './options.ts'

import { type JobSystem, systemClock, version } from '../engine/front-door.ts'
import { assembleHttp, type JobsHttp } from './http.ts'
import { completeOptions, type HttpOptions } from './options.ts'

/**
 * Creates the HTTP API and the dashboard of a system, to be mounted in another app or to listen on its own. Everyone who can reach it may
 * do everything, unless `apiToken` is given or the app lets only some requests through. Throws `ConfigError` on an unknown or invalid
 * option.
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
