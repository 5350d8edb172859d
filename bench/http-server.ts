import { assembleHttp } from '../src/http/http.ts'
import type { JobSystem, SystemLog } from '../src/index.ts'

/** Silent, except for errors. */
const log: SystemLog = { debug() {}, info() {}, warn() {}, error: console.error, child: () => log }

/** Serves the API and the dashboard as `jobmachine serve` does, on a free port of 127.0.0.1, with its default limits and no token. */
export async function serveSystem(system: JobSystem) {
  const http = assembleHttp({
    system,
    log,
    now: Date.now,
    random: Math.random,
    version: '',
    allowedHosts: [],
    basePath: '',
    pages: true,
    readOnly: false,
    apiToken: null,
    maxRequestBytes: 8_388_608,
    maxRequestValues: 100_000,
    maxInFlightRequests: 1_000,
    ownsProcess: true,
  })
  const { url } = await http.listen({ port: 0 })
  return { url, close: (graceMs: number) => http.close(graceMs) }
}
