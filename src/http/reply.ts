/** On every answer: nothing of it may run, be framed, be guessed at or be kept. */
const standing = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** A JSON answer. Headers are given whole when it is made: @hono/node-server writes such an answer without building a `Response`. */
export function reply(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { ...standing, ...headers } })
}
