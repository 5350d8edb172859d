import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createTransport } from 'nodemailer'
import type { SMTPServerOptions } from 'smtp-server'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { JobCancelledError, PayloadError, PermanentError } from '../../src/errors.ts'
import { parsePayload } from '../../src/handlers/define.ts'
import { describeError } from '../../src/handlers/describe-error.ts'
import { type SmtpSettings, sendEmail, smtpOptions } from '../../src/handlers/email.ts'
import { attempt, failureOf, faultsOf } from '../support/attempt.ts'
import { refusal, startSmtp } from '../support/smtp.ts'

const mail = { email: 'reader@example.org', subject: 'Your report', message: 'It is ready.' }
const account = { user: 'someone@example.com', password: 'secret' }

const emailTo = (port: number, settings: SmtpSettings = {}) =>
  sendEmail({ host: '127.0.0.1', port, ...account, ...settings })

/** A handler whose server answers like this. */
async function emailWhere(options: SMTPServerOptions, settings?: SmtpSettings) {
  const { port, mails } = await startSmtp(options)
  return { handler: emailTo(port, settings), mails }
}

/** A server that is no mail server: it does to each connection what `serve` says. */
async function startTcp(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { server, port: (server.address() as AddressInfo).port }
}

describe('an email', () => {
  test('arrives with its subject and text, signed in, over TLS', async () => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, mail)

    expect(mails).toHaveLength(1)
    expect(mails[0]).toMatchObject({ user: account.user, overTls: true, from: account.user, to: [mail.email] })
    expect(mails[0]!.headers).toMatch(/^Subject: Your report\r$/m)
    expect(mails[0]!.headers).toMatch(/^To: reader@example.org\r$/m)
    expect(mails[0]!.headers).toMatch(/^Content-Type: text\/plain/m)
    expect(mails[0]!.body.trim()).toBe(mail.message)
  })

  test('has one Message-ID for all attempts of its job: the idempotency token at the domain of the sender', async () => {
    const { handler, mails } = await emailWhere({}, { from: 'Reports <reports@mail.example.net>' })

    await attempt(handler, mail, { idempotencyToken: 'd5.42', attempt: 1 })
    await attempt(handler, mail, { idempotencyToken: 'd5.42', attempt: 2 })

    const ids = mails.map(({ headers }) => /^Message-ID: (.*)\r$/m.exec(headers)?.[1])
    expect(ids).toEqual(['<d5.42@mail.example.net>', '<d5.42@mail.example.net>'])
    expect(mails[0]!.from).toBe('reports@mail.example.net')
    expect(mails[0]!.headers).toMatch(/^From: Reports <reports@mail.example.net>\r$/m)
  })

  test('is sent without signing in where no password is set', async () => {
    const { handler, mails } = await emailWhere({ authOptional: true }, { password: undefined })

    await attempt(handler, mail)

    expect(mails[0]).toMatchObject({ user: undefined, from: account.user })
  })

  test('can be addressed to a server named localhost', async () => {
    const { handler, mails } = await emailWhere({}, { host: 'localhost' })

    await attempt(handler, mail)

    expect(mails[0]).toMatchObject({ user: account.user, overTls: true })
  })

  test('whose text looks like SMTP stays one mail with that text', async () => {
    const { handler, mails } = await emailWhere({})
    const message = 'first\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\n..dots\n'

    await attempt(handler, { ...mail, message })

    expect(mails).toHaveLength(1)
    expect(mails[0]!.to).toEqual([mail.email])
    expect(mails[0]!.body.replaceAll('\r\n', '\n').trim()).toBe(message.replaceAll('\r\n', '\n').trim())
  })
})

describe('the payload of an email', () => {
  const handler = sendEmail({})

  test('may call its message body', () => {
    const { message, ...rest } = mail
    expect(parsePayload(handler, { ...rest, body: message })).toEqual(mail)
  })

  test('takes one of message and body, not both and not none', () => {
    const { message, ...rest } = mail
    expect(faultsOf(handler, { ...mail, body: message })).toEqual([
      'payload.body: is another name for message; give one of the two',
    ])
    expect(faultsOf(handler, rest)).toEqual(['payload.message: is required'])
  })

  test('lists every field that is missing or wrong', () => {
    expect(faultsOf(handler, { subject: 5, message: null })).toEqual([
      'payload.email: is required',
      'payload.subject: takes text',
      'payload.message: takes text',
    ])
  })

  test.each([
    'envelope',
    'raw',
    'list',
    'dsn',
    'attachments',
    'path',
    'href',
    'html',
    'from',
    'to',
    'cc',
    'bcc',
    'headers',
  ])('refuses the unknown field %s by its name', (field) => {
    const [fault] = faultsOf(handler, { ...mail, [field]: 'x' })
    expect(fault).toBe(`payload: takes no "${field}", only email, subject, message, body`)
  })

  test.each([
    ['a line break and a header', 'reader@example.org\r\nBcc: victim@example.com'],
    ['a line break and a command', 'reader@example.org>\nRCPT TO:<victim@example.com'],
    ['a trailing line break', 'reader@example.org\n'],
    ['two addresses', 'reader@example.org, victim@example.com'],
    ['a group', 'all: reader@example.org;'],
    ['a name', 'Reader <reader@example.org>'],
    ['a NUL', 'reader\0@example.org'],
    ['arguments of RCPT', 'reader@example.org> NOTIFY=NEVER'],
    ['no domain', 'reader'],
    ['300 characters', `${'r'.repeat(300)}@example.org`],
  ])('refuses an address with %s', (_what, email) => {
    expect(() => parsePayload(handler, { ...mail, email })).toThrow(PayloadError)
  })

  test.each(['a\r\nBcc: victim@example.com', 'a\nb', 'a\rb', 'a\0b', 'a\u0085b', 'a\u2028b', 'a\x1bb'])(
    'refuses the subject %j',
    (subject) => {
      expect(() => parsePayload(handler, { ...mail, subject })).toThrow(PayloadError)
    },
  )

  test('refuses a subject longer than a header line', () => {
    expect(() => parsePayload(handler, { ...mail, subject: 's'.repeat(999) })).toThrow(PayloadError)
    expect(() => parsePayload(handler, { ...mail, subject: 's'.repeat(998) })).not.toThrow()
  })

  test('carries any script in subject and text', async () => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, { ...mail, subject: 'Grüße', message: 'Übermorgen 🎉' })

    expect(mails[0]!.headers).toContain('Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=')
  })
})

describe('an attempt at an email fails for good', () => {
  const refused = refusal(550, '5.1.1 no such user here: reader@example.org')

  test.each<[string, SMTPServerOptions]>([
    ['recipient', { onRcptTo: (_address, _session, done) => done(refused) }],
    ['sender', { onMailFrom: (_address, _session, done) => done(refused) }],
    ['content', { onData: (stream, _session, done) => void stream.resume().on('end', () => done(refused)) }],
  ])('where the server refuses the %s with a 5xx', async (_what, options) => {
    const { handler } = await emailWhere(options)

    const failure = await failureOf(handler, mail)

    expect(failure).toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({
      responseCode: 550,
      message: expect.stringContaining('550 5.1.1 no such user here: [recipient]'),
    })
    expect(describeError(failure).message).not.toContain(mail.email)
  })
})

describe('an attempt at an email fails and is retried', () => {
  test.each<[string, SMTPServerOptions]>([
    [
      '451 to the recipient (greylisted)',
      { onRcptTo: (_address, _session, done) => done(refusal(451, 'come back later')) },
    ],
    ['421 to the sender', { onMailFrom: (_address, _session, done) => done(refusal(421, 'closing')) }],
    [
      '452 to the content',
      { onData: (stream, _session, done) => void stream.resume().on('end', () => done(refusal(452, 'full'))) },
    ],
    [
      '530, sign in first, to the sender',
      { onMailFrom: (_address, _session, done) => done(refusal(530, 'sign in first')) },
    ],
    ['503 to the recipient', { onRcptTo: (_address, _session, done) => done(refusal(503, 'bad sequence')) }],
    ['554 instead of a greeting', { onConnect: (_session, done) => done(refusal(554, 'not from you')) }],
  ])('on %s', async (_what, options) => {
    const { handler } = await emailWhere(options)

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({ code: expect.stringMatching(/^E/) })
  })

  test('on a wrong password, without showing it: the settings may be mended', async () => {
    const { handler, mails } = await emailWhere({}, { password: 'correct horse' })

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toContain('the mail server refused the sign-in')
    expect(describeError(failure).message).not.toContain('correct horse')
    expect(mails).toEqual([])
  })

  test('when nothing listens', async () => {
    const { server, port } = await startTcp(() => undefined)
    server.close()
    await once(server, 'close')

    const failure = await failureOf(emailTo(port), mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') })
  })

  test('when the connection ends after the content and before the 250', async () => {
    let inContent = false
    const { port } = await startTcp((socket) => {
      socket.write('220 hello\r\n')
      socket.on('data', (data) => {
        if (inContent) return void (data.toString().endsWith('.\r\n') && socket.destroy())
        inContent = data.toString().startsWith('DATA')
        socket.write(inContent ? '354 go on\r\n' : '250 fine\r\n')
      })
    })

    const failure = await failureOf(emailTo(port), mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({ code: 'ECONNECTION' })
    expect(inContent).toBe(true)
  })

  test.each<[SmtpSettings, string]>([
    [{}, 'SMTP_HOST is not set; no sender is set (SMTP_FROM, else SMTP_USER, else GMAIL_USER)'],
    [{ from: 'a@example.com' }, 'SMTP_HOST is not set'],
    [{ host: '127.0.0.1' }, 'no sender is set (SMTP_FROM, else SMTP_USER, else GMAIL_USER)'],
    [
      { host: '127.0.0.1', user: 'apikey' },
      'the sender (SMTP_FROM, else SMTP_USER, else GMAIL_USER) is no email address',
    ],
  ])('with the names of what is missing, where the settings are %j', async (settings, missing) => {
    const failure = await failureOf(sendEmail(settings), mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(`cannot send mail: ${missing}`)
  })
})

describe('TLS', () => {
  // 0.0.0.0 reaches this machine and is none of its loopback addresses: to the handler it is any other host.
  const elsewhere = { host: '0.0.0.0' }

  test('is refused with a certificate that nobody vouches for, and nothing is sent', async () => {
    const { handler, mails } = await emailWhere({}, elsewhere)

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({ message: expect.stringContaining('self-signed certificate') })
    expect(mails).toEqual([])
  })

  test('is required: a server that does not offer it gets neither password nor mail', async () => {
    const onAuth = vi.fn()
    const { handler, mails } = await emailWhere(
      { disabledCommands: ['STARTTLS'], allowInsecureAuth: true, onAuth },
      elsewhere,
    )

    const failure = await failureOf(handler, mail)

    expect(failure.cause).toMatchObject({ code: 'ETLS' })
    expect(onAuth).not.toHaveBeenCalled()
    expect(mails).toEqual([])
  })

  test('is not required on this machine, where the server does not offer it', async () => {
    const { handler, mails } = await emailWhere({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true })

    await attempt(handler, mail)

    expect(mails[0]).toMatchObject({ user: account.user, overTls: false })
  })

  test('is spoken from the start on port 465', async () => {
    const { port, mails } = await startSmtp({ secure: true })
    const options = smtpOptions('127.0.0.1', { port: 465, ...account })

    await createTransport({ ...options, port }).sendMail({ from: account.user, to: mail.email, text: mail.message })

    expect(mails[0]).toMatchObject({ user: account.user, overTls: true })
  })

  test.each([
    ['mail.example.com', true],
    ['192.168.0.25', true],
    ['0.0.0.0', true],
    ['localhost.example.com', true],
    ['127.0.0.1', false],
    ['127.8.9.10', false],
    ['::1', false],
    ['::ffff:127.0.0.1', false],
    ['LocalHost', false],
  ])('towards %s is required and checked: %s', (host, strict) => {
    expect(smtpOptions(host, {})).toMatchObject({
      port: 587,
      secure: false,
      requireTLS: strict,
      tls: { rejectUnauthorized: strict, minVersion: 'TLSv1.2' },
    })
    // What is trusted without a certificate is not found by asking a name server.
    expect(smtpOptions(host, {}).getSocket !== undefined).toBe(!strict)
    expect(smtpOptions(host, { port: 465 })).toMatchObject({ secure: true, tls: { rejectUnauthorized: strict } })
  })
})

test('no mail can make the server read a file or a URL', () => {
  expect(smtpOptions('mail.example.com', {})).toMatchObject({ disableFileAccess: true, disableUrlAccess: true })
})

describe('the time an email takes', () => {
  test('is bounded well below a lease, step by step and in all', () => {
    const leaseMs = 30_000
    const { dnsTimeout, connectionTimeout, greetingTimeout, socketTimeout } = smtpOptions('mail.example.com', {})
    for (const limit of [dnsTimeout, connectionTimeout, greetingTimeout, socketTimeout, sendEmail({}).timeoutMs]) {
      expect(limit).toBeGreaterThan(0)
      expect(limit).toBeLessThan(leaseMs)
    }
  })

  test('ends at once when aborted, with the connection closed', async () => {
    const abort = new AbortController()
    let closed: Promise<unknown> | undefined
    const { port } = await startTcp((socket) => {
      closed = once(socket.resume(), 'close')
      abort.abort(new JobCancelledError())
    })

    const failure = await failureOf(emailTo(port), mail, { signal: abort.signal })

    expect(failure).toBeInstanceOf(JobCancelledError)
    await closed
  })

  test('does not begin where the attempt was aborted before', async () => {
    let connections = 0
    const { port } = await startTcp(() => connections++)

    const failure = await failureOf(emailTo(port), mail, { signal: AbortSignal.abort(new JobCancelledError()) })

    expect(failure).toBeInstanceOf(JobCancelledError)
    expect(connections).toBe(0)
  })
})
