import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// Installs the packed package in an empty project, with install scripts off, and runs a job there, with each of these runtimes, package
// managers and loaders. Writes the table of docs/runtimes.md. Takes some minutes and downloads each of them. Arguments: words of the names
// to try.

const root = resolve(import.meta.dirname, '..')
const page = join(root, 'docs/runtimes.md')
const { zod } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies
const scratch = mkdtempSync(join(tmpdir(), 'jobmachine-runtimes-'))

const body = `
const runtime = process.versions.bun ? 'Bun ' + process.versions.bun : 'Node.js ' + process.versions.node
async function main() {
  let ran
  const done = new Promise((resolve) => { ran = resolve })
  const hello = defineHandler({ type: 'hello', payload: z.strictObject({ name: z.string() }), run: ran })
  const system = await createJobSystem({ database: './data/jobs.db', handlers: [hello] })
  await system.start()
  await system.enqueue({ type: 'hello', payload: { name: 'Ada' } })
  await done
  await system.stop()
  console.log(runtime)
}
main().catch((error) => { console.error(error.message); process.exit(1) })
`
const imports = `import { createJobSystem, defineHandler } from 'jobmachine'\nimport { z } from 'zod'\n${body}`
const programs = {
  'program.mjs': imports,
  'program.ts': imports.replace('let ran', 'let ran: any'),
  'program.cjs': `const { createJobSystem, defineHandler } = require('jobmachine')\nconst { z } = require('zod')\n${body}`,
}

const withoutScripts = 'npm install --ignore-scripts'
/** `node`: the Node.js that runs all of it; `tools`: other tools. */
const cases = [
  ...['20.19', '22', '24', '26'].flatMap((node) => [
    { name: `Node.js ${node}, import`, node, run: 'node program.mjs' },
    { name: `Node.js ${node}, require`, node, run: 'node program.cjs' },
  ]),
  { name: 'Node.js 20, scripts on', node: '20', install: 'npm install', run: 'node program.mjs' },
  { name: 'tsx, in a CommonJS project', node: '24', also: ['tsx'], run: 'npx tsx program.ts' },
  {
    name: 'esbuild, packages external',
    node: '24',
    also: ['esbuild'],
    run: 'npx esbuild program.ts --bundle --platform=node --format=esm --packages=external --outfile=built.mjs && node built.mjs',
  },
  { name: 'npm 12', node: '24', tools: ['npm@12'], install: 'npm install', run: 'node program.mjs' },
  { name: 'pnpm', node: '24', tools: ['pnpm'], install: 'pnpm add', run: 'node program.mjs' },
  { name: 'yarn 1', node: '24', tools: ['yarn@1'], install: 'yarn add --ignore-scripts', run: 'node program.mjs' },
  { name: 'Bun', node: '24', tools: ['bun'], run: 'bun program.mjs' },
]

/** Known problems, and what to do. */
const cures = [
  [/has no binary for this system/, 'the error names the command that brings the binary; or use Node.js 22'],
]

function sh(command, { node, tools = [] }, cwd) {
  const packages = [`node@${node}`, ...tools].flatMap((name) => ['-p', name])
  const options = { cwd, encoding: 'utf8', stdio: 'pipe', timeout: 300_000 }
  return execFileSync('npx', ['-y', ...packages, '--', 'sh', '-c', command], options)
}

function tryOne(each, tarball) {
  const folder = mkdtempSync(join(scratch, 'project-'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "name": "project", "version": "1.0.0" }')
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text)
  const packages = [tarball, `zod@${zod}`, ...(each.also ?? [])].map((name) => `'${name}'`)
  try {
    sh(`${each.install ?? withoutScripts} ${packages.join(' ')}`, each, folder)
    // pnpm puts it where only the package finds it.
    const own = createRequire(realpathSync(join(folder, 'node_modules/jobmachine/package.json')))
    const driver = own('better-sqlite3/package.json').version
    const ranOn = sh(each.run, each, folder).trim().split('\n').at(-1)
    return { result: `runs: ${ranOn}, better-sqlite3 ${driver}`, cure: '' }
  } catch (error) {
    const said = `${error.stderr || error.message}`.trim()
    return { result: 'refuses to start', cure: cures.find(([pattern]) => pattern.test(said))?.[1], said }
  }
}

try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], { cwd: root, stdio: 'ignore' })
  const tarball = join(
    scratch,
    readdirSync(scratch).find((name) => name.endsWith('.tgz')),
  )
  const words = process.argv.slice(2)
  const rows = []
  for (const each of cases) {
    if (words.length > 0 && !words.some((word) => each.name.includes(word))) continue
    const { result, cure, said = '' } = tryOne(each, tarball)
    console.log(`${each.name}: ${result}${said && `: ${said}`}`)
    if (cure === undefined) process.exitCode = 1
    rows.push(`| ${each.name} | ${result} | ${cure ?? said.split('\n')[0]} |`)
  }
  if (words.length === 0) {
    const head = '| with | result | what to do |\n| --- | --- | --- |\n'
    writeFileSync(page, readFileSync(page, 'utf8').replace(/\| with \|(.*\n\|?)*?\n/, `${head}${rows.join('\n')}\n\n`))
  }
} finally {
  rmSync(scratch, { recursive: true })
}
