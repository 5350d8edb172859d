import { createHmac } from 'node:crypto'

/**
 * What a signing secret may be: ASCII text, used unchanged, or `whsec_` and base64 with its padding. Verifying libraries read anything else
 * in different ways, or not at all.
 */
export const secretPattern =
  /^(?!whsec_)[\x20-\x7e]+$|^whsec_(?=.)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/

/**
 * Signs the body of a call: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Throws `TypeError`
 * on an invalid secret, without repeating it.
 */
export function createSigner(secret: string): (id: string, now: number, body: string) => Record<string, string> {
  if (!secretPattern.test(secret)) {
    throw new TypeError(
      `the webhook secret, of ${secret.length} characters, is neither ASCII text nor whsec_ followed by base64 with its padding`,
    )
  }
  const key = keyOf(secret)
  return (id, now, body) => {
    const timestamp = Math.floor(now / 1_000)
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
    return { 'webhook-timestamp': `${timestamp}`, 'webhook-signature': `v1,${signature}` }
  }
}

/** The bytes that sign, of a secret that `secretPattern` matches. */
export function keyOf(secret: string): Buffer {
  const prefix = 'whsec_'
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret)
}
