import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import { expect, test } from 'vitest'
import { sendEmail } from '../../src/handlers/email.ts'
import type { SmtpSettings } from '../../src/handlers/smtp.ts'
import { attempt } from '../support/attempt.ts'
import { startServer } from '../support/server-process.ts'
import { whenDone } from '../support/temp.ts'
import { type Postfix, startPostfix } from './postfix.ts'
import { describeWith } from './servers.ts'

const mail = { email: 'reader@example.test', subject: 'Hello', message: 'It is ready.' }
const mailer = (smtp: SmtpSettings) =>
  sendEmail({ smtp: { host: '127.0.0.1', from: 'someone@example.com', ...smtp }, retryMaxMs: 3_600_000 })

interface HistoryEvent {
  readonly event: string
  readonly error?: { readonly message: string }
}

/** Our server with its defaults, except for shorter pauses; returns a job's events once `until` is true for them. */
async function startOurs({ port }: Postfix, env: Record<string, string> = {}) {
  const { url } = await startServer({
    SMTP_HOST: '127.0.0.1',
    SMTP_PORT: `${port}`,
    SMTP_FROM: 'someone@example.com',
    RETRY_MAX_MS: '5000',
    ...env,
  })
  return async (payload: object, until: (events: HistoryEvent[]) => boolean): Promise<HistoryEvent[]> => {
    const created = await fetch(`${url}/createJob`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'email', payload }),
    })
    const { id } = (await created.json()) as { id: number }
    for (;;) {
      const answer = await fetch(`${url}/jobs/${id}/history`)
      const { history: events } = (await answer.json()) as { history: HistoryEvent[] }
      if (until(events)) return events
      await sleep(500)
    }
  }
}

const hasEnded = (events: HistoryEvent[]) => ['succeed', 'reject'].includes(events.at(-1)!.event)

/** A policy service (Postfix's own protocol, as Postgrey uses it) that rejects everybody temporarily for this long. */
async function startGreylist(ms: number): Promise<number> {
  const from = Date.now()
  const server = createServer((socket) => {
    socket
      .on('error', () => undefined)
      .on('data', (data) => {
        const action = Date.now() - from < ms ? 'defer_if_permit 4.7.1 Greylisted, come back later' : 'dunno'
        if (data.toString().endsWith('\n\n')) socket.write(`action=${action}\n\n`)
      })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  whenDone(() => void server.close())
  return (server.address() as AddressInfo).port
}

/** Postfix hands a mail to this filter after the final dot, before it answers; it takes this long. */
async function startFilter(ms: number): Promise<{ port: number; mails(): number }> {
  let mails = 0
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onData(stream, _session, done) {
      mails++
      stream.resume().on('end', () => void setTimeout(done, ms))
    },
  })
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  whenDone(() => new Promise<void>((resolve) => void server.close(resolve)))
  return { port: (listening.address() as AddressInfo).port, mails: () => mails }
}

describeWith(
  ['postfix'],
  'a mail to Postfix',
  () => {
    test('survives a minute of greylisting', async () => {
      const policy = await startGreylist(60_000)
      const postfix = await startPostfix({
        smtpd_recipient_restrictions: `check_policy_service inet:127.0.0.1:${policy}`,
      })
      const run = await startOurs(postfix)

      const events = await run(mail, hasEnded)

      const failures = events.filter(({ event }) => event === 'fail')
      expect(failures.length).toBeGreaterThan(8)
      expect(failures[0]!.error!.message).toContain('Greylisted, come back later')
      expect(events.at(-1)!.event).toBe('succeed')
      expect(postfix.log()).toContain('to=<reader@example.test>')
    })

    test('is sent once if the content is checked for half a minute', async () => {
      const filter = await startFilter(30_000)
      const run = await startOurs(await startPostfix({ smtpd_proxy_filter: `127.0.0.1:${filter.port}` }))

      const events = await run(mail, hasEnded)

      expect(events.map(({ event }) => event)).toEqual(['enqueue', 'lease', 'start', 'succeed'])
      expect(filter.mails()).toBe(1)
    })

    test('elsewhere without a sign-in is retried, and the error names the settings', async () => {
      const run = await startOurs(await startPostfix())

      const events = await run({ ...mail, email: 'reader@elsewhere.test' }, (events) =>
        events.some(({ event }) => event === 'fail'),
      )

      const { error } = events.find(({ event }) => event === 'fail')!
      expect(error!.message).toContain('SMTP_USER and SMTP_PASSWORD are not set')
      expect(error!.message).toContain('554 5.7.1 <[recipient]>: Relay access denied')
    })

    test('from a sender that it refuses is retried, and the error names the setting', async () => {
      const run = await startOurs(await startPostfix({ smtpd_sender_restrictions: 'reject' }))

      const events = await run(mail, (events) => events.some(({ event }) => event === 'fail'))

      expect(events.find(({ event }) => event === 'fail')!.error!.message).toContain('check SMTP_FROM')
    })

    test('to an unknown recipient fails permanently', async () => {
      const run = await startOurs(await startPostfix({ local_recipient_maps: 'inline:{known=yes}' }))

      const events = await run(mail, hasEnded)

      expect(events.at(-1)).toMatchObject({ event: 'reject' })
      expect(events.at(-1)!.error!.message).toContain('User unknown in local recipient table')
    })

    test('arrives by STARTTLS and by TLS from the first byte', async () => {
      const { port, tlsPort, log } = await startPostfix({
        smtpd_tls_security_level: 'encrypt',
        smtpd_tls_loglevel: '1',
      })

      await attempt(mailer({ port }), mail)
      await attempt(mailer({ port: tlsPort, tls: 'implicit' }), mail)

      expect(log().match(/TLS connection established/g)).toHaveLength(2)
    })

    test.each([
      'user+tag=list@example.test',
      'a/b=c#d@example.test',
      "{o'hara}@example.test",
      '"a b"@example.test',
      'user@localhost',
      'user@[127.0.0.1]',
      '用户@example.test',
    ])('may go to %s', async (email) => {
      const { port, log } = await startPostfix()

      await attempt(mailer({ port }), { ...mail, email })

      await expect.poll(log).toContain(`to=<${email}>`)
    })

    test('with a subject of one word of 998 letters arrives', async () => {
      const { port, log } = await startPostfix()

      await attempt(mailer({ port }), { ...mail, subject: 's'.repeat(998) })

      await expect.poll(log).toContain('status=sent')
    })
  },
  { asRoot: true },
)
