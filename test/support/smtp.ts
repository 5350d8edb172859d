import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { onTestFinished } from 'vitest'

const read = (name: string) => readFileSync(join(import.meta.dirname, name))

/**
 * For `localhost`, self-signed, valid for a hundred years. Made with openssl, because Node.js issues no certificates; it secures nothing.
 */
export const selfSigned = { key: read('self-signed-key.pem'), cert: read('self-signed-cert.pem') }

/** One mail as the server received it. */
export interface ReceivedMail {
  /** The user who signed in; undefined if nobody did. */
  readonly user: string | undefined
  readonly overTls: boolean
  readonly from: string
  readonly to: string[]
  readonly headers: string
  readonly body: string
}

/** A refusal by the server, with its code. */
export function refusal(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode })
}

/**
 * A real SMTP server on 127.0.0.1 until the test ends: STARTTLS with a self-signed certificate, sign-in required, as `someone@example.com`
 * with `secret`.
 */
export async function startSmtp(options: SMTPServerOptions = {}): Promise<{ port: number; mails: ReceivedMail[] }> {
  const mails: ReceivedMail[] = []
  const server = new SMTPServer({
    ...selfSigned,
    disableReverseLookup: true,
    closeTimeout: 1,
    onAuth({ username, password }, _session, done) {
      if (username === 'someone@example.com' && password === 'secret') done(null, { user: username })
      else done(refusal(535, '5.7.8 wrong user or password'))
    },
    onData(stream, { user, secure, envelope }, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const [headers = '', ...body] = Buffer.concat(chunks).toString().split('\r\n\r\n')
        const from = envelope.mailFrom ? envelope.mailFrom.address : ''
        const to = envelope.rcptTo.map(({ address }) => address)
        mails.push({ user: user || undefined, overTls: secure, from, to, headers, body: body.join('\r\n\r\n') })
        done()
      })
    },
    ...options,
  })
  // A client that rejects the certificate causes an error of that connection.
  server.on('error', () => undefined)
  const listening = server.listen(0, '127.0.0.1')
  await new Promise((resolve) => listening.once('listening', resolve))
  onTestFinished(() => new Promise<void>((resolve) => void server.close(resolve)))
  return { port: (listening.address() as AddressInfo).port, mails }
}
