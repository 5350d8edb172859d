import type { Context } from 'hono'
import type { JobSystem } from '../../../engine/front-door.ts'
import { may } from '../../access.ts'
import type { Env } from '../../request.ts'

/** What the user of a page may do there. */
export interface Allowed {
  /** The user may do it, but only the server of the file can, and this process is not the server. */
  readonly isProducer: boolean
  /** Cancel or requeue a job. */
  readonly command: boolean
  /** The same for many jobs at once. */
  readonly bulk: boolean
}

export function allowedTo({ runsJobs }: JobSystem, { env: { access } }: Context<Env>): Allowed {
  return {
    isProducer: !runsJobs && may(access, 'operate'),
    command: runsJobs && may(access, 'operate'),
    bulk: runsJobs && may(access, 'admin'),
  }
}
