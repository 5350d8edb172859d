import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { createTransport } from 'nodemailer'
import type { SMTPServerOptions } from 'smtp-server'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { timeoutMaxMs } from '../../src/config.ts'
import { JobCancelledError, PayloadError, PermanentError } from '../../src/errors.ts'
import { builtinHandlers } from '../../src/handlers/builtin.ts'
import { describeError } from '../../src/handlers/describe-error.ts'
import { sendEmail } from '../../src/handlers/email.ts'
import { type SmtpSettings, smtpOptions } from '../../src/handlers/smtp.ts'
import { createJobSystem } from '../../src/index.ts'
import { attempt, failureOf, faultsOf } from '../support/attempt.ts'
import { parsePayload } from '../support/payload.ts'
import { refusal, startSmtp } from '../support/smtp.ts'
import { until } from '../support/system.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

const mail = { email: 'reader@example.org', subject: 'Your report', message: 'It is ready.' }
const account = { user: 'someone@example.com', password: 'secret' }

const aMailer = (smtp: SmtpSettings, retryMaxMs = 3_600_000) => sendEmail({ smtp, retryMaxMs })

const emailTo = (port: number, settings: SmtpSettings = {}) =>
  aMailer({ host: '127.0.0.1', port, ...account, ...settings })

/** A handler whose server answers like this. */
async function emailWhere(options: SMTPServerOptions, settings?: SmtpSettings) {
  const { port, mails } = await startSmtp(options)
  return { handler: emailTo(port, settings), mails }
}

/** A server that is not a mail server: `serve` handles each connection. */
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

/** An SMTP server without TLS and sign-in that accepts everything, and keeps each line that it received. */
async function startAgreeable() {
  const commands: string[] = []
  const { port } = await startTcp((socket) => {
    socket.write('220 hello\r\n')
    socket.on('data', (data) => {
      for (const line of data.toString().split('\r\n').filter(Boolean)) {
        commands.push(line)
        if (line.startsWith('EHLO')) socket.write('250-hello\r\n250 SMTPUTF8\r\n')
        else if (line === 'DATA') socket.write('354 go on\r\n')
        else if (line === '.' || /^(MAIL|RCPT) /.test(line)) socket.write('250 fine\r\n')
      }
    })
  })
  return { port, commands }
}

describe('an email', () => {
  test('arrives signed in over TLS with its subject and text', async () => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, mail)

    expect(mails).toHaveLength(1)
    expect(mails[0]).toMatchObject({ user: account.user, overTls: true, from: account.user, to: [mail.email] })
    expect(mails[0]!.headers).toMatch(/^Subject: Your report\r$/m)
    expect(mails[0]!.headers).toMatch(/^To: reader@example.org\r$/m)
    expect(mails[0]!.headers).toMatch(/^Content-Type: text\/plain/m)
    expect(mails[0]!.body.trim()).toBe(mail.message)
  })

  test('notes what the server answered, without the mail and the sign-in', async () => {
    const notes: string[] = []
    const reply = (text: string): SMTPServerOptions => ({
      onData: (stream, _session, done) =>
        void stream.resume().on('end', () => (done as (e: null, t: string) => void)(null, text)),
    })
    const { handler } = await emailWhere(reply(`queued as 4711 for ${mail.email} ${account.password}`))

    await attempt(handler, mail, { note: (text) => void notes.push(text) })

    expect(notes).toEqual([
      expect.stringMatching(/accepted it for delivery: 250 .*queued as 4711 for \[recipient\] \[SMTP_PASSWORD\]$/),
    ])
  })

  test('has one Message-ID for all attempts of its job: the idempotency token at the sender’s domain', async () => {
    const { handler, mails } = await emailWhere({}, { from: 'Reports <reports@mail.example.net>' })

    await attempt(handler, mail, { idempotencyToken: 'd5.42', attempt: 1 })
    await attempt(handler, mail, { idempotencyToken: 'd5.42', attempt: 2 })

    const ids = mails.map(({ headers }) => /^Message-ID: (.*)\r$/m.exec(headers)?.[1])
    expect(ids).toEqual(['<d5.42@mail.example.net>', '<d5.42@mail.example.net>'])
    expect(mails[0]!.from).toBe('reports@mail.example.net')
    expect(mails[0]!.headers).toMatch(/^From: Reports <reports@mail.example.net>\r$/m)
  })

  test('is sent without signing in if no password is set', async () => {
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
  const handler = aMailer({})

  test('may name its message body', () => {
    const { message, ...rest } = mail
    expect(parsePayload(handler, { ...rest, body: message })).toEqual(mail)
  })

  test('accepts one of message and body, not both and not none', () => {
    const { message, ...rest } = mail
    expect(faultsOf(handler, { ...mail, body: message })).toEqual([
      'payload.body: is another name for message; give one of the two',
    ])
    expect(faultsOf(handler, rest)).toEqual(['payload.message: is required'])
  })

  test('lists every missing or wrong field', () => {
    expect(faultsOf(handler, { subject: 5, message: null })).toEqual([
      'payload.email: is required',
      'payload.subject: must be text',
      'payload.message: must be text',
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
    expect(fault).toBe(`payload: does not allow "${field}", only email, subject, message, body`)
  })

  test.each([
    [
      'a line break and a header',
      'reader@example.org\r\nBcc: victim@example.com',
      'a line break or a control character',
    ],
    [
      'a line break and a command',
      'reader@example.org>\nRCPT TO:<victim@example.com',
      'a line break or a control character',
    ],
    ['a trailing line break', 'reader@example.org\n', 'a line break or a control character'],
    ['a NUL', 'reader\0@example.org', 'a line break or a control character'],
    ['a line separator', 'reader@example.org\u2028', 'a line break or a control character'],
    ['half a character', 'reader\ud800@example.org', 'a line break or a control character'],
    ['two addresses', 'reader@example.org, victim@example.com', 'it is more than one address'],
    ['two addresses by a semicolon', 'reader@example.org;victim@example.com', 'it is more than one address'],
    ['two quoted addresses', '"a"@example.org,"b"@example.com', 'it is more than one address'],
    ['a group', 'all: reader@example.org;', 'it is more than one address'],
    ['a name', 'Reader <reader@example.org>', 'it has more than the address: leave out the name and the <>'],
    ['arguments of RCPT', 'reader@example.org> NOTIFY=NEVER', 'it has more than the address'],
    ['a second @', 'reader@evil.example@example.org', 'it has more than one @ outside quotes'],
    ['a domain within a literal', 'reader@[x@evil.example]', 'it has more than one @ outside quotes'],
    ['no @', 'reader', 'it has no @'],
    ['no local part', '@example.org', 'it has nothing before its @'],
    ['no domain', 'reader@', 'it has nothing after its @'],
    ['a space', 'a reader@example.org', 'only a quoted local part may have'],
    ['a comment', 'reader(me)@example.org', 'only a quoted local part may have'],
    ['dots side by side', 'a..reader@example.org', 'a dot before its @ that is first, last or next to another'],
    ['an open quote', '"reader@example.org', 'does not end right before an @'],
    ['a < in quotes', '"a<b"@example.org', 'a < or > between its quotes'],
    ['an empty label', 'reader@example..org', 'its domain is not a host name'],
    ['an underscore', 'reader@ex_ample.org', 'its domain is not a host name'],
    ['an escape', 'reader@ex%41mple.org', 'its domain is not a host name'],
    ['an invisible hyphen', 'reader@ex\u00adample.org', 'its domain is not a host name'],
    ['a number', 'reader@1.2.3', 'an IP address must be in brackets'],
    ['a bare IP address', 'reader@192.0.2.1', 'an IP address must be in brackets'],
    ['no address in its brackets', 'reader@[1.2.3]', 'no IP address between its brackets'],
    ['an IPv6 address without its tag', 'reader@[::1]', 'no IP address between its brackets'],
    ['a local part of 65 bytes', `${'é'.repeat(32)}a@example.org`, 'more than 64 bytes before its @'],
    ['300 characters', `${'r'.repeat(300)}@example.org`, 'it has more than 254 bytes'],
    ['a label of 64 characters', `reader@${'b'.repeat(64)}.org`, 'longer than a host name may be'],
  ])('refuses an address with %s, and says so', (_what, email, why) => {
    const [fault] = faultsOf(handler, { ...mail, email })
    expect(fault).toMatch(/^payload.email: must be one email address, such as someone@example.com, but it/)
    expect(fault).toContain(why)
  })

  test.each([
    ['user+tag=list@example.org'],
    ['a/b@example.org'],
    ['a!b@example.org'],
    ['a%b@example.org'],
    ['a#b@example.org'],
    ["{o'hara}@example.org"],
    ['"a b"@example.org'],
    ['"a@b"@example.org'],
    ['"a,b;c"@example.org'],
    ['user@localhost'],
    ['user@[127.0.0.1]'],
    ['user@[IPv6:::1]', 'user@[ipv6:::1]'],
    ['user@1und1.example'],
    ['user@bücher.example', 'user@xn--bcher-kva.example'],
    ['用户@例子.example', '用户@例子.example'],
  ])('accepts the address %s, and the server gets it', async (email, sent = email) => {
    const { port, commands } = await startAgreeable()

    await attempt(emailTo(port), { ...mail, email })

    expect(commands).toContain(`RCPT TO:<${sent}>`)
    const needsUtf8 = /[^\x20-\x7e]/.test(sent)
    expect(commands).toContain(`MAIL FROM:<${account.user}>${needsUtf8 ? ' SMTPUTF8' : ''}`)
  })

  test.each(['a\r\nBcc: victim@example.com', 'a\nb', 'a\rb', 'a\0b', 'a\u0085b', 'a\u2028b', 'a\x1bb'])(
    'refuses the subject %j',
    (subject) => {
      expect(() => parsePayload(handler, { ...mail, subject })).toThrow(PayloadError)
    },
  )

  test('refuses a subject of more than 998 characters', () => {
    expect(() => parsePayload(handler, { ...mail, subject: 's'.repeat(999) })).toThrow(PayloadError)
  })

  test.each([
    ['one word', 's'.repeat(998)],
    ['a short word and a long one', `a ${'s'.repeat(996)}`],
    ['many words', 'word '.repeat(199)],
    ['a long word, then one of another script', `${'s'.repeat(980)} Grüße`],
    ['emojis', '🎉'.repeat(499)],
  ])('sends a long subject of %s on lines that every server accepts', async (_what, subject) => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, { ...mail, subject })

    const { headers } = mails[0]!
    for (const line of headers.split('\r\n')) expect(Buffer.byteLength(line)).toBeLessThan(998)
    const value = /^Subject: ?((?:.*)(?:\r\n[ \t].*)*)/m.exec(headers)![1]!
    expect(decoded(value)).toBe(subject.trimEnd())
  })

  test('sends long lines of text so that every server accepts them', async () => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, { ...mail, message: 'x'.repeat(5_000) })

    for (const line of mails[0]!.body.split('\r\n')) expect(line.length).toBeLessThan(998)
  })

  test('supports any script in subject and text', async () => {
    const { handler, mails } = await emailWhere({})

    await attempt(handler, { ...mail, subject: 'Grüße', message: 'Übermorgen 🎉' })

    expect(mails[0]!.headers).toContain('Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=')
  })
})

describe('an attempt at an email fails for good', () => {
  const refused = refusal(550, '5.1.1 no such user here: reader@example.org')

  test.each<[string, SMTPServerOptions]>([
    ['recipient', { onRcptTo: (_address, _session, done) => done(refused) }],
    ['content', { onData: (stream, _session, done) => void stream.resume().on('end', () => done(refused)) }],
  ])('if the server refuses the %s with a 5xx', async (_what, options) => {
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
    [
      '550 to the sender, who is the same for all mails',
      { onMailFrom: (_address, _session, done) => done(refusal(550, 'no')) },
    ],
    ['503 to the recipient', { onRcptTo: (_address, _session, done) => done(refusal(503, 'bad sequence')) }],
    ['554 instead of a greeting', { onConnect: (_session, done) => done(refusal(554, 'not from you')) }],
  ])('on %s', async (_what, options) => {
    const { handler } = await emailWhere(options)

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.cause).toMatchObject({ code: expect.stringMatching(/^E/) })
  })

  test('on a wrong password, without showing it: the settings may be corrected', async () => {
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
      'the sender (SMTP_FROM, else SMTP_USER, else GMAIL_USER) is not an email address',
    ],
  ])('with the names of missing settings, if the settings are %j', async (settings, missing) => {
    const failure = await failureOf(aMailer(settings), mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(`cannot send mail: ${missing}`)
  })
})

describe('a refusal caused by the settings', () => {
  const relaying = [
    [554, '5.7.1 <reader@example.org>: Relay access denied'],
    [550, 'relay not permitted'],
    [550, 'Invalid recipient: <reader@example.org>'],
    [550, '5.7.1 <reader@example.org>... Relaying denied'],
    [553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"],
    [550, '5.7.54 SMTP; Unable to relay recipient in non-accepted domain'],
    [554, '5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied'],
    [550, 'Authentication is required for relay'],
    [530, '5.7.0 Authentication required'],
  ] as const

  test.each(relaying)('is retried, and says that no sign-in is configured: %i %s', async (code, text) => {
    const { handler } = await emailWhere(
      { authOptional: true, onRcptTo: (_address, _session, done) => done(refusal(code, text)) },
      { user: undefined, password: undefined, from: 'someone@example.com' },
    )

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe(
      'the mail server refused a mail sent without a sign-in, and SMTP_USER and SMTP_PASSWORD are not set',
    )
    expect(describeError(failure).message).toContain(`${code} ${text.replace('reader@example.org', '[recipient]')}`)
  })

  test('says what is missing if the sign-in is half configured', async () => {
    const { handler } = await emailWhere(
      { authOptional: true, onRcptTo: (_address, _session, done) => done(refusal(550, 'relay not permitted')) },
      { password: undefined },
    )

    expect((await failureOf(handler, mail)).message).toContain('and SMTP_PASSWORD is not set')
  })

  test('is distinguished from a refusal of the mail after a sign-in too', async () => {
    const { handler } = await emailWhere({
      onRcptTo: (_address, _session, done) => done(refusal(554, '5.7.1 <reader@example.org>: Relay access denied')),
    })

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toContain('check SMTP_HOST, SMTP_PORT and SMTP_USER')
  })

  test.each([
    [553, '5.7.1 <someone@example.com>: Sender address rejected: not owned by user'],
    [550, '5.1.8 <someone@example.com>: Sender address rejected: Domain not found'],
    [550, 'Sender verify failed'],
  ])('may be about the sender, although it answers the recipient: %i %s', async (code, text) => {
    const { handler } = await emailWhere({ onRcptTo: (_address, _session, done) => done(refusal(code, text)) })

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe('the mail server refused the sender: check SMTP_FROM')
  })

  test.each([
    [550, '5.1.1 <reader@example.org>: Recipient address rejected: User unknown in relay recipient table'],
    [550, '5.1.1 no such user here'],
    [550, 'Unknown user'],
    [552, '5.2.2 mailbox full'],
    [501, '5.1.3 bad address syntax'],
    [554, '5.4.6 too many hops'],
  ])('is distinguished from a refusal of this mail: %i %s', async (code, text) => {
    const { handler } = await emailWhere(
      { authOptional: true, onRcptTo: (_address, _session, done) => done(refusal(code, text)) },
      { user: undefined, password: undefined, from: 'someone@example.com' },
    )

    expect(await failureOf(handler, mail)).toBeInstanceOf(PermanentError)
  })

  test('is distinguished from a refusal of the content, such as spam, and of a mail that is too large', async () => {
    const spam = refusal(554, '5.7.1 message content rejected')
    const size = refusal(552, '5.3.4 message size exceeds the limit')
    const { handler } = await emailWhere({
      onData: (stream, _session, done) => void stream.resume().on('end', () => done(spam)),
    })
    const { handler: small } = await emailWhere({ onMailFrom: (_address, _session, done) => done(size) })

    expect(await failureOf(handler, mail)).toBeInstanceOf(PermanentError)
    expect(await failureOf(small, mail)).toBeInstanceOf(PermanentError)
  })
})

describe('TLS', () => {
  // 0.0.0.0 reaches this machine, but is not one of its loopback addresses: the handler treats it as any other host.
  const elsewhere = { host: '0.0.0.0' }

  test('is refused with an untrusted certificate, and nothing is sent', async () => {
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

  test('is not required on this machine if the server does not offer it', async () => {
    const { handler, mails } = await emailWhere({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true })

    await attempt(handler, mail)

    expect(mails[0]).toMatchObject({ user: account.user, overTls: false })
  })

  test('is used from the start on port 465', async () => {
    const { port, mails } = await startSmtp({ secure: true })
    const options = smtpOptions('127.0.0.1', { port: 465, ...account })

    await createTransport({ ...options, port }).sendMail({ from: account.user, to: mail.email, text: mail.message })

    expect(mails[0]).toMatchObject({ user: account.user, overTls: true })
  })

  test('is used from the start on any port if the settings say so', async () => {
    const { handler, mails } = await emailWhere({ secure: true }, { tls: 'implicit' })

    await attempt(handler, mail)

    expect(mails[0]).toMatchObject({ user: account.user, overTls: true })
  })

  test('is required on this machine too if the settings say STARTTLS', async () => {
    const { handler, mails } = await emailWhere(
      { disabledCommands: ['STARTTLS'], allowInsecureAuth: true },
      { tls: 'starttls' },
    )

    const failure = await failureOf(handler, mail)

    expect(failure.cause).toMatchObject({ code: 'ETLS' })
    expect(mails).toEqual([])
  })

  test('from the start towards a server that expects STARTTLS is retried, and the error names the setting', async () => {
    const { handler } = await emailWhere({}, { tls: 'implicit' })

    const failure = await failureOf(handler, mail)

    expect(failure).not.toBeInstanceOf(PermanentError)
    expect(failure.message).toBe('the mail server does not speak TLS from the first byte: check SMTP_PORT and SMTP_TLS')
  })

  test('with a silent server, which may be waiting for it, is reported in the log while the attempt goes on', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    const { port } = await startTcp((socket) => socket.resume())
    const abort = new AbortController()
    const warnings: string[] = []
    const log = { info() {}, error() {}, warn: (_fields: object, message: string) => void warnings.push(message) }

    const failing = failureOf(emailTo(port), mail, { signal: abort.signal, log })
    const silence = () => timers.mock.calls.find(([, ms]) => ms === 10_000)
    await until(() => silence() !== undefined)
    silence()![0]()
    abort.abort(new JobCancelledError())

    expect(warnings).toEqual([expect.stringContaining('SMTP_TLS=implicit')])
    expect(await failing).toBeInstanceOf(JobCancelledError)
  })

  test('starts with STARTTLS on port 465 if the settings say so', () => {
    expect(smtpOptions('mail.example.com', { port: 465, tls: 'starttls' })).toMatchObject({
      secure: false,
      requireTLS: true,
    })
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
    expect(smtpOptions(host, { port: 465 })).toMatchObject({ secure: true, tls: { rejectUnauthorized: strict } })
  })
})

test('no mail can make the server read a file or a URL', () => {
  expect(smtpOptions('mail.example.com', {})).toMatchObject({ disableFileAccess: true, disableUrlAccess: true })
})

test('a mail that greylisting delays five times arrives with all the defaults except the pauses', async () => {
  let refusals = 0
  const { port, mails } = await startSmtp({
    onRcptTo: (_address, _session, done) => done(refusals++ < 5 ? refusal(451, '4.7.1 come back later') : null),
  })
  const smtp = { host: '127.0.0.1', port, ...account }
  const now = () => Date.now()
  const system = await createJobSystem({
    database: join(tempFolder(), 'jobs.db'),
    handlers: builtinHandlers({ smtp, webhook: { allowPrivate: false }, retryMaxMs: 1, now }),
  })
  whenDone(() => system.stop())
  await system.start()

  const { id } = await system.enqueue({ type: 'email', payload: mail })

  await vi.waitFor(
    async () => expect(await system.find(id)).toMatchObject({ state: 'succeeded', attempt: 6, maxRetries: 27 }),
    { timeout: 90_000 },
  )
  expect(mails).toHaveLength(1)
})

describe('the time an email takes', () => {
  test('has one limit, that of the attempt: the ten minutes that a server may take after the text, or what the job says', () => {
    const { connectionTimeout, greetingTimeout, socketTimeout } = smtpOptions('mail.example.com', {})

    expect(aMailer({}).timeoutMs).toBe(600_000)
    for (const limit of [connectionTimeout, greetingTimeout, socketTimeout]) expect(limit).toBe(timeoutMaxMs)
  })

  test('may include a day of attempts, the first of them soon, unless the job says otherwise', () => {
    const { maxRetries, backoffMs } = aMailer({})
    const delays = (random: number) =>
      Array.from({ length: maxRetries! }, (_, index) => backoffMs!(index + 1, () => random))
    const sum = (some: number[]) => some.reduce((total, delay) => total + delay, 0)

    // Greylisting takes five minutes with most, and an hour with some.
    expect(sum(delays(0).slice(0, 3))).toBeGreaterThan(300_000)
    expect(sum(delays(0).slice(0, 6))).toBeGreaterThan(3_600_000)
    expect(sum(delays(0))).toBeGreaterThan(20 * 3_600_000)
    expect(Math.max(...delays(1))).toBe(3_600_000)
    expect(delays(1)[0]).toBe(60_000)
  })

  test('has no longer pauses than the settings allow', () => {
    expect(aMailer({}, 1_000).backoffMs!(9, () => 1)).toBe(1_000)
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

  test('does not begin if the attempt was already aborted', async () => {
    let connections = 0
    const { port } = await startTcp(() => connections++)

    const failure = await failureOf(emailTo(port), mail, { signal: AbortSignal.abort(new JobCancelledError()) })

    expect(failure).toBeInstanceOf(JobCancelledError)
    expect(connections).toBe(0)
  })
})

/** A header's value as a reader shows it: unfolded, and its encoded words (RFC 2047) decoded. */
function decoded(value: string): string {
  const unfolded = value.replace(/\r\n(?=[ \t])/g, '').trim()
  const joined = unfolded.replace(/\?=\s+=\?UTF-8\?Q\?/g, '')
  return joined.replace(/=\?UTF-8\?Q\?([^?]*)\?=/g, (_word, text: string) =>
    decodeURIComponent(
      text
        .replaceAll('%', '%25')
        .replaceAll('_', ' ')
        .replace(/=([0-9A-F]{2})/g, '%$1'),
    ),
  )
}

describe('a server’s answer about what it was sent', () => {
  const signIn = { user: 'reports+billing@example.com', password: 'kX9#mQ2$vL5!nR8z' }
  const sent = {
    email: 'Jane.O=Neill@B\u00fccher.Example',
    subject: 'Your code is 4711-0815',
    message: 'Hello Jane,\r\nhttps://example.com/reset?token=0f8fad5bd9cb469f\r\n',
  }

  /** A server that refuses what begins with `stage`, quoting it in each way there is. */
  async function startQuoting(stage: RegExp, mechanism: string, quote: (line: string) => string) {
    const lines: string[] = []
    const { port } = await startTcp((socket) => {
      let inData = false
      socket.write('220 hello\r\n')
      socket.on('data', (data) => {
        for (const line of data.toString().split('\r\n').filter(Boolean)) {
          lines.push(line)
          const isSignIn = !/^(EHLO|AUTH|MAIL|RCPT|DATA|QUIT)/.test(line)
          if (inData && line !== '.') continue
          if (line === '.' && stage.test('DATA')) socket.write(`554 5.7.1 spam: ${quote(lines.join(' '))}\r\n`)
          else if (stage.test(isSignIn ? 'SIGN-IN' : line)) socket.write(`535 5.7.8 what is this: ${quote(line)}\r\n`)
          else if (line.startsWith('EHLO')) socket.write(`250-hello\r\n250-SMTPUTF8\r\n250 AUTH ${mechanism}\r\n`)
          else if (line === 'AUTH LOGIN') socket.write('334 VXNlcm5hbWU6\r\n')
          else if (line === 'AUTH CRAM-MD5') socket.write('334 PDE4OTYuNjk3MTcwOTUyQGV4YW1wbGU+\r\n')
          else if (isSignIn && !inData && lines.at(-2) === 'AUTH LOGIN') socket.write('334 UGFzc3dvcmQ6\r\n')
          else if (isSignIn && !inData) socket.write('235 welcome\r\n')
          else if (line.startsWith('AUTH')) socket.write('235 welcome\r\n')
          else if (line === 'DATA') {
            inData = true
            socket.write('354 go on\r\n')
          } else socket.write('250 fine\r\n')
        }
      })
    })
    return { port, lines }
  }

  const bytesOf = (line: string) => line.replace(/^AUTH PLAIN /, '')
  const quotes: Record<string, (line: string) => string> = {
    'as it is': (line) => line,
    'in capitals': (line) => line.toUpperCase(),
    decoded: (line) => `${Buffer.from(bytesOf(line), 'base64')}`.replaceAll('\0', ' '),
    'with its beginning cut off': (line) => bytesOf(line).slice(3),
    'without its end': (line) => bytesOf(line).slice(0, -6),
    'in hex': (line) => Buffer.from(line).toString('hex'),
    'in base64': (line) => Buffer.from(line).toString('base64url'),
    'in a URL': (line) => encodeURIComponent(line),
    'in quotes': (line) => JSON.stringify(line),
  }
  const stages = [
    ['AUTH PLAIN', /^AUTH PLAIN/, 'PLAIN'],
    ['the name of AUTH LOGIN', /^SIGN-IN/, 'LOGIN'],
    ['the answer of CRAM-MD5', /^SIGN-IN/, 'CRAM-MD5'],
    ['RCPT TO', /^RCPT/, 'PLAIN'],
    ['the mail', /^DATA/, 'PLAIN'],
  ] as const
  const secrets = [
    signIn.password,
    signIn.user,
    sent.email,
    'jane.o=neill@xn--bcher-kva.example',
    sent.subject,
    '0f8fad5bd9cb469f',
    ...[signIn.password, signIn.user, `\0${signIn.user}\0${signIn.password}`].map((text) =>
      Buffer.from(text).toString('base64'),
    ),
  ].map((secret) => secret.toLowerCase())

  test.each(
    stages.flatMap(([name, stage, mechanism]) =>
      Object.keys(quotes).map((how) => [name, how, stage, mechanism] as const),
    ),
  )('is kept without what was sent: %s, quoted %s', async (_name, how, stage, mechanism) => {
    const { port, lines } = await startQuoting(stage, mechanism, quotes[how]!)
    const handler = aMailer({ host: '127.0.0.1', port, ...signIn })

    const failure = await failureOf(handler, sent)

    const kept = JSON.stringify([describeError(failure), inspect(failure, { depth: 10 })]).toLowerCase()
    expect(lines.length).toBeGreaterThan(1)
    for (const secret of secrets) expect(kept).not.toContain(secret)
    for (const run of kept.match(/[a-z0-9+/_-]{8,}/gi) ?? []) {
      for (const secret of secrets) expect(`${Buffer.from(run, 'hex')}`.toLowerCase()).not.toContain(secret)
    }
    expect(failure.cause).toMatchObject({ message: expect.stringMatching(/what is this|spam/) })
  })

  test('is kept without what was sent: the password of AUTH LOGIN', async () => {
    const { port } = await startTcp((socket) => {
      const answers = ['250-hello\r\n250 AUTH LOGIN\r\n', '334 VXNlcm5hbWU6\r\n', '334 UGFzc3dvcmQ6\r\n']
      socket.write('220 hello\r\n')
      socket.on('data', (line) => socket.write(answers.shift() ?? `535 unknown command ${line.toString().trim()}\r\n`))
    })

    const failure = await failureOf(aMailer({ host: '127.0.0.1', port, ...signIn }), sent)

    expect(describeError(failure).message).toContain('535 unknown command [SMTP_PASSWORD]')
  })

  test('keeps everything else, and names what it hides', async () => {
    const text =
      '5.1.1 <Jane.O=Neill@xn--bcher-kva.example>: user "Jane.O=Neill" of xn--bcher-kva.example is unknown; see https://example.net/help'
    const { handler } = await emailWhere({
      authOptional: true,
      onRcptTo: (_address, _session, done) => done(refusal(550, text)),
    })

    const { message } = describeError(await failureOf(handler, sent))

    expect(message).toContain(
      '550 5.1.1 <[recipient]>: user [recipient] of xn--bcher-kva.example is unknown; see https://example.net/help',
    )
  })
})
