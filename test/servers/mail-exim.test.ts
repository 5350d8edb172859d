import { createTransport } from 'nodemailer'
import { expect, test } from 'vitest'
import { PermanentError } from '../../src/errors.ts'
import { sendEmail } from '../../src/handlers/email.ts'
import type { SmtpSettings } from '../../src/handlers/smtp.ts'
import { attempt, failureOf } from '../support/attempt.ts'
import { startExim } from './exim.ts'
import { describeWith } from './servers.ts'

const mail = { email: 'reader@example.test', subject: 'Hello', message: 'It is ready.' }
const account = { user: 'someone@example.com', password: 'secret' }
const mailer = (smtp: SmtpSettings) =>
  sendEmail({ smtp: { host: '127.0.0.1', from: 'someone@example.com', ...smtp }, retryMaxMs: 3_600_000 })

describeWith(
  ['exim'],
  'a mail to Exim',
  () => {
    test('arrives by STARTTLS and by TLS from the first byte, signed in', async () => {
      const { port, tlsPort, queue } = await startExim()

      await attempt(mailer({ port, ...account }), { ...mail, email: 'reader@elsewhere.test' })
      await attempt(mailer({ port: tlsPort, tls: 'implicit', ...account }), { ...mail, email: 'reader@elsewhere.test' })

      expect(queue()).toHaveLength(2)
      for (const taken of queue()) {
        expect(taken).toContain('-auth_id someone@example.com')
        expect(taken).toContain('-tls_cipher TLS1.3')
      }
    })

    test('elsewhere without a sign-in is retried, and the error names the settings', async () => {
      const { port } = await startExim()

      const failure = await failureOf(mailer({ port }), { ...mail, email: 'reader@elsewhere.test' })

      expect(failure).not.toBeInstanceOf(PermanentError)
      expect(failure.message).toContain('SMTP_USER and SMTP_PASSWORD are not set')
      expect(failure.cause).toMatchObject({ message: expect.stringContaining('550 relay not permitted') })
    })

    test('with a wrong password is retried', async () => {
      const { port } = await startExim()

      const failure = await failureOf(mailer({ port, ...account, password: 'wrong' }), mail)

      expect(failure).not.toBeInstanceOf(PermanentError)
      expect(failure.message).toContain('check SMTP_USER and SMTP_PASSWORD')
    })

    test('with a subject of one word of 998 letters arrives, although a single line does not', async () => {
      const { port, queue } = await startExim()
      const subject = 's'.repeat(998)

      await attempt(mailer({ port }), { ...mail, subject })
      const unfolded = createTransport({ host: '127.0.0.1', port, tls: { rejectUnauthorized: false } })
        .sendMail({ from: account.user, to: mail.email, subject, text: 'x' })
        .catch((error: { responseCode: number }) => error.responseCode)

      expect(await unfolded).toBe(550)
      expect(queue()).toHaveLength(1)
      expect(queue()[0]!.replace(/\?=\s+=\?UTF-8\?Q\?/g, '')).toContain(subject)
    })

    test.each([
      'user+tag=list@example.test',
      'a/b!c%d#e@example.test',
      "{o'hara}@example.test",
      '"a b"@example.test',
      '"a@b,c"@example.test',
      'user@localhost',
      '用户@example.test',
    ])('may go to %s', async (email) => {
      const { port, queue } = await startExim()

      await attempt(mailer({ port }), { ...mail, email })

      expect(queue()).toHaveLength(1)
      // The envelope's recipient, on its own line.
      expect(queue()[0]!.split('\n')).toContain(email)
    })
  },
  { asRoot: true },
)
