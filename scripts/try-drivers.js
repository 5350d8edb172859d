import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// npm run test:drivers: in an empty project that has the packed package, each library of docs/transactions.md, by the code that stands there,
// enqueues in a transaction that commits and in one that rolls back, is refused without one, and completes a job in a handler. Starts a
// PostgreSQL server of its own, or uses that of DATABASE_URL. Takes a minute. Arguments: names of libraries; all unless given.
const root = resolve(import.meta.dirname, '..')
const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const versions = {
  drizzle: 'drizzle-orm@0.45.4',
  kysely: 'kysely@0.29.9',
  knex: 'knex@3.3.0',
  postgres: 'postgres@3.4.9',
}
const prisma = ['prisma@7.10.1', '@prisma/client@7.10.0', '@prisma/adapter-pg@7.10.1']
const scratch = mkdtempSync(join(tmpdir(), 'jobmachine-drivers-'))

/** The block of the page that has a client for each library. */
const [, block] = /^```js\n(const clients = .*?)^```$/ms.exec(readFileSync(join(root, 'docs/transactions.md'), 'utf8'))
const clients = block.slice(0, block.indexOf('\n}\n') + 3)

/** What runs in the project: `transaction` runs `work` in one and commits, or rolls back if that throws. */
const program = `
import { Kysely, PostgresDialect, CompiledQuery, sql as kyselySql } from 'kysely'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import knex from 'knex'
import pg from 'pg'
import postgres from 'postgres'
import prismaClient from '@prisma/client'
import { PrismaPg } from '@prisma/adapter-pg'
import { createJobSystem, defineHandler } from 'jobmachine'
import { z } from 'zod'

const address = process.env.DATABASE_URL
const insert = 'INSERT INTO orders (name) VALUES (1)'
${clients}
const pool = new pg.Pool({ connectionString: address })
await pool.query('CREATE TABLE IF NOT EXISTS orders (name int)')
const { host, pathname, searchParams } = new URL(address.replace('postgres://postgres@/', 'postgres://postgres@local/'))
const onSocket = searchParams.get('host')

const libraries = {
  pg() {
    const transaction = async (work) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        await work(client, () => client.query(insert))
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      } finally {
        client.release()
      }
    }
    return { transaction, outside: pool, end() {} }
  },
  drizzle() {
    const db = drizzle({ client: pool })
    const transaction = (work) => db.transaction((tx) => work(clients.drizzle(tx), () => tx.execute(insert)))
    return { transaction, outside: clients.drizzle(db), end() {} }
  },
  kysely() {
    const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: address }) }) })
    const transaction = (work) => db.transaction().execute((trx) => work(clients.kysely(trx), () => kyselySql.raw(insert).execute(trx)))
    return { transaction, outside: clients.kysely(db), end: () => db.destroy() }
  },
  knex() {
    const db = knex({ client: "pg", connection: { connectionString: address } })
    const transaction = (work) => db.transaction((trx) => work(clients.knex(trx), () => trx.raw(insert)))
    return { transaction, outside: clients.knex(db), end: () => db.destroy() }
  },
  postgres() {
    const db = onSocket ? postgres({ host: onSocket, username: 'postgres', database: pathname.slice(1) }) : postgres(address)
    const transaction = (work) => db.begin((tx) => work(clients.postgres(tx), () => tx.unsafe(insert)))
    return { transaction, outside: clients.postgres(db), end: () => db.end() }
  },
  prisma() {
    const db = new prismaClient.PrismaClient({ adapter: new PrismaPg({ connectionString: address }) })
    const transaction = (work) => db.$transaction((tx) => work(clients.prisma(tx), () => tx.$executeRawUnsafe(insert)))
    return { transaction, outside: clients.prisma(db), end: () => db.$disconnect() }
  },
}

let faults = 0
const check = (what, isSo) => {
  if (!isSo) faults++
  console.log(\`\${isSo ? 'ok' : 'NOT'}: \${what}\`)
}
const orders = async () => Number((await pool.query('SELECT count(*) FROM orders')).rows[0].count)

for (const [name, open] of Object.entries(libraries).filter(([name]) => process.argv.length < 3 || process.argv.includes(name))) {
  const { transaction, outside, end } = open()
  let lost
  const settle = defineHandler({
    type: 'settle',
    payload: z.enum(['once', 'lost']),
    async run(how, { jobId, complete }) {
      if (how === 'once')
        return transaction(async (client, write) => {
          await write()
          await complete(client)
        })
      lost = await transaction(async (client, write) => {
        await write()
        await system.cancel(jobId)
        await complete(client)
      }).catch((error) => error)
    },
  })
  const system = await createJobSystem({ postgres: { connectionString: address, schema: 's_' + name }, handlers: [settle] })
  const before = await orders()
  const none = await system.enqueue({ type: 'settle', payload: 'once' }, { client: outside }).catch((error) => error)
  check(name + ': refused without a transaction', none.code === 'invalid_input' && none.message.includes('is not in a transaction'))
  let gone
  await transaction(async (client, write) => {
    await write()
    gone = await system.enqueue({ type: 'settle', payload: 'once' }, { client })
    throw new Error('no')
  }).catch(() => {})
  check(name + ': gone with a rollback', (await system.find(gone.id)) === undefined && (await orders()) === before)
  let kept
  await transaction(async (client, write) => {
    await write()
    const job = { type: 'settle', payload: 'once', idempotencyKey: 'one "quoted" \\\\ ? $1 key' }
    ;[kept] = await system.enqueue([job, job], { client })
  })
  check(name + ': there with a commit', (await system.find(kept.id))?.state === 'queued' && (await orders()) === before + 1)
  await system.start()
  const until = async (id, state) => { while ((await system.find(id)).state !== state) await new Promise((resolve) => setTimeout(resolve, 10)) }
  await until(kept.id, 'succeeded')
  const ends = (await system.history(kept.id)).filter(({ event }) => event === 'succeed').length
  check(name + ': completed in one commit', ends === 1 && (await orders()) === before + 2)
  const { id } = await system.enqueue({ type: 'settle', payload: 'lost' })
  while (lost === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
  check(name + ': a lost lease is a LeaseLostError, and nothing is stored', lost.code === 'lease_lost' && (await orders()) === before + 2)
  check(name + ': and the file is whole', (await system.verify()).violationCount === 0 && (await system.find(id)).state === 'cancelled')
  await system.stop()
  await end()
}
await pool.end()
process.exit(faults)
`

function startServer() {
  const folder = '/usr/lib/postgresql'
  const newest = existsSync(folder) ? readdirSync(folder).sort((a, b) => Number(b) - Number(a))[0] : undefined
  if (newest === undefined)
    throw new Error('no PostgreSQL server is installed (apt-get install postgresql), and DATABASE_URL is not set')
  const isRoot = process.getuid() === 0
  const owner = isRoot ? Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) : process.getuid()
  const at = join(scratch, 'server')
  mkdirSync(at)
  chmodSync(scratch, 0o711)
  chownSync(at, owner, -1)
  const run = (command, ...args) => {
    const call = [join(folder, newest, 'bin', command), ...args]
    const [file, ...rest] = isRoot
      ? ['setpriv', `--reuid=${owner}`, `--regid=${owner}`, '--clear-groups', ...call]
      : call
    execFileSync(file, rest, { stdio: 'pipe' })
  }
  run('initdb', '--no-sync', '-D', join(at, 'data'), '-A', 'trust', '-U', 'postgres', '--encoding=UTF8', '--locale=C')
  run(
    'pg_ctl',
    '-D',
    join(at, 'data'),
    '-w',
    '-l',
    join(at, 'log'),
    '-o',
    `-c listen_addresses='' -c unix_socket_directories=${at}`,
    'start',
  )
  const address = `postgres://postgres@/postgres?host=${encodeURIComponent(at)}`
  return { address, stop: () => run('pg_ctl', '-D', join(at, 'data'), '-m', 'immediate', 'stop') }
}

const given = process.env.DATABASE_URL
const server = given ? { address: given, stop() {} } : startServer()
try {
  const project = join(scratch, 'project')
  mkdirSync(join(project, 'prisma'), { recursive: true })
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], {
      cwd: root,
      encoding: 'utf8',
    }),
  )
  const packages = [
    join(scratch, filename),
    `zod@${dependencies.zod}`,
    `pg@${devDependencies.pg}`,
    ...Object.values(versions),
    ...prisma,
  ]
  const quietly = { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] }
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }')
  execFileSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', ...packages],
    quietly,
  )
  writeFileSync(
    join(project, 'prisma/schema.prisma'),
    'generator client {\n  provider = "prisma-client-js"\n}\ndatasource db {\n  provider = "postgresql"\n}\nmodel orders {\n  name Int @id\n}\n',
  )
  writeFileSync(
    join(project, 'prisma.config.ts'),
    "export default { schema: 'prisma/schema.prisma', datasource: { url: 'postgres://none' } }\n",
  )
  // Nothing here changes a schema, so its program need not be downloaded.
  execFileSync('npx', ['prisma', 'generate'], {
    ...quietly,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true' },
  })
  writeFileSync(join(project, 'try.js'), program)
  const names = process.argv.slice(2)
  execFileSync('node', ['try.js', ...names], {
    cwd: project,
    stdio: 'inherit',
    env: { ...process.env, DATABASE_URL: server.address },
  })
} catch (error) {
  if (error.status === undefined) throw error
  process.exitCode = error.status
} finally {
  server.stop()
  rmSync(scratch, { recursive: true, force: true })
}
