import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { better, defineQueue, defineWorker, JobStatus } from 'plainjob'
import { type MixedJob, mixedTypes } from '../mixed.ts'
import type { Peer, PeerOptions, Place } from './peer.ts'

const type = 'noop'
const logger = { error: console.error, warn() {}, info() {}, debug() {} }

/**
 * Variant `full` sets `synchronous=FULL`, for which plainjob has no option. It knows of types and delays, but of no queues, priorities, keys
 * and retries, and adds many jobs by one call only if they have one type and no delay.
 */
export async function open({ folder, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const connection = better(new Database(join(folder, 'jobs.db')))
  const queue = defineQueue({ connection, logger })
  if (variant === 'full') connection.pragma('synchronous = FULL')
  const handle = ({ data }: { data: string }) => onRun((JSON.parse(data) as { message: string }).message)
  let types: readonly string[] = []
  let isStarted = false
  let isWorking = false
  /** Workers of all types would look for jobs in vain. */
  const work = () => {
    if (isWorking || !isStarted || types.length === 0) return
    isWorking = true
    for (let count = 0; count < workers; count++) {
      void defineWorker(types[count % types.length]!, handle, { queue, logger, pollIntervall: 10 }).start()
    }
  }
  const expect = (given: readonly string[]) => {
    types = given
    work()
  }
  const addOne = ({ type: name, payload, delayMs }: MixedJob) =>
    queue.add(name, payload, delayMs ? { delay: delayMs } : undefined)
  return {
    async enqueue(message) {
      expect([type])
      queue.add(type, { message })
      // It answers at once, so callers in a loop would keep timers, and with them the workers, from running.
      await turn()
    },
    async enqueueMany(messages) {
      expect([type])
      queue.addMany(
        type,
        messages.map((message) => ({ message })),
      )
      await turn()
    },
    async enqueueMixed(jobs) {
      expect(mixedTypes)
      const alike = new Map<string, unknown[]>()
      for (const job of jobs) {
        if (jobs.length === 1 || job.delayMs) addOne(job)
        else alike.set(job.type, [...(alike.get(job.type) ?? []), job.payload])
      }
      for (const [name, payloads] of alike) queue.addMany(name, payloads)
      await turn()
    },
    async start() {
      isStarted = true
      work()
    },
    async left() {
      const count = (status: JobStatus) => queue.countJobs({ status })
      return count(JobStatus.Pending) + count(JobStatus.Processing)
    },
  }
}
