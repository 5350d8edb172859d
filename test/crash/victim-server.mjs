// The API and the dashboard of a victim's system, as `jobmachine serve` has them.
import { join } from 'node:path'

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {}, child: () => silent }

/** Serves on loopback, on a free port. */
export async function serveOver(build, system) {
  const { serveHttp } = await import(join(build, 'http/server.js'))
  const { readEnvironment } = await import(join(build, 'cli/environment.js'))
  const { systemClock } = await import(join(build, 'runtime/clock.js'))
  const config = readEnvironment({ PORT: '0' }, '')
  return serveHttp({
    ...config,
    system,
    log: silent,
    now: systemClock.now,
    random: Math.random,
    hosts: [config.host],
    version: 'victim',
    droppedLogLines: () => 0,
  })
}
