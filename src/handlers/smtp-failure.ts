import type { NodemailerError } from 'nodemailer'
import type { SmtpSettings } from './smtp.ts'

/** What an attempt that failed says, and whether another could help. */
interface SmtpFailure {
  readonly message: string
  readonly isFinal: boolean
}

/**
 * Whether a server refused this mail for good. Only its word on envelope and content counts (5xx), and only where it is about the mail: what
 * comes of the settings or of the server would refuse every mail, can be mended, and must not kill all that wait. Postfix defers then too.
 */
export function smtpFailureOf(error: NodemailerError, settings: SmtpSettings): SmtpFailure {
  const { code, responseCode = 0 } = error
  if (code === 'EAUTH') return later('the mail server refused the sign-in: check SMTP_USER and SMTP_PASSWORD')
  // What OpenSSL makes of a greeting in plain text.
  if (/wrong version number|packet length too long/.test(error.message)) {
    return later('the mail server does not speak TLS from the first byte: check SMTP_PORT and SMTP_TLS')
  }
  const aboutMail = code === 'EENVELOPE' || code === 'EMESSAGE'
  // 503 is about the order of commands, so about the session.
  if (!aboutMail || responseCode < 500 || responseCode === 503) return later('the mail server did not accept the mail')
  return ofSettings(error, settings) ?? { message: 'the mail server refused the mail', isFinal: true }
}

/** The RFCs leave it to each server how to say so: codes first, then the words of Postfix, Exim, Sendmail, qmail, Exchange and OpenSMTPD. */
function ofSettings(
  { responseCode = 0, response = '', command }: NodemailerError,
  { user, password }: SmtpSettings,
): SmtpFailure | undefined {
  if (isAboutSender(response, command)) return later('the mail server refused the sender: check SMTP_FROM')
  const signsIn = user !== undefined && password !== undefined
  const asksForSignIn = responseCode >= 530 && responseCode <= 538
  // A bad or unknown address, a full mailbox, a mail that is too large: so a relay speaks of its own recipients.
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

/** The sender is the same for all mails; a size is told to the server along with it. Postfix speaks of it only when it hears the recipient. */
function isAboutSender(response: string, command: string | undefined): boolean {
  if (/\b5\.1\.[78]\b|sender address rejected|sender verif/i.test(response)) return true
  return command === 'MAIL FROM' && !/^552|\b5\.3\.4\b/.test(response)
}

function later(message: string): SmtpFailure {
  return { message, isFinal: false }
}
