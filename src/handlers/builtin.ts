import type { Handler } from './define.ts'
import { sendEmail } from './email.ts'
import { HttpClient } from './http-client.ts'
import { sleep } from './sleep.ts'
import type { SmtpSettings } from './smtp.ts'
import { callWebhook } from './webhook.ts'

interface BuiltinSettings {
  readonly smtp: SmtpSettings
  readonly webhook: {
    /** Lets calls reach loopback, private and reserved addresses. */
    readonly allowPrivate: boolean
    /** Signs calls if given. */
    readonly secret?: string | undefined
  }
  /** The longest delay between two attempts, whatever requests it. */
  readonly retryMaxMs: number
  /** Epoch ms. */
  readonly now: () => number
}

/** The built-in handlers: `email`, `webhook` and `sleep`. Throws `TypeError` on an invalid webhook secret. */
export function builtinHandlers({ smtp, webhook, retryMaxMs, now }: BuiltinSettings) {
  const client = new HttpClient(webhook.allowPrivate ? { allows: () => true } : {})
  // biome-ignore lint/suspicious/noExplicitAny: handlers of different payloads are in one list
  const handlers: Handler<any>[] = [
    sendEmail({ smtp, retryMaxMs }),
    callWebhook({ client, secret: webhook.secret, retryMaxMs, now }),
    sleep(),
  ]
  return handlers
}
