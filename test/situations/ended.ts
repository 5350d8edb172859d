import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { defineHandler } from '../../src/handlers/define.ts'
import { sendEmail } from '../../src/handlers/email.ts'
import { HttpClient } from '../../src/handlers/http-client.ts'
import { callWebhook } from '../../src/handlers/webhook.ts'
import { createTestSystem, type TestSystemOptions } from '../../src/testing/index.ts'
import { startHttp } from '../support/server.ts'
import { startServer } from '../support/server-process.ts'
import { refusal, startSmtp } from '../support/smtp.ts'
import { aHandler, startSystem, until, untilState } from '../support/system.ts'
import { whenDone } from '../support/temp.ts'
import { see, seeAt } from './seen.ts'
import type { Situation } from './situation.ts'

const payload = z.unknown()
const nineOClock = Date.UTC(2030, 0, 15, 9)

async function aSystem(options: TestSystemOptions) {
  const jobs = await createTestSystem({ startAt: nineOClock, ...options })
  whenDone(() => jobs.stop())
  return { jobs, seeIt: (id: number) => see(jobs.system, id, () => jobs.clock.now()) }
}

async function aReceiver(answer: RequestListener): Promise<number> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  whenDone(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Jobs that have ended, not as somebody thinks. */
export const ended: readonly Situation[] = [
  {
    name: 'the wrong host answered a webhook',
    cause:
      'The webhook was redirected to another host (a parking page), and that answered 200; the partner got nothing.',
    action: 'Correct the address and enqueue a new job; a requeue is not possible. Forbid redirects to other origins.',
    says: /^Job 1 \(webhook\) has succeeded, but another host answered: http:\/\/parking\.registrar\.example:\d+ answered 200 to POST, after a redirect from http:\/\/hooks\.partner\.example:\d+\./,
    advises:
      /^Correct the address: .*[Ll]eave out "redirects": "any_origin".* enqueue a new job: one that has succeeded cannot be requeued\.$/,
    async build() {
      const parking = await aReceiver((_, response) => response.writeHead(200).end('This domain is for sale'))
      const partner = await aReceiver((_, response) =>
        response.writeHead(307, { location: `http://parking.registrar.example:${parking}/?domain=partner` }).end(),
      )
      const here = async () => [{ address: '127.0.0.1', family: 4 }]
      const client = new HttpClient({ allows: () => true, resolve: here })
      whenDone(() => client.close())
      const { jobs, seeIt } = await aSystem({
        handlers: [callWebhook({ client, retryMaxMs: 3_600_000, now: () => nineOClock })],
      })
      const url = `http://hooks.partner.example:${partner}/orders`
      const call = { url, body: { order: 4711 }, redirects: 'any_origin' as const }
      const { id } = await jobs.enqueue({ type: 'webhook', payload: call })
      await jobs.drain()
      await jobs.advance('2h')
      return seeIt(id)
    },
  },
  {
    name: 'a mail has no recipient',
    cause: 'The mail server refused the recipient for good (no such user).',
    action: 'Do not requeue as it is: find the right address, then edit and requeue.',
    says: /is dead: attempt 1 of 28 failed .*5\.1\.1.*which no further attempt can correct/,
    advises: /^Do not requeue it as it is: find the recipient's right address, then edit and requeue it\./,
    async build() {
      const { port } = await startSmtp({
        onRcptTo: (_address, _session, done) =>
          done(refusal(550, '5.1.1 Recipient address rejected: User unknown in local recipient table')),
      })
      const account = { user: 'someone@example.com', password: 'secret' }
      const handler = sendEmail({ smtp: { host: '127.0.0.1', port, ...account }, retryMaxMs: 3_600_000 })
      const { jobs, seeIt } = await aSystem({ handlers: [handler] })
      const mail = { email: 'jon.doe@example.org', subject: 'Your invoice', message: 'It is attached.' }
      const { id } = await jobs.enqueue({ type: 'email', payload: mail })
      await jobs.drain()
      await jobs.advance('20m')
      return seeIt(id)
    },
  },
  {
    name: 'a job ends the process',
    onThreads: true,
    cause: 'The process ended four times while this job ran, the last times alone: its handler kills the process.',
    action: 'Find out why (log, exit code, memory), correct the handler, then requeue.',
    says: /is dead: it was given up .*because the process ended while it ran, for the fourth time/,
    advises: /^Find out first why the process ended .*Requeue it only then.*may repeat/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        handlers: [defineHandler({ type: 'convert-video', payload, run: () => undefined })],
      })
      const crash = 'crash before effect'
      const video = { type: 'convert-video', payload: { video: 'holiday.mov' } }
      const { id } = await jobs.follow(video, [crash, crash, crash, crash])
      jobs.clock.advance(300_000)
      return seeIt(id)
    },
  },
  {
    name: 'the process stood still',
    cause: 'The process did not run for some seconds (machine asleep, SIGSTOP): it is no fault of the job.',
    action: 'Nothing for this job; see why the machine or process was stopped.',
    says: /^Job 1 \(sleep\) has succeeded, but the process did not run for \d+\.\d s meanwhile, which does not count against its timeout\./,
    advises: /^Find out what stopped the whole process/,
    async build() {
      const { url, pid } = await startServer()
      const headers = { 'content-type': 'application/json' }
      const body = JSON.stringify({ type: 'sleep', payload: { ms: 5_000 }, timeout_ms: 8_000 })
      await fetch(`${url}/jobs`, { method: 'POST', headers, body })
      const stateOf = async () => ((await (await fetch(`${url}/jobs/1`)).json()) as { state: string }).state
      const explain = async () => (await fetch(`${url}/jobs/1/explain`)).text()
      // It is `running` on disk a moment before its handler is called.
      await until(async () => (await explain()).includes('tells its handler to stop'))
      process.kill(pid, 'SIGSTOP')
      await setTimeout(3_000)
      process.kill(pid, 'SIGCONT')
      await until(async () => (await stateOf()) === 'succeeded')
      return seeAt(url, 1)
    },
  },
  {
    name: 'a key was used again',
    cause:
      'The caller enqueued the same order with the same key three times more: the answer was this old job each time.',
    action: 'Enqueue with another key if another run is wanted; otherwise nothing.',
    says: /^Job 1 \(export-orders\) has succeeded, and no new job was made when its idempotency key was used again 3 times, the last time 10 min ago\./,
    advises: /^Have the caller use another key for each new job/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        handlers: [defineHandler({ type: 'export-orders', payload, run: () => undefined })],
      })
      const anExport = { type: 'export-orders', payload: { customer: 12 }, idempotencyKey: 'export-12' }
      const { id } = await jobs.enqueue(anExport)
      await jobs.drain()
      for (const _ of [1, 2, 3]) {
        jobs.clock.advance(24 * 3_600_000)
        await jobs.system.enqueue(anExport)
      }
      jobs.clock.advance(600_000)
      return seeIt(id)
    },
  },
  {
    name: 'a deploy refuses payloads that were accepted before',
    cause: 'The handler of a new version asks for a field that the stored payload does not have (width).',
    action: 'Do not requeue as it is: edit and requeue with a right payload, or make the handler accept the old one.',
    says: /is dead: attempt 1 of 4 failed .*PayloadError: payload\.width: .*which no further attempt can correct\. It started 1 min 40 s after it was due/,
    advises: /^Edit and requeue it with a payload that the handler accepts, and correct the program that enqueues it\./,
    async build() {
      const handler = (schema: z.ZodType) => aHandler('resize-image', () => undefined, { payload: schema })
      const before = await startSystem({ handlers: [handler(z.object({ image: z.string() }))] })
      const job = { type: 'resize-image', payload: { image: 'cat.png' }, delayMs: 3_600_000 }
      const { id } = await before.system.enqueue(job)
      await before.system.stop()
      before.clock.advance(3_700_000)
      const { system, clock } = await startSystem({
        database: before.path,
        clock: before.clock,
        handlers: [handler(z.object({ image: z.string(), width: z.number() }))],
      })
      await untilState(system, id, 'dead')
      clock.advance(60_000)
      return see(system, id, () => clock.now())
    },
  },
  {
    name: 'a bulk action cancelled it',
    cause: 'ada cancelled all newsletters in a bulk action on the dashboard, with a reason; this job was one of them.',
    action: 'Ask ada; requeue it (or all of them by a bulk requeue) if it is still wanted.',
    says: /is cancelled: a user of the dashboard \(ada\) cancelled it .*in a bulk action that changed 3 jobs, with the reason "wrong template"/,
    advises:
      /^First ask ada, who stopped it, whether the reason \("wrong template"\) still holds\. If it is still wanted, edit and requeue it for its time \(in 8 h 35 min, at \S+\)\. A plain requeue runs it at once.* stopped 2 other jobs/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        handlers: [defineHandler({ type: 'newsletter', payload, run: () => undefined })],
      })
      const aLetter = { type: 'newsletter', payload: { user: 7 }, delayMs: 36_000_000 }
      const [, second] = await jobs.system.enqueue([aLetter, aLetter, aLetter])
      jobs.clock.advance(3_600_000)
      const by = { cause: 'dashboard', actor: 'ada', reason: 'wrong template' } as const
      const bulk = await jobs.system.prepareBulk('cancel', { type: 'newsletter' }, { by })
      await bulk.settled()
      bulk.run(bulk.matched)
      await bulk.settled()
      jobs.clock.advance(1_500_000)
      return seeIt(second!.id)
    },
  },
  {
    name: 'another job blocked the event loop',
    onThreads: true,
    cause: 'It timed out because another handler blocked the event loop of the process.',
    action:
      'Find the handler that blocks the loop and move its work to a thread; then requeue this one. More time alone is no cure.',
    says: /is dead: attempt 1 of 1 failed .*the event loop was blocked for \d+\.\d s meanwhile, by this or another handler/,
    advises:
      /^Check first whether its effect has happened; if not, requeue it\. Then find the handler that blocked the event loop/,
    async build() {
      const { system } = await startHttp({
        handlers: [
          defineHandler({ type: 'parse-feed', payload, run: () => blockFor(1_800) }),
          defineHandler({
            type: 'charge-card',
            payload,
            async run(_, { signal }) {
              await setTimeout(3_600_000, undefined, { signal })
            },
          }),
        ],
      })
      const [charge] = await system.enqueue([
        { type: 'charge-card', payload: { order: 4711 }, timeoutMs: 1_000, maxRetries: 0 },
        { type: 'parse-feed', payload: { feed: 'news' } },
      ])
      await until(async () => (await system.find(charge!.id))?.finishedAt !== null)
      return see(system, charge!.id, Date.now)
    },
  },
]

/** Blocks the loop, and leaves the processor to others. */
function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
