import type { IncomingMessage } from 'node:http'
import type { getRequestListener } from '@hono/node-server'
import { ConfigError } from '../errors.ts'

type Fetch = Parameters<typeof getRequestListener>[0]

/**
 * Everything behind this module speaks as if it were at the root. `basePath`, such as `/jobs-admin`, is taken off what comes in, where the
 * proxy before us has not done so, and put before every path that goes out: links, forms, assets, redirects and cookies.
 */
export function mount(fetch: Fetch, basePath: string): Fetch {
  if (basePath === '') return fetch
  return async (request, env) => putUnder(basePath, (await fetch(request, env)) as Response)
}

/** Takes `basePath` off the target of a request that has it. */
export function takeOff(basePath: string, incoming: IncomingMessage): void {
  const { url = '' } = incoming
  if (basePath === '' || !url.startsWith(basePath)) return
  const rest = url.slice(basePath.length)
  if (/^[/?]/.test(rest) || rest === '') incoming.url = rest.startsWith('/') ? rest : `/${rest}`
}

/** Throws `ConfigError` where a request without `basePath` could be taken for one that has it. */
export function assertBasePath(basePath: string, paths: readonly string[]): void {
  const own = new Set(paths.map(firstSegmentOf))
  if (basePath === '' || !own.has(firstSegmentOf(basePath))) return
  throw new ConfigError([
    `BASE_PATH is ${JSON.stringify(basePath)}, which begins like a path of the server's own; choose another, such as /jobs-admin`,
  ])
}

export function firstSegmentOf(path: string): string {
  return path.split('/')[1]!
}

async function putUnder(basePath: string, answer: Response): Promise<Response> {
  const { location, 'set-cookie': cookie, ...headers } = Object.fromEntries(answer.headers)
  const isHtml = headers['content-type']?.startsWith('text/html') === true && answer.body !== null
  if (location === undefined && cookie === undefined && !isHtml) return answer
  // Whatever is not an attribute of ours has its quotes escaped.
  const body = isHtml ? (await answer.text()).replace(/ (href|src|action)="\//g, ` $1="${basePath}/`) : answer.body
  return new Response(body, {
    status: answer.status,
    headers: {
      ...headers,
      ...(location !== undefined && { location: `${basePath}${location}` }),
      ...(cookie !== undefined && { 'set-cookie': cookie.replace('; Path=/;', `; Path=${basePath};`) }),
    },
  })
}
