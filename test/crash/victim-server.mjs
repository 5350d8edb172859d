// The API and the dashboard of a victim's system, as `jobmachine serve` has them.
import { join } from 'node:path'

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {}, child: () => silent }

/** Serves on loopback, on a free port. */
export async function serveOver(build, system) {
  const { assembleHttp } = await import(join(build, 'http/http.js'))
  const { readEnvironment } = await import(join(build, 'cli/environment.js'))
  const { systemClock } = await import(join(build, 'runtime/clock.js'))
  const config = readEnvironment({ PORT: '0' }, '')
  const http = assembleHttp({
    ...config,
    system,
    log: silent,
    now: systemClock.now,
    random: Math.random,
    pages: true,
    ownsProcess: true,
    version: 'victim',
    droppedLogLines: () => 0,
  })
  const { url } = await http.listen(config)
  return { url, close: (graceMs) => http.close(graceMs) }
}
