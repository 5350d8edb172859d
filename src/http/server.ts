import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type AppOptions, createApp } from './app.ts'
import { HttpError, problem } from './problem.ts'

/** A client that takes longer for its head, or for all of its request, is cut off. */
const headersTimeoutMs = 10_000
const requestTimeoutMs = 60_000
const keepAliveMs = 5_000
/** Open connections; one more is closed at once. */
const connectionsMax = 10_000

export interface HttpServer {
  /** Where it listens, with the port it got. */
  readonly url: string
  /** Takes no more connections, closes idle ones, and the rest when they are answered or after `graceMs`. */
  close(graceMs: number): Promise<void>
}

/** Serves the API; resolves when it listens, rejects with the system's error (EADDRINUSE, …) where it cannot. */
export async function serveHttp(
  options: AppOptions & { readonly host: string; readonly port: number },
): Promise<HttpServer> {
  const { host, port } = options
  const listener = getRequestListener(createApp(options).fetch, {
    // A head that makes no URL, such as a Host with a space.
    errorHandler: () => problem(new HttpError(400, 'bad_request', 'the request could not be understood')),
  })
  const timeouts = { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs, keepAliveTimeout: keepAliveMs }
  const server = createServer(timeouts, listener)
  server.maxConnections = connectionsMax
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return { url: urlOf(server.address() as AddressInfo), close: (graceMs) => close(server, graceMs) }
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(timer)
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
