import { findBun } from './bun.ts'
import type { Kind } from './measurements.ts'
import { findPostgres } from './postgres.ts'
import { findRedis } from './redis.ts'
import type { Runtime, Service } from './service.ts'

/** What keeps the jobs. */
export type Family = 'sqlite' | 'redis' | 'postgres'

/** One row of the table. */
export interface Entry {
  /** As `--only` accepts it: the peer's name, with the variant's if it has more than one. */
  readonly name: string
  /** The file that drives it. */
  readonly peer:
    | 'jobmachine'
    | 'bare-postgres'
    | 'plainjob'
    | 'liteque'
    | 'bullmq'
    | 'pg-boss'
    | 'graphile-worker'
    | 'bunqueue'
  readonly variant: string
  /** What an acknowledgement survives. */
  readonly survives: string
  /** How it differs from the peer's defaults, besides the number of workers. */
  readonly settings: string
  /** What is measured of it. */
  readonly does: readonly Kind[]
  /** By which `--family` names it with others. */
  readonly family: Family
  /** Started again for each of its measurements. */
  readonly service?: Service
  /** Runs its process; Node.js by default. */
  readonly runtime?: Runtime
}

/** Why a peer cannot be measured, and how to get what is missing; null if it can. */
export function missingFor({ service, runtime }: Entry): string | null {
  if (service && 'missing' in service) return service.missing
  if (runtime && 'missing' in runtime) return runtime.missing
  return null
}

const processCrash = 'process crash'
const powerCut = 'power cut'

const polling = 'polls every 10 ms instead of every second'

const system: readonly Kind[] = ['batches', 'calls']
const sqlite = { family: 'sqlite', does: system } as const
const redis = { family: 'redis', does: system } as const
const postgres = { family: 'postgres', does: system, survives: powerCut, service: findPostgres() } as const

/** In the order of the table. */
export const catalogue: readonly Entry[] = [
  {
    name: 'jobmachine',
    peer: 'jobmachine',
    variant: 'full',
    survives: powerCut,
    settings: 'none',
    ...sqlite,
  },
  {
    name: 'jobmachine-postgres',
    peer: 'jobmachine',
    variant: 'postgres',
    settings: 'none',
    ...postgres,
    does: [...system, 'server'],
  },
  {
    name: 'bare-postgres',
    peer: 'bare-postgres',
    variant: 'limit',
    settings: 'statements by hand for the same rows, two connections, batches of 500',
    ...postgres,
    does: ['batches'],
  },
  {
    name: 'plainjob',
    peer: 'plainjob',
    variant: 'normal',
    survives: processCrash,
    settings: polling,
    ...sqlite,
  },
  {
    name: 'plainjob-full',
    peer: 'plainjob',
    variant: 'full',
    survives: powerCut,
    settings: `synchronous=FULL, ${polling}`,
    ...sqlite,
  },
  {
    name: 'liteque',
    peer: 'liteque',
    variant: 'normal',
    survives: processCrash,
    settings: polling,
    ...sqlite,
  },
  {
    name: 'liteque-full',
    peer: 'liteque',
    variant: 'full',
    survives: powerCut,
    settings: `synchronous=FULL, ${polling}`,
    ...sqlite,
  },
  {
    name: 'bunqueue',
    peer: 'bunqueue',
    variant: 'buffered',
    survives: 'at first nothing; process crash 10 ms later',
    settings: 'pulls 100 at a time, polls every 10 ms instead of every 50',
    runtime: findBun(),
    ...sqlite,
  },
  {
    name: 'bunqueue-durable',
    peer: 'bunqueue',
    variant: 'durable',
    survives: processCrash,
    settings: 'durable jobs, pulls 100 at a time, polls every 10 ms instead of every 50',
    runtime: findBun(),
    ...sqlite,
  },
  {
    name: 'bullmq-memory',
    peer: 'bullmq',
    variant: 'memory',
    survives: 'crash of the caller, not of Redis',
    settings: 'Redis without AOF and snapshots',
    service: findRedis('no'),
    ...redis,
  },
  {
    name: 'bullmq-everysec',
    peer: 'bullmq',
    variant: 'everysec',
    survives: 'crash of Redis; power cut a second later',
    settings: 'Redis with AOF, fsync every second',
    service: findRedis('everysec'),
    ...redis,
  },
  {
    name: 'bullmq-always',
    peer: 'bullmq',
    variant: 'always',
    survives: powerCut,
    settings: 'Redis with AOF, fsync before each answer',
    service: findRedis('always'),
    ...redis,
  },
  {
    name: 'pg-boss',
    peer: 'pg-boss',
    variant: 'defaults',
    settings: 'none: each worker takes one job every two seconds',
    ...postgres,
  },
  {
    name: 'pg-boss-tuned',
    peer: 'pg-boss',
    variant: 'tuned',
    settings: 'one worker with batches of 100, bursts, LISTEN/NOTIFY',
    ...postgres,
  },
  {
    name: 'graphile-worker',
    peer: 'graphile-worker',
    variant: 'defaults',
    settings: 'none',
    ...postgres,
  },
  {
    name: 'graphile-worker-batched',
    peer: 'graphile-worker',
    variant: 'batched',
    settings: 'local queue of 500, batched completion without delay',
    ...postgres,
  },
]
