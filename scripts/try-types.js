import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// Compiles test/types/usages.ts in an empty project with the packed package, with each of these compilers. Takes a minute or two.
const compilers =
  process.argv.length > 2 ? process.argv.slice(2) : ['5.4', '5.5', '5.6', '5.7', '5.8', '5.9', '6.0', '7.0']

const root = resolve(import.meta.dirname, '..')
const { devDependencies, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'jobmachine-types-'))
const npm = (...args) =>
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })

let failed = 0
try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root, stdio: 'ignore' })
  const packed = execFileSync('ls', [folder], { encoding: 'utf8' }).trim()
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const others = [
    `@types/node@${devDependencies['@types/node']}`,
    `pino@${dependencies.pino}`,
    `zod@${dependencies.zod}`,
  ]
  npm('install', '--ignore-scripts', `./${packed}`, ...others)
  for (const file of ['usages.ts', 'tsconfig.json']) copyFileSync(join(root, 'test/types', file), join(folder, file))
  for (const version of compilers) {
    try {
      npm('install', '--ignore-scripts', '--no-save', `typescript@${version}`)
      npm('exec', '--', 'tsc', '-p', '.')
      npm('exec', '--', 'tsc', '-p', '.', '--module', 'esnext', '--moduleResolution', 'bundler')
      console.log(`typescript ${version}: compiles`)
    } catch (error) {
      failed++
      console.log(`typescript ${version}: does not compile\n${error.stdout}`)
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}
process.exitCode = failed > 0 ? 1 : 0
