import { createRequire } from 'node:module'
import { domainToASCII } from 'node:url'
import type { NodemailerError, SendMailOptions } from 'nodemailer'
import { z } from 'zod'
import { PermanentError } from '../errors.ts'
import { defineHandler, type Handler } from './define.ts'
import { emailAddress } from './mail-address.ts'
import { strictPayload, takes } from './payload.ts'
import { Redactor } from './redact.ts'
import { type SmtpSettings, smtpFailureOf, smtpOptions } from './smtp.ts'

/** What an `email` job carries. */
interface Email {
  /** One address, without a display name. */
  readonly email: string
  readonly subject: string
  /** Plain text. */
  readonly message: string
}

interface EmailSettings {
  readonly smtp: SmtpSettings
  /** The longest delay between two attempts. */
  readonly retryMaxMs: number
}

/** The limit of one attempt. A server may take 5 min to greet and 10 min to check the text (RFC 5321, 4.5.3.2); most take a second. */
const attemptMs = 600_000
/** The delay after each attempt; the last one repeats. This outlasts greylisting within minutes, and a server that is down within a day. */
const delaysMs = [60_000, 300_000, 900_000, 1_800_000, 3_600_000]
/** The retries that fit into a day. */
const maxRetries = 27

const subjectMax = 998
/**
 * RFC 5322 limits lines to 998 octets, and some servers refuse longer ones. A word cannot be folded, but it can be encoded and then cut.
 */
const wordMax = 900
const encodedWordMax = 52

/** Lines of a mail, and words that may be a link or a code, are removed from errors: from this length on, and at most this many. */
const quotedMin = 8
const longWord = 16
const quotedMax = 50

const oneLine = z
  .string(takes('text'))
  .max(subjectMax, { ...takes(`at most ${subjectMax} characters`), abort: true })
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}]*$/u, takes('one line of text, without line breaks and control characters'))

const payload = strictPayload({
  email: emailAddress.describe('The recipient: one address, without a name.'),
  subject: oneLine.describe('One line of text.'),
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
    // What both refinements reject.
    oneOf: [{ required: ['message'] }, { required: ['body'] }],
    examples: [{ email: 'someone@example.com', subject: 'Hello', message: 'A mail from jobmachine.' }],
  })
  .transform(({ email, subject, message, body }): Email => ({ email, subject, message: message ?? body ?? '' }))

const require = createRequire(import.meta.url)

/**
 * Sends one plain-text mail by SMTP. Delivery is at least once: every attempt of a job has the same `Message-ID`, so that a receiver can
 * recognize a repeat. A permanent refusal of this mail (5xx) is final. Connection and TLS errors, 4xx, and errors caused by the settings
 * are retried, by default for a day, as is usual for mail.
 */
export function sendEmail({ smtp, retryMaxMs }: EmailSettings): Handler<Email> {
  const { host, from: sender = smtp.user } = smtp
  const domain = sender && domainOf(sender)
  // nodemailer takes 50 ms and 15 MB to load, which a server without mail need not spend. It is loaded now and not with the first mail,
  // because an update may have removed `node_modules` by then.
  const nodemailer: typeof import('nodemailer') | undefined = host === undefined ? undefined : require('nodemailer')

  return defineHandler({
    type: 'email',
    timeoutMs: attemptMs,
    maxRetries,
    backoffMs: (attempt, random) => {
      const delayMs = Math.min(delaysMs[attempt - 1] ?? delaysMs.at(-1)!, retryMaxMs)
      return Math.round(delayMs * (0.9 + random() / 10))
    },
    payload,

    async run(mail, { idempotencyToken, signal, log, note }) {
      const { email, subject, message } = mail
      signal.throwIfAborted()
      if (!nodemailer || host === undefined || !sender || !domain) {
        throw new Error(`cannot send mail: ${whatIsMissing(smtp)}`)
      }
      // The attempt goes on, because a server may take minutes to greet. A server that waits for TLS to begin never greets.
      const onSilence = () =>
        log.warn({}, 'the mail server is silent: it is slow, or it speaks TLS from the first byte (SMTP_TLS=implicit)')
      try {
        // Without a pool, an abort closes only its own connection, and none is left open when the process ends.
        const transport = nodemailer.createTransport(smtpOptions(host, smtp, { signal, onSilence }))
        const { response } = await transport.sendMail({
          from: sender,
          to: { name: '', address: email },
          ...foldable(subject),
          text: message,
          messageId: `<${idempotencyToken}@${domain}>`,
          signal,
        })
        note(`${host} accepted it for delivery: ${new Redactor(sentWith(mail, smtp)).text(response)}`)
      } catch (thrown) {
        signal.throwIfAborted()
        const cause = thrown as NodemailerError
        const { message, isFinal } = smtpFailureOf(cause, smtp)
        new Redactor(sentWith(mail, smtp)).error(cause)
        throw isFinal ? new PermanentError(message, { cause }) : new Error(message, { cause })
      }
    },
  })
}

/** A subject with a word that is longer than a line is sent as encoded words (RFC 2047), each of which can be on its own line. */
function foldable(subject: string): SendMailOptions {
  if (!subject.split(' ').some(({ length }) => length > wordMax)) return { subject }
  const { encodeWord }: typeof import('nodemailer/lib/mime-funcs') = require('nodemailer/lib/mime-funcs')
  return { headers: { subject: { prepared: true, foldLines: true, value: encodeWord(subject, 'Q', encodedWordMax) } } }
}

/** What is sent to the server and must not come back in an error, because users who see errors may not see payloads and settings. */
function sentWith({ email, subject, message }: Email, { user = '', password = '' }: SmtpSettings) {
  const ofMail = [
    subject,
    ...message.split(/[\r\n]+/),
    ...message.split(/\s+/).filter(({ length }) => length >= longWord),
  ]
  return [
    { name: 'recipient', text: email },
    { name: 'SMTP_PASSWORD', text: password },
    // The form in which AUTH PLAIN joins them.
    { name: 'SMTP_PASSWORD', text: `\0${user}\0${password}` },
    { name: 'SMTP_USER', text: user },
    ...ofMail
      .filter(({ length }) => length >= quotedMin && length <= subjectMax)
      .slice(0, quotedMax)
      .map((text) => ({ name: 'mail', text })),
  ]
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
    missing.push('the sender (SMTP_FROM, else SMTP_USER, else GMAIL_USER) is not an email address')
  return missing.join('; ')
}
