import { type HttpServer, serveHttp } from '../src/http/server.ts'
import type { JobSystem, SystemLog } from '../src/index.ts'

/** Quiet, but for errors. */
const log: SystemLog = { debug() {}, info() {}, warn() {}, error: console.error, child: () => log }

/** Serves the API and the dashboard as `jobmachine serve` does, on a free port of 127.0.0.1, with its default bounds and no token. */
export function serveSystem(system: JobSystem): Promise<HttpServer> {
  return serveHttp({
    system,
    log,
    now: Date.now,
    random: Math.random,
    version: '',
    host: '127.0.0.1',
    port: 0,
    hosts: [],
    basePath: '',
    apiToken: null,
    maxRequestBytes: 8_388_608,
    maxRequestValues: 100_000,
    maxInFlightRequests: 1_000,
  })
}
