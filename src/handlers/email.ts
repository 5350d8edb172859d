import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { domainToASCII } from 'node:url'
import ipaddr from 'ipaddr.js'
import type { NodemailerError, SMTPTransportOptions } from 'nodemailer'
import { z } from 'zod'
import { PermanentError } from '../errors.ts'
import { defineHandler, type Handler } from './define.ts'
import { strictPayload, takes } from './payload.ts'

/** What an `email` job carries. */
export interface Email {
  /** One address, without a name. */
  readonly email: string
  readonly subject: string
  /** Plain text. */
  readonly message: string
}

/** The mail server and the sender. An attempt needs `host` and a sender; without them it fails and is retried. */
export interface SmtpSettings {
  readonly host?: string | undefined
  /** 587 unless given. 465 speaks TLS from the start, any other port STARTTLS. */
  readonly port?: number | undefined
  /** Signs in where both are given. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** The sender, with or without a name; `user` unless given. */
  readonly from?: string | undefined
}

/** One attempt. Well below the 30 s that a silent worker keeps its job. */
const attemptMs = 25_000
const timeouts = { dnsTimeout: 5_000, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 20_000 }

const addressMax = 254
/** The longest header line that RFC 5322 allows. */
const subjectMax = 998

const oneLine = z
  .string(takes('text'))
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}]*$/u, takes('one line of text, without line breaks and control characters'))
const address = z
  .email(takes('one email address, such as someone@example.com'))
  .max(addressMax, takes(`at most ${addressMax} characters`))

const payload = strictPayload({
  email: address.describe('The recipient: one address, without a name.'),
  subject: oneLine.max(subjectMax, takes(`at most ${subjectMax} characters`)).describe('One line of text.'),
  message: z.string(takes('text')).optional().describe('Plain text.'),
  body: z.string(takes('text')).optional().describe('Another name for `message`; one of the two is required.'),
})
  .refine((mail) => mail.message === undefined || mail.body === undefined, {
    path: ['body'],
    message: 'is another name for message; give one of the two',
  })
  .refine((mail) => mail.message !== undefined || mail.body !== undefined, {
    path: ['message'],
    message: 'is required',
  })
  .meta({
    description: 'Sends one plain-text mail by SMTP.',
    // What both refinements refuse.
    oneOf: [{ required: ['message'] }, { required: ['body'] }],
    examples: [{ email: 'someone@example.com', subject: 'Hello', message: 'A mail from jobmachine.' }],
  })
  .transform(({ email, subject, message, body }): Email => ({ email, subject, message: message ?? body ?? '' }))

/**
 * Sends one plain-text mail by SMTP. Delivery is at least once: every attempt of a job has the same `Message-ID`, so that a receiver can
 * tell a repeat. What the server says for good about this mail (5xx) is final; connection, TLS, sign-in and 4xx are retried.
 */
export function sendEmail(settings: SmtpSettings): Handler<Email> {
  const sender = settings.from ?? settings.user
  const domain = sender && domainOf(sender)
  const { host } = settings
  const transport = host === undefined ? undefined : openTransport(host, settings)

  return defineHandler({
    type: 'email',
    timeoutMs: attemptMs,
    payload,

    async run({ email, subject, message }, { idempotencyToken, signal }) {
      signal.throwIfAborted()
      if (!transport || !sender || !domain) throw new Error(`cannot send mail: ${whatIsMissing(settings)}`)
      try {
        await transport.sendMail({
          from: sender,
          to: { name: '', address: email },
          subject,
          text: message,
          messageId: `<${idempotencyToken}@${domain}>`,
          signal,
        })
      } catch (thrown) {
        signal.throwIfAborted()
        const cause = withoutAddress(thrown as NodemailerError, email)
        if (isFinal(cause)) throw new PermanentError('the mail server refused the mail', { cause })
        throw new Error(`the mail server ${cause.code === 'EAUTH' ? 'refused the sign-in' : 'did not take the mail'}`, {
          cause,
        })
      }
    },
  })
}

const require = createRequire(import.meta.url)

/**
 * nodemailer takes 50 ms and 15 MB to load, which a server without mail need not pay. It is loaded with the handler and not with the first
 * mail: by then an update may have taken `node_modules` away.
 */
function openTransport(host: string, settings: SmtpSettings) {
  const { createTransport }: typeof import('nodemailer') = require('nodemailer')
  // Not pooled: an abort closes its own connection and no other, and none is left open when the process ends.
  return createTransport(smtpOptions(host, settings))
}

/**
 * TLS is required and the certificate checked, whatever the environment says, except towards this machine, where TLS is used if the server
 * offers it and a self-signed certificate will do.
 */
export function smtpOptions(host: string, { port = 587, user, password }: SmtpSettings): SMTPTransportOptions {
  const local = isLoopback(host)
  return {
    host,
    port,
    secure: port === 465,
    requireTLS: !local && port !== 465,
    tls: { rejectUnauthorized: !local, minVersion: 'TLSv1.2' },
    ...(user !== undefined && password !== undefined && { auth: { user, pass: password } }),
    ...(local && { getSocket: connectLocally }),
    ...timeouts,
    socketCloseTimeout: 1_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true
  return ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback'
}

/** nodemailer asks a name server for `localhost` before the hosts file; what is trusted without a certificate must not come from there. */
const connectLocally: NonNullable<SMTPTransportOptions['getSocket']> = ({ host, port }, callback) => {
  const socket = connect({ host: host ?? 'localhost', port: Number(port), timeout: timeouts.connectionTimeout })
  const failed = (error: Error) => callback(error)
  const timedOut = () => socket.destroy(new Error('Connection timeout'))
  socket.once('error', failed).once('timeout', timedOut)
  socket.once('connect', () => {
    socket.off('error', failed).off('timeout', timedOut).setTimeout(0)
    callback(null, { connection: socket })
  })
}

/**
 * Whether the server refused this mail for good. Only its word on envelope and content counts: a 5xx to the greeting, STARTTLS or AUTH, or
 * 530 to 538 ("sign in first"), is about the settings or the server, which can change, and must not kill every mail that waits (Postfix
 * defers in these cases too). 503 is about the session.
 */
function isFinal({ code, responseCode = 0 }: NodemailerError): boolean {
  const aboutMail = code === 'EENVELOPE' || code === 'EMESSAGE'
  const aboutSession = responseCode === 503 || (responseCode >= 530 && responseCode <= 538)
  return aboutMail && responseCode >= 500 && responseCode < 600 && !aboutSession
}

/** What nodemailer says, less the recipient's address, which servers like to quote: errors are stored and shown, payloads are not. */
function withoutAddress({ message, code, command, responseCode }: NodemailerError, address: string): NodemailerError {
  const error = new Error(message.replaceAll(address, '[recipient]'))
  return Object.assign(error, { code, command, ...(responseCode !== undefined && { responseCode }) })
}

function domainOf(sender: string): string | undefined {
  const domain = /@([^\s<>@]+)>?\s*$/.exec(sender)?.[1]
  return (domain && domainToASCII(domain)) || undefined
}

function whatIsMissing({ host, user, from }: SmtpSettings): string {
  const sender = from ?? user
  const missing = host === undefined ? ['SMTP_HOST is not set'] : []
  if (sender === undefined) missing.push('no sender is set (SMTP_FROM, else SMTP_USER, else GMAIL_USER)')
  else if (!domainOf(sender))
    missing.push('the sender (SMTP_FROM, else SMTP_USER, else GMAIL_USER) is no email address')
  return missing.join('; ')
}
