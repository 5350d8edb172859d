/**
 * Builds if there is no build, or if it is older than its sources. With `--if-possible`, for `npm ci` and `npm install`, it does nothing if
 * the compiler is not installed, as with `--omit=dev`. With `--install`, for `npm pack` of a clean clone, it installs the compiler first.
 */
import { execSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = dirname(import.meta.dirname)
const built = join(root, 'dist', 'main.js')
/** The file that a build writes last. */
const finished = join(root, 'dist', 'http', 'dashboard', 'browser', 'favicon.svg')
const sources = ['src', 'scripts', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'tsconfig.browser.json']

if (process.argv.includes('--install') && !isCompilerHere())
  execSync('npm ci --ignore-scripts', { cwd: root, stdio: ['ignore', process.stderr, 'inherit'] })
if (existsSync(finished) && newest(sources) <= statSync(finished).mtimeMs) process.exit(0)
const why = reasonNotTo()
if (why === null) execSync('npm run build', { cwd: root, stdio: 'inherit' })
else if (existsSync(built)) process.stderr.write(`jobmachine: ${why}; the build that is there is used\n`)
else {
  process.stderr.write(
    `jobmachine: there is no build, and ${why}; run "npm ci && npm run build" where that is possible, and bring dist along\n`,
  )
  if (!process.argv.includes('--if-possible')) process.exit(1)
}

/** Why it cannot be built here; null if it can. */
function reasonNotTo() {
  if (!isCompilerHere()) return 'TypeScript is not installed'
  try {
    accessSync(existsSync(join(root, 'dist')) ? join(root, 'dist') : root, constants.W_OK)
    return null
  } catch {
    return 'this folder is read-only'
  }
}

function isCompilerHere() {
  return existsSync(join(root, 'node_modules', 'typescript'))
}

function newest(paths) {
  const files = paths.flatMap((path) => {
    const full = join(root, path)
    if (!existsSync(full)) return []
    if (!statSync(full).isDirectory()) return [full]
    return readdirSync(full, { recursive: true }).map((name) => join(full, name))
  })
  return Math.max(...files.map((file) => statSync(file).mtimeMs))
}
