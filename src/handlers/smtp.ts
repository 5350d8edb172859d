import { connect } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { NodemailerError, SMTPTransportOptions } from 'nodemailer'
import { timeoutMaxMs } from '../config.ts'

/** How the connection to a mail server is secured: from its first byte, or by STARTTLS. */
export const tlsModes = ['implicit', 'starttls'] as const

/** The mail server and the sender. An attempt needs `host` and a sender; without them it fails and is retried. */
export interface SmtpSettings {
  readonly host?: string | undefined
  /** 587 by default. */
  readonly port?: number | undefined
  /** `implicit` on port 465 and `starttls` on any other by default. */
  readonly tls?: (typeof tlsModes)[number] | undefined
  /** Signs in if both are given. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** The sender, with or without a name; `user` by default. */
  readonly from?: string | undefined
}

/** How long one address of a server may take to answer if it has several, in ms. */
const addressMs = 15_000
/** Ms of silence after which the log reports the server. */
const silenceMs = 10_000

/** What an attempt passes: `signal` ends its connection, `onSilence` is called if the server does not greet for a while. */
interface SmtpAttempt {
  readonly signal: AbortSignal
  onSilence(): void
}

/**
 * TLS is required and the certificate is checked, whatever the environment says. Only for this machine TLS is used if the server offers it
 * or `tls` says so, and a self-signed certificate is accepted. Only the attempt's signal limits the time: servers may take minutes.
 */
export function smtpOptions(
  host: string,
  { port = 587, user, password, tls }: SmtpSettings,
  attempt?: SmtpAttempt,
): SMTPTransportOptions {
  const local = isLoopback(host)
  const secure = (tls ?? (port === 465 ? 'implicit' : 'starttls')) === 'implicit'
  return {
    host,
    port,
    secure,
    requireTLS: !secure && (!local || tls !== undefined),
    tls: { rejectUnauthorized: !local, minVersion: 'TLSv1.2' },
    ...(user !== undefined && password !== undefined && { auth: { user, pass: password } }),
    // Uses the operating system's resolver: a host that is trusted without a certificate must not come from a name server, which nodemailer
    // asks first.
    getSocket({ host, port }, callback) {
      const socket = connect({
        host: host ?? 'localhost',
        port: Number(port),
        autoSelectFamilyAttemptTimeout: addressMs,
        ...(attempt && { signal: attempt.signal }),
      })
      const failed = (error: Error) => callback(error)
      socket.once('error', failed).once('connect', () => {
        socket.off('error', failed)
        const silence = setTimeout(() => socket.bytesRead === 0 && attempt?.onSilence(), silenceMs)
        socket.once('close', () => clearTimeout(silence))
        callback(null, { connection: socket })
      })
    },
    connectionTimeout: timeoutMaxMs,
    greetingTimeout: timeoutMaxMs,
    socketTimeout: timeoutMaxMs,
    socketCloseTimeout: 1_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true
  return ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback'
}

/** The message of a failed attempt, and whether another attempt could succeed. */
interface SmtpFailure {
  readonly message: string
  readonly isFinal: boolean
}

/**
 * Whether a server refused this mail permanently. Only its answer to envelope and content counts (5xx), and only if it is about the mail.
 * An error caused by the settings or by the server would refuse every mail but can be corrected, so it must not kill all waiting mail.
 * Postfix defers mail in that case too.
 */
export function smtpFailureOf(error: NodemailerError, settings: SmtpSettings): SmtpFailure {
  const { code, responseCode = 0 } = error
  if (code === 'EAUTH') return later('the mail server refused the sign-in: check SMTP_USER and SMTP_PASSWORD')
  // OpenSSL's error for a greeting in plain text.
  if (/wrong version number|packet length too long/.test(error.message)) {
    return later('the mail server does not speak TLS from the first byte: check SMTP_PORT and SMTP_TLS')
  }
  const aboutMail = code === 'EENVELOPE' || code === 'EMESSAGE'
  // 503 is about the order of commands, so it concerns the session.
  if (!aboutMail || responseCode < 500 || responseCode === 503) return later('the mail server did not accept the mail')
  return ofSettings(error, settings) ?? { message: 'the mail server refused the mail', isFinal: true }
}

/**
 * The RFCs let each server choose its words: check the codes first, then the words of Postfix, Exim, Sendmail, qmail, Exchange and
 * OpenSMTPD.
 */
function ofSettings(
  { responseCode = 0, response = '', command }: NodemailerError,
  { user, password }: SmtpSettings,
): SmtpFailure | undefined {
  if (isAboutSender(response, command)) return later('the mail server refused the sender: check SMTP_FROM')
  const signsIn = user !== undefined && password !== undefined
  const asksForSignIn = responseCode >= 530 && responseCode <= 538
  // A bad or unknown address, a full mailbox, or a mail that is too large: this is how a relay refuses its own recipients.
  const isAboutRecipient = /\b5\.[1-6]\.\d/.test(response)
  const isAboutClient = /\brelay|rcpthosts|client host rejected|helo command rejected|blocked using/i.test(response)
  const maybeForeign =
    command === 'RCPT TO' && /\b5\.7\.\d|invalid recipient|denied|not (?:permitted|allowed)|authenti/i.test(response)
  if (!asksForSignIn && (isAboutRecipient || !(isAboutClient || (maybeForeign && !signsIn)))) return
  if (signsIn) return later('the mail server does not relay for this client: check SMTP_HOST, SMTP_PORT and SMTP_USER')
  const missing = [user === undefined && 'SMTP_USER', password === undefined && 'SMTP_PASSWORD'].filter(Boolean)
  const areMissing = missing.length === 1 ? `${missing[0]} is not set` : `${missing.join(' and ')} are not set`
  return later(`the mail server refused a mail sent without a sign-in, and ${areMissing}`)
}

/** All mails have the same sender, but the size is announced along with it. Postfix refuses a sender only when it gets the recipient. */
function isAboutSender(response: string, command: string | undefined): boolean {
  if (/\b5\.1\.[78]\b|sender address rejected|sender verif/i.test(response)) return true
  return command === 'MAIL FROM' && !/^552|\b5\.3\.4\b/.test(response)
}

function later(message: string): SmtpFailure {
  return { message, isFinal: false }
}
