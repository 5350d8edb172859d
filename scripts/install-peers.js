import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../bench/peers/', import.meta.url))
const wanted = `${folder}package-lock.json`
/** The lock file from which `node_modules` was last made. */
const installed = `${folder}node_modules/.installed-lock.json`

if (!existsSync(installed) || readFileSync(installed, 'utf8') !== readFileSync(wanted, 'utf8')) {
  process.stderr.write('installing the peers: about 160 MB\n')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' })
  copyFileSync(wanted, installed)
}
