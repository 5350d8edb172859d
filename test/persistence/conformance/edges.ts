import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findEdge, jobStates } from '../../../src/machines/edges.ts'
import { isCommand } from '../../../src/machines/events.ts'
import type { JobEvent, JobState } from '../../../src/machines/job.ts'
import type { LeasedJob, LeaseEvent } from '../../../src/persistence/store.ts'
import { allEvents } from '../../support/events.ts'
import { shareOf } from '../../support/share.ts'
import { leaseMs } from '../../support/store.ts'
import { cleanUp } from '../../support/temp.ts'
import { amend, bringTo, leaseOf, type Node, type Open } from './helpers.ts'

/** An attempt that is the last, and one that is not; a third adds nothing that the machine could ask. */
const attempts = shareOf({ share: [1, 2], whole: [1, 2, 3] })

/** Each event in each state. */
export function testEdges(open: Open): void {
  describe.each(jobStates)('a %s job', (from) => {
    // One store for all of them: each test takes its job out of the way.
    let opened: Node
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(cleanUp)

    for (const event of allEvents.filter(({ type }) => type !== 'enqueue')) {
      for (const maxAttempts of attempts.filter((most) => from !== 'retrying' || most > 1)) {
        const attempt = attemptIn(from)
        const to = findEdge(from, event, { attempt, maxAttempts, crashes: 0 })?.to
        const name = isCrash(event)
          ? 'a crash'
          : 'delayed' in event && event.delayed
            ? `${event.type}, with a delay`
            : event.type
        const behaviour = to ? `becomes ${to} on ${name}` : `ignores ${name}`
        test(`${behaviour}, attempt ${attempt} of ${maxAttempts}`, async () => {
          const job = await bringTo(opened, from, maxAttempts)
          const before = await opened.store.find(job.id)

          opened = await send(opened, job, event)

          const after = await opened.store.find(job.id)
          const history = await opened.store.history(job.id, { after: 0, limit: 100 })
          // What has lost its lease is due again in the same transaction.
          const promoted = to === 'retrying' && event.type === 'expire'
          expect(after?.state).toBe(promoted ? 'queued' : (to ?? from))
          expect(history?.at(-1)).toMatchObject({ to: after?.state, attempt: after?.attempt })
          expect(history?.map(({ seq }) => seq)).toEqual(history?.map((_, index) => index + 1))
          if (!to) expect(after).toEqual(before)
          await opened.store.send('cancel', job.id)
        })
      }
    }
  })
}

function isCrash(event: JobEvent): boolean {
  return event.type === 'expire' && event.crashed
}

function attemptIn(state: JobState): number {
  return state === 'running' || state === 'succeeded' || state === 'dead' || state === 'retrying' ? 1 : 0
}

/** Makes `event` happen to the job by whatever way the store has for it; gives the node that goes on. */
async function send(node: Node, job: LeasedJob, event: JobEvent): Promise<Node> {
  if (isCrash(event)) return node.endNode()
  await sendTo(node, job, event)
  return node
}

async function sendTo({ store, clock }: Node, job: LeasedJob, event: JobEvent): Promise<void> {
  if (event.type === 'amend') {
    await amend(store, job.id, { priority: 99, delayMs: event.delayed ? 1e9 : 0 })
    return
  }
  if (isCommand(event.type)) {
    await store.send(event.type, job.id)
    return
  }
  switch (event.type) {
    case 'due': {
      const dueAt = (await store.find(job.id))!.runAt
      clock.set(Math.max(clock.now(), dueAt))
      return store.sweep()
    }
    case 'unblock': {
      const holder = (await store.jobFacts(job.id))?.uniqueKey?.holder
      if (!holder) return
      if (event.delayed) await amend(store, job.id, { delayMs: 1e9 })
      await store.send('cancel', holder.id)
      return
    }
    case 'lease':
      await store.lease({ limit: 1, wait: false })
      return
    case 'expire':
      await store.abandon([job])
      clock.advance(leaseMs)
      return store.sweep()
    default:
      await store.apply([{ ...leaseOf(job), event: event.type as LeaseEvent['event'], delayMs: 1e9 }])
  }
}
