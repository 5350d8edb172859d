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

const entries = ['jobmachine', 'jobmachine/http', 'jobmachine/testing']
const asOlderProjects =
  '--noEmit --strict --skipLibCheck --target es2022 --module commonjs --moduleResolution node10'.split(' ')

/** What a compiler finds, but in the types of other packages: those of arktype do not compile by TypeScript 5.4. */
function faultsOf(...args) {
  try {
    npm('exec', '--', 'tsc', ...args)
    return []
  } catch (error) {
    return `${error.stdout}`
      .split('\n')
      .filter((line) => /^\S/.test(line) && !/^node_modules\/(?!jobmachine\/)/.test(line))
  }
}

let failed = 0
try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root, stdio: 'ignore' })
  const packed = execFileSync('ls', [folder], { encoding: 'utf8' }).trim()
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const others = [
    `@types/node@${devDependencies['@types/node']}`,
    `pino@${dependencies.pino}`,
    `zod@${dependencies.zod}`,
    `valibot@${devDependencies.valibot}`,
    `arktype@${devDependencies.arktype}`,
    `@types/better-sqlite3@${devDependencies['@types/better-sqlite3']}`,
    `@types/pg@${devDependencies['@types/pg']}`,
  ]
  npm('install', '--ignore-scripts', `./${packed}`, ...others)
  for (const file of ['usages.ts', 'tsconfig.json']) copyFileSync(join(root, 'test/types', file), join(folder, file))
  const imports = entries.map((entry, index) => `import * as entry${index} from '${entry}'`)
  writeFileSync(
    join(folder, 'entries.ts'),
    `${imports.join('\n')}
export const all = [entry0.createJobSystem, entry1.createHttp, entry2.createTestSystem]
`,
  )
  for (const version of compilers) {
    npm('install', '--ignore-scripts', '--no-save', `typescript@${version}`)
    const faults = [
      ...faultsOf('-p', '.'),
      ...faultsOf('-p', '.', '--module', 'esnext', '--moduleResolution', 'bundler'),
      // An older project's settings, which look at no `exports`.
      ...(Number(version) < 6 ? faultsOf(...asOlderProjects, 'entries.ts') : []),
    ]
    if (faults.length > 0) failed++
    console.log(`typescript ${version}: ${faults.length > 0 ? `does not compile\n${faults.join('\n')}` : 'compiles'}`)
  }
} finally {
  rmSync(folder, { recursive: true })
}
process.exitCode = failed > 0 ? 1 : 0
