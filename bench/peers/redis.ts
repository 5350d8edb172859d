import { findExecutable, freePort, startServer, versionOf } from './processes.ts'
import type { Service } from './service.ts'

/** A Redis with this `appendfsync`, or none at all; it never makes snapshots. */
export function findRedis(appendFsync: 'no' | 'everysec' | 'always'): Service {
  const path = findExecutable('redis-server', process.env.REDIS_SERVER)
  const version = path && versionOf(path)
  if (!version) return { missing: 'no redis-server found: apt-get install redis-server, or REDIS_SERVER=/path/to/it' }
  const append = appendFsync === 'no' ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', appendFsync]
  return {
    version: ['redis', version],
    async start(folder) {
      const port = await freePort()
      const options = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, '--save', '']
      return { port, stop: await startServer(path, [...options, ...append], { endBy: 'SIGKILL' }) }
    },
  }
}
