import { ConfigError } from '../errors.ts'

/**
 * All code behind this module works as if it were at the root. `basePath`, such as `/admin/jobs`, is the path that browsers see. It is
 * removed from incoming paths, and put before every outgoing one: links, forms, assets, redirects and cookies.
 */
export class Mount {
  readonly basePath: string
  /** `basePath`, and each trailing part of it: proxies and frameworks before us may have removed its beginning. */
  readonly #prefixes: readonly string[]

  /** `paths`: all that are served. Throws `ConfigError` if a request without `basePath` could be taken for one that has it. */
  constructor(basePath: string, paths: readonly string[]) {
    const own = new Set(paths.map(firstSegmentOf))
    if (basePath !== '' && own.has(firstSegmentOf(basePath))) {
      throw new ConfigError([
        `the base path is ${JSON.stringify(basePath)}, which begins like a path of the server's own; choose another, such as /admin/jobs`,
      ])
    }
    const segments = basePath.split('/').slice(1)
    const ends = segments.map((_, index) => `/${segments.slice(index).join('/')}`)
    this.basePath = basePath
    this.#prefixes = ends.filter((end) => !own.has(firstSegmentOf(end)))
  }

  /** A path without the prefix, with or without its query. */
  takeOff(path: string): string {
    for (const prefix of this.#prefixes) {
      if (!path.startsWith(prefix)) continue
      const rest = path.slice(prefix.length)
      if (rest.startsWith('/')) return rest
      if (rest === '' || rest.startsWith('?')) return `/${rest}`
    }
    return path
  }

  /** The same answer with the prefix before its links, redirects and cookies. */
  async putUnder(answer: Response): Promise<Response> {
    const { basePath } = this
    if (basePath === '') return answer
    const { location, 'set-cookie': cookie, ...headers } = Object.fromEntries(answer.headers)
    const isHtml = headers['content-type']?.startsWith('text/html') === true && answer.body !== null
    if (location === undefined && cookie === undefined && !isHtml) return answer
    // Only attributes of ours match, because all other text has its quotes escaped.
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
}

function firstSegmentOf(path: string): string {
  return path.split('/')[1]!
}
