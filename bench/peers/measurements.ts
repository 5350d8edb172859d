import { setTimeout as sleep } from 'node:timers/promises'
import { evenly } from '../arrivals.ts'
import { bulkBatch, jobsPerRun, lanes, noop, perSecond, type Work, workers } from '../load.ts'
import { failOnce, mixed } from '../mixed.ts'
import type { Unit } from '../question.ts'
import { percentile } from '../statistics.ts'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { WorkLoad } from './work-load.ts'

/** The longest measurement of a rate, so that a slow peer does not delay all: work done over the time it took. */
const forMs = 1_500
/** For callers that wait for one acknowledgement after another: nobody reaches 50,000. */
const singleForMs = 700
/** For the jobs that are to be drained. */
const fillForMs = 800
const warmUpJobs = 5_000
const warmUpForMs = 300
/** A round of a burst that took longer is enough. */
const roundMs = 600
/** A round of a burst is cut off after this: twice the two seconds after which pg-boss looks for jobs. */
const burstForMs = 4_200

const latencyWorkers = 10
const latencyJobs = 300
const latencyWarmUpJobs = 50
const jobsASecond = 200
/** For jobs that have not begun when the last is enqueued. */
const graceMs = 1_000

export type FigureName =
  | 'enqueue_single'
  | 'enqueue_lanes'
  | 'enqueue_bulk'
  | 'drain'
  | 'bulk_drain'
  | 'drain_client_us'
  | 'drain_server_us'
  | 'end_to_end'
  | 'steady'
  | 'mixed_bulk'
  | 'mixed_drain'
  | 'mixed_steady'
  | 'latency_p50_ms'
  | 'latency_p99_ms'
  | 'backlog'
  | 'old_snapshot'
  | 'analyzed'
  | 'beside_analyze'
  | 'nodes_1'
  | 'nodes_2'
  | 'nodes_4'

type Open = (options: PeerOptions) => Promise<Peer>

/** The result of one run; empty if the peer cannot do that. */
export type Reading = Partial<Record<FigureName, number>>

/** `batches`: those that a loop of statements can do too; `calls`: of a job system; `server`: of jobmachine on PostgreSQL alone. */
export type Kind = 'batches' | 'calls' | 'server'

/** One kind of work, done in a separate process with an empty peer. */
export interface Measurement {
  readonly kind: Kind
  readonly names: readonly FigureName[]
  readonly unit: Unit
  /** What is measured, in one sentence. */
  readonly about: string
  readonly detail: Readonly<Record<string, number>>
  measure(open: Open, place: Place): Promise<Reading>
}

/** In the order of the table. */
export const measurements: readonly Measurement[] = [
  {
    kind: 'calls',
    names: ['enqueue_single'],
    unit: 'jobs/s',
    about: 'one caller awaits each enqueue before the next',
    detail: { workers: 0, callers: 1 },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      await load.enqueueInLanes(warmUpJobs, warmUpForMs, 1)
      return { enqueue_single: perSecond(await load.enqueueInLanes(jobsPerRun, singleForMs, 1)) }
    },
  },
  {
    kind: 'calls',
    names: ['enqueue_lanes'],
    unit: 'jobs/s',
    about: '100 callers, each awaits its enqueue before its next',
    detail: { workers: 0, callers: lanes },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      await load.enqueueInLanes(warmUpJobs, warmUpForMs)
      return { enqueue_lanes: perSecond(await load.enqueueInLanes(jobsPerRun, forMs)) }
    },
  },
  {
    kind: 'batches',
    names: ['enqueue_bulk'],
    unit: 'jobs/s',
    about: 'one caller awaits each call of 1,000 jobs before the next',
    detail: { workers: 0, callers: 1 },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      if (!load.hasBulkCall) return {}
      await load.fill(warmUpJobs, warmUpForMs)
      return { enqueue_bulk: perSecond(await load.fill(jobsPerRun, forMs)) }
    },
  },
  {
    kind: 'batches',
    names: ['drain', 'bulk_drain', 'drain_client_us', 'drain_server_us'],
    unit: 'jobs/s',
    about:
      'all jobs are queued by calls of 1,000, then run, until the last is finished in the books; bulk_drain counts the time of both, and …_us the processor time of a job in the process and in its server while they run',
    detail: { workers },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      await load.fill(warmUpJobs, warmUpForMs)
      const filled = perSecond(await load.fill(jobsPerRun, fillForMs))
      await load.start()
      await load.begun(warmUpJobs, warmUpForMs)
      const before = await load.cpu()
      const work = await load.finished(load.mark(), forMs)
      const after = await load.cpu()
      const drain = perSecond(work)
      return {
        drain,
        bulk_drain: 1 / (1 / filled + 1 / drain),
        drain_client_us: (after.client - before.client) / work.count,
        ...(after.server === undefined ? {} : { drain_server_us: (after.server - before.server!) / work.count }),
      }
    },
  },
  {
    kind: 'calls',
    names: ['end_to_end'],
    unit: 'jobs/s',
    about: 'one caller enqueues by calls of 1,000 while 100 workers run, until the last is finished in the books',
    detail: { workers, callers: 1 },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      return { end_to_end: await burst(load, (count, forMs) => load.fill(count, forMs)) }
    },
  },
  {
    kind: 'calls',
    names: ['steady'],
    unit: 'jobs/s',
    about: '100 callers, each awaits its enqueue before its next, while 100 workers run, until the last is finished',
    detail: { workers, callers: lanes },
    async measure(open) {
      const load = await WorkLoad.open(open, workers)
      return { steady: await burst(load, (count, forMs) => load.enqueueInLanes(count, forMs)) }
    },
  },
  {
    kind: 'calls',
    names: ['mixed_bulk', 'mixed_drain'],
    unit: 'jobs/s',
    about:
      'jobs of 20 types in 100 queues, with keys, priorities, delays up to 2 s, 100 bytes to 8 kB of payload, and failures of 3 % at first, as far as the peer knows them: queued by calls of 1,000, then run once all are due',
    detail: { workers, ...mixed },
    async measure(open) {
      const load = await WorkLoad.open(open, workers, failing)
      if (!load.knowsMixed) return {}
      await load.fillMixed(warmUpJobs, warmUpForMs)
      const filled = await load.fillMixed(jobsPerRun, fillForMs)
      await sleep(mixed.delayMaxMs)
      await load.start()
      await load.begun(warmUpJobs, warmUpForMs)
      return { mixed_bulk: perSecond(filled), mixed_drain: perSecond(await load.finished(load.mark(), forMs)) }
    },
  },
  {
    kind: 'calls',
    names: ['mixed_steady'],
    unit: 'jobs/s',
    about:
      'the same without delays by 100 callers, by calls with one job and with 50 in turn, while 100 workers run, until the last is finished',
    detail: { workers, callers: lanes, ...mixed },
    async measure(open) {
      const load = await WorkLoad.open(open, workers, failing)
      if (!load.knowsMixed) return {}
      return { mixed_steady: await burst(load, (count, forMs) => load.enqueueMixedInLanes(count, forMs)) }
    },
  },
  {
    kind: 'calls',
    names: ['latency_p50_ms', 'latency_p99_ms'],
    unit: 'ms',
    about:
      'from the call of enqueue to the first line of the handler, at 200 jobs a second, evenly spaced; a job that has not begun a second after the last counts with what it has waited',
    detail: { jobs: latencyJobs, workers: latencyWorkers, jobsASecond },
    async measure(open) {
      const waiting = new Map<string, number>()
      const waits: number[] = []
      const load = await WorkLoad.open(open, latencyWorkers, (message) => {
        const calledAt = waiting.get(message)
        if (calledAt !== undefined) waits.push(performance.now() - calledAt)
        waiting.delete(message)
      })
      await load.start()
      const acknowledged: Promise<unknown>[] = []
      await evenly(latencyWarmUpJobs + latencyJobs, jobsASecond, (index) => {
        const message = `${index}`.padStart(noop.payload.message.length, '.')
        if (index >= latencyWarmUpJobs) waiting.set(message, performance.now())
        acknowledged.push(load.enqueueOne(message))
      })
      await Promise.all(acknowledged)
      await load.begun(latencyWarmUpJobs + latencyJobs, graceMs)
      for (const calledAt of waiting.values()) waits.push(performance.now() - calledAt)
      return { latency_p50_ms: percentile(waits, 0.5), latency_p99_ms: percentile(waits, 0.99) }
    },
  },
]

const failing: PeerOptions['onRun'] = (message, run) => run && failOnce(message, run)

/**
 * Enqueues and runs at the same time, jobs/s until the last is finished: a round of 1,000 jobs to warm up, then one of three times as many,
 * and so on to 50,000 or until a round takes long enough, which is the one that counts. If it were cut off during 50,000, a slow peer would
 * have spent its time on enqueuing.
 */
async function burst(load: WorkLoad, enqueue: (count: number, forMs: number) => Promise<Work>): Promise<number> {
  const round = async (count: number): Promise<Work> => {
    const mark = load.mark()
    await enqueue(count, burstForMs)
    return load.finished(mark, burstForMs)
  }
  await load.start()
  let work = await round(bulkBatch)
  for (let count = bulkBatch; work.ms < burstForMs && count < jobsPerRun; ) {
    count = Math.min(3 * count, jobsPerRun)
    work = await round(count)
    if (work.ms > roundMs) break
  }
  return perSecond(work)
}
