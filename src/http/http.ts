import type { IncomingMessage, ServerResponse } from 'node:http'
import { defaultAccess } from './access.ts'
import { type AppOptions, createApp } from './app.ts'
import { EventFeed, type EventFeedOptions } from './events/event-feed.ts'
import { answerRequest, withBody } from './exchange.ts'
import { Hosts } from './guard.ts'
import { answerFailure, type HttpServer, type ListenOptions, listen, toRequestListener } from './listen.ts'
import { settingName } from './options.ts'

/** How long requests in progress may take when it closes, in ms. */
const lastRequestsMs = 1_000

/** The HTTP API and the dashboard of a system, as a server or inside another app. */
export interface JobsHttp {
  /** Answers a request, for frameworks with web requests, such as hono and Next.js. It may be passed on without the object. */
  fetch(request: Request): Promise<Response>
  /** The same for Node's `(req, res)`, for frameworks such as Express, Fastify and Koa. It never calls `next`. */
  requestListener(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void>
  /** Serves at a separate address. Resolves when it listens; rejects with the system's error (EADDRINUSE, …) if it cannot. */
  listen(options?: ListenOptions): Promise<{ readonly url: string }>
  /** Ends all streams of events, and servers when their requests are answered or after `graceMs` (1,000). The system continues. */
  close(graceMs?: number): Promise<void>
}

interface HttpParts extends AppOptions, EventFeedOptions {
  readonly allowedHosts: readonly string[]
}

/** Time, randomness and all settings come from outside. Throws `ConfigError` on an invalid `basePath`. */
export function assembleHttp(parts: HttpParts): JobsHttp {
  const { log, allowedHosts, ownsProcess } = parts
  const feed = new EventFeed(parts)
  const { answer } = createApp(parts, feed)
  const servers: HttpServer[] = []
  // An app that mounts it checks its own host names, unless names are given.
  const hosts = allowedHosts.length > 0 ? new Hosts(allowedHosts, settingName('allowedHosts', ownsProcess)) : null
  const answerNode = toRequestListener(
    async (request, arrival) => answer(request, { ...arrival, incoming: withBody(arrival.incoming) }),
    log,
    hosts,
    false,
  )
  return {
    fetch: (request) =>
      answerRequest(request, (request, exchange) =>
        answer(request, { ...exchange, hosts, access: defaultAccess }),
      ).catch((error) => answerFailure(error, log)),
    requestListener: (incoming, outgoing) => answerNode(incoming, outgoing),
    async listen(options = {}) {
      const server = await listen({ answer, log, allowedHosts, ownsProcess }, options)
      servers.push(server)
      return { url: server.url }
    },
    async close(graceMs = lastRequestsMs) {
      feed.close()
      await Promise.all(servers.splice(0).map((server) => server.close(graceMs)))
    },
  }
}
