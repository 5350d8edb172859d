import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// Installs the packed package in empty projects, with install scripts off, and runs a job there: with each of these runtimes, package managers,
// loaders and bundlers. Writes the table of docs/runtimes.md, row by row; takes some minutes and downloads each of them. Arguments: words of the
// names to try.

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
  'webpack.config.cjs': `module.exports = {
  target: 'node', mode: 'production', entry: './program.cjs', output: { path: __dirname + '/webpack', filename: 'main.cjs' },
  externals: { jobmachine: 'commonjs jobmachine', zod: 'commonjs zod' },
}`,
  'program.cjs': `const { createJobSystem, defineHandler } = require('jobmachine')\nconst { z } = require('zod')\n${body}`,
}

const withoutScripts = 'npm install --ignore-scripts'
const builtBy = (bundler) => `npx ${bundler} && node built.mjs`
/** One project each. `node`: what all of it runs under; `tools`: what else is there; `runs`: the name of each row, and its command. */
const projects = [
  ...['20.19', '22', '24', '26'].map((node) => ({
    node,
    runs: { [`Node.js ${node}, import`]: 'node program.mjs', [`Node.js ${node}, require`]: 'node program.cjs' },
  })),
  { node: '20', install: 'npm install', runs: { 'Node.js 20, scripts on': 'node program.mjs' } },
  {
    node: '24',
    also: ['tsx', 'esbuild', 'vite', 'webpack', 'webpack-cli'],
    runs: {
      'TypeScript, by Node.js itself': 'node program.ts',
      'tsx, in a CommonJS project': 'npx tsx program.ts',
      'esbuild, packages external': builtBy(
        'esbuild program.ts --bundle --platform=node --format=esm --packages=external --outfile=built.mjs',
      ),
      'Vite, `build --ssr`': 'npx vite build --logLevel error --ssr program.ts --outDir vite && node vite/program.*js',
      'webpack, packages external': 'npx webpack > webpack.txt && node webpack/main.cjs',
    },
  },
  { node: '24', tools: ['npm@12'], install: 'npm install', runs: { 'npm 12': 'node program.mjs' } },
  { node: '24', tools: ['pnpm'], install: 'pnpm add', runs: { pnpm: 'node program.mjs' } },
  { node: '24', tools: ['yarn@1'], install: 'yarn add --ignore-scripts', runs: { 'yarn 1': 'node program.mjs' } },
  { node: '24', tools: ['bun'], runs: { Bun: 'bun program.mjs' } },
]

/** What is known to be missing somewhere, and what to do. */
const cures = [
  [/has no binary for this system/, 'the error names the command that brings the binary; or use Node.js 22'],
]

function sh(command, { node, tools = [] }, cwd) {
  const packages = [`node@${node}`, ...tools].flatMap((name) => ['-p', name])
  const options = { cwd, encoding: 'utf8', stdio: 'pipe', timeout: 300_000 }
  return execFileSync('npx', ['-y', ...packages, '--', 'sh', '-c', command], options)
}

/** Installs all that a project needs; gives its folder, and the version of the driver. */
function install({ also = [], install = withoutScripts, ...tools }, tarball) {
  const folder = mkdtempSync(join(scratch, 'project-'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "name": "project", "version": "1.0.0" }')
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text)
  const packages = [tarball, `zod@${zod}`, ...also].map((name) => `'${name}'`)
  sh(`${install} ${packages.join(' ')}`, tools, folder)
  // pnpm puts it where the package alone finds it.
  const own = createRequire(realpathSync(join(folder, 'node_modules/jobmachine/package.json')))
  return { folder, driver: own('better-sqlite3/package.json').version }
}

/** What a command does in a project: the columns of its row, and what it said of its failure. */
function tryOne(command, project, { folder, driver }) {
  try {
    const ranOn = sh(command, project, folder).trim().split('\n').at(-1)
    return { result: `runs: ${ranOn}, better-sqlite3 ${driver}`, cure: '', said: '' }
  } catch (error) {
    const said = `${error.stderr || error.message}`.trim()
    return { result: 'refuses to start', cure: cures.find(([pattern]) => pattern.test(said))?.[1], said }
  }
}

/** Puts rows into the table; those of other names stay, in the order of the projects. */
function writeRows(rows) {
  const text = readFileSync(page, 'utf8')
  const table = /\| with \|.*\n\|.*\n((?:\|.*\n)*)/.exec(text)
  const kept = table[1].split('\n').filter(Boolean)
  const all = new Map([...kept.map((row) => [row.split(' | ')[0].slice(2), row]), ...rows])
  const names = projects.flatMap(({ runs }) => Object.keys(runs)).filter((name) => all.has(name))
  const head = '| with | result | what to do |\n| --- | --- | --- |\n'
  writeFileSync(page, text.replace(table[0], `${head}${names.map((name) => `${all.get(name)}\n`).join('')}`))
}

try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], { cwd: root, stdio: 'ignore' })
  const tarball = join(
    scratch,
    readdirSync(scratch).find((name) => name.endsWith('.tgz')),
  )
  const words = process.argv.slice(2)
  const isAsked = ([name]) => words.length === 0 || words.some((word) => name.includes(word))
  for (const { runs, ...project } of projects) {
    const asked = Object.entries(runs).filter(isAsked)
    if (asked.length === 0) continue
    const installed = install(project, tarball)
    for (const [name, command] of asked) {
      const { result, cure, said } = tryOne(command, project, installed)
      console.log(`${name}: ${result}${said && `: ${said}`}`)
      if (cure === undefined) process.exitCode = 1
      // At once: a run that is cut off has done something, and the next can be told what is left.
      writeRows([[name, `| ${name} | ${result} | ${cure ?? said.split('\n')[0]} |`]])
    }
    rmSync(installed.folder, { recursive: true })
  }
} finally {
  rmSync(scratch, { recursive: true })
}
