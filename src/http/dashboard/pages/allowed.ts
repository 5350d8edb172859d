import type { Context } from 'hono'
import type { JobSystem } from '../../../engine/front-door.ts'
import { may } from '../../access.ts'
import type { Env } from '../../request.ts'

/** What whoever looks at a page may do there. */
export interface Allowed {
  /** Only the server of the file can do it, which this process is not. */
  readonly isProducer: boolean
  /** Cancel or requeue a job. */
  readonly command: boolean
  /** The same of many at once. */
  readonly bulk: boolean
}

export function allowedTo({ runsJobs }: JobSystem, { env: { access } }: Context<Env>): Allowed {
  return {
    isProducer: !runsJobs,
    command: runsJobs && may(access, 'operate'),
    bulk: runsJobs && may(access, 'admin'),
  }
}
