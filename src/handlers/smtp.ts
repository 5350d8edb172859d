import { connect } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { SMTPTransportOptions } from 'nodemailer'
import { timeoutMaxMs } from '../config.ts'

/** How the connection to a mail server is secured: from its first byte, or by STARTTLS. */
export const tlsModes = ['implicit', 'starttls'] as const

/** The mail server and the sender. An attempt needs `host` and a sender; without them it fails and is retried. */
export interface SmtpSettings {
  readonly host?: string | undefined
  /** 587 unless given. */
  readonly port?: number | undefined
  /** `implicit` on port 465 and `starttls` on any other unless given. */
  readonly tls?: (typeof tlsModes)[number] | undefined
  /** Signs in where both are given. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** The sender, with or without a name; `user` unless given. */
  readonly from?: string | undefined
}

/** How long one address of a server may take to answer where it has several, in ms. */
const addressMs = 15_000
/** A server that has said nothing for so long is told of in the log, in ms. */
const silenceMs = 10_000

/** What an attempt brings: `signal` ends its connection, `onSilence` is called where the server does not greet for a while. */
interface SmtpAttempt {
  readonly signal: AbortSignal
  onSilence(): void
}

/**
 * TLS is required and the certificate checked, whatever the environment says, except towards this machine, where TLS is used if the server
 * offers it, or `tls` says so, and a self-signed certificate will do. The attempt's signal is the only limit in time: servers may take minutes.
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
    // By the operating system's resolver: what is trusted without a certificate must not come from a name server, which nodemailer asks first.
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
