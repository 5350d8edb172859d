import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** How much longer a small `POST` may take during each of these, by the 99th percentile: so many times as long as on an idle server. */
const slowerMax = 5
/** Small writes for one figure, one after another. */
const samples = 400

interface Server {
  readonly child: ChildProcess
  readonly port: number
}

/** Which ordeal a thread of this program runs. */
interface Stranger {
  readonly port: number
  readonly name: string
}

/** Attacks a server as strangers may, until it has its figures; `during` resolves when the attack is running. */
interface Ordeal {
  readonly name: string
  begin(server: { readonly port: number }): Promise<() => void>
}

async function startServer(folder: string): Promise<Server> {
  const main = join(import.meta.dirname, '../../../dist/main.js')
  const env = { PATH: process.env.PATH ?? '', PORT: '0', RETENTION_MS: '0' }
  const child = spawn(process.execPath, [main], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout! })) {
    const { msg, url } = JSON.parse(line)
    if (msg !== 'listening') continue
    child.stdout!.resume()
    return { child, port: Number(new URL(url).port) }
  }
  throw new Error('the server ended before it listened')
}

const agent = new Agent({ keepAlive: true, maxSockets: 4 })

function send(port: number, method: string, path: string, body = ''): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const outgoing = request({ port, method, path, agent, headers }, async (incoming) => {
      let text = ''
      for await (const chunk of incoming) text += chunk
      resolve({ status: incoming.statusCode ?? 0, text })
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

/** Repeats the work, one call after another, until told to stop. */
function overAndOver(work: () => Promise<unknown>): () => void {
  let goesOn = true
  const go = async () => {
    while (goesOn) await work().catch(() => pause(10))
  }
  void go()
  return () => {
    goesOn = false
  }
}

function hold(port: number, sockets: Socket[], bytes = ''): void {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  if (bytes !== '') socket.write(bytes)
  sockets.push(socket)
}

const members = (count: number) => Array.from({ length: count }, (_, index) => `"${index.toString(36)}":1`).join()
const faulty = (count: number) =>
  `{"type":"webhook","payload":{"url":"https://example.com/","headers":{${members(count)}}}}`
const head = (line: string, length: number) =>
  `${line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

const ordeals: readonly Ordeal[] = [
  {
    name: 'bodies with 500,000 faults, over and over',
    begin: async ({ port }) => {
      const body = faulty(500_000)
      return overAndOver(() => send(port, 'POST', '/jobs', body))
    },
  },
  {
    name: 'payloads with as many members as they may have, over and over',
    begin: async ({ port }) => {
      const body = faulty(9_900)
      return overAndOver(() => send(port, 'POST', '/jobs', body))
    },
  },
  {
    name: '600 arrays of jobs that are all wrong, whose refusals nobody reads',
    begin: async ({ port }) => {
      const sockets: Socket[] = []
      const body = `[${Array(600).fill('{"type":"email","payload":{}}').join()}]`
      for (let index = 0; index < 600; index++) {
        hold(port, sockets, head('POST /jobs', body.length) + body)
        sockets.at(-1)!.pause()
      }
      return () => sockets.forEach((socket) => void socket.destroy())
    },
  },
  {
    name: '5,000 searches whose clients leave',
    begin: async ({ port }) => {
      const sockets: Socket[] = []
      for (let index = 0; index < 5_000; index++) {
        hold(port, sockets, head('GET /jobs?text=nowhere', 0))
        if (index % 100 === 99) await pause(20)
      }
      for (const socket of sockets) socket.destroy()
      return () => {}
    },
  },
  {
    name: '9,000 bodies that never end',
    begin: async ({ port }) => {
      const sockets: Socket[] = []
      for (let index = 0; index < 9_000; index++) {
        hold(port, sockets, `${head('POST /jobs', 8_000_000)}{`)
        if (index % 100 === 99) await pause(20)
      }
      return () => sockets.forEach((socket) => void socket.destroy())
    },
  },
  {
    name: 'URLs of 8 MB in another script, over and over',
    begin: async ({ port }) => {
      const body = `{"type":"webhook","payload":{"url":"https://${'ü.'.repeat(2_700_000)}/"}}`
      return overAndOver(() => send(port, 'POST', '/jobs', body))
    },
  },
]

/** How long small writes took, in ms: the 50th and 99th percentile, and the longest. */
async function timeWrites(port: number): Promise<{ p50: number; p99: number; most: number }> {
  const took: number[] = []
  for (let index = 0; index < samples; index++) {
    const at = performance.now()
    const { status } = await send(port, 'POST', '/jobs', '{"type":"sleep","payload":{"ms":0}}')
    if (status !== 201) throw new Error(`a small write was answered with ${status}`)
    took.push(performance.now() - at)
  }
  took.sort((a, b) => a - b)
  const at = (share: number) => took[Math.floor(share * (took.length - 1))]!
  return { p50: at(0.5), p99: at(0.99), most: took.at(-1)! }
}

function peakMb({ child }: Server): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024
}

async function run(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'jobmachine-strangers-'))
  const server = await startServer(folder)
  const ended = once(server.child, 'exit')
  let failed = 0
  try {
    await timeWrites(server.port)
    const idle = await timeWrites(server.port)
    const row = (name: string, { p50, p99, most }: typeof idle, rest: string) =>
      console.log(
        `${name.padEnd(68)} p50 ${p50.toFixed(1).padStart(6)} ms  p99 ${p99.toFixed(1).padStart(6)} ms  most ${most.toFixed(0).padStart(5)} ms  ${rest}`,
      )
    row('nobody else', idle, `${peakMb(server).toFixed(0)} MB`)
    for (const { name } of ordeals) {
      // On a separate thread, because the time that the stranger uses on this one would count as waiting for the server.
      const stranger = new Worker(import.meta.filename, { workerData: { port: server.port, name } satisfies Stranger })
      await once(stranger, 'message')
      const during = await timeWrites(server.port)
      stranger.postMessage('end')
      await once(stranger, 'exit')
      const times = during.p99 / idle.p99
      if (times > slowerMax) failed++
      row(name, during, `${peakMb(server).toFixed(0)} MB  p99 × ${times.toFixed(1)}`)
      await pause(500)
    }
  } finally {
    agent.destroy()
    server.child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  if (failed > 0) console.log(`${failed} of ${ordeals.length} made small writes more than ${slowerMax} times slower`)
  process.exitCode = failed > 0 ? 1 : 0
}

async function besiege({ port, name }: Stranger): Promise<void> {
  const end = await ordeals.find((ordeal) => ordeal.name === name)!.begin({ port })
  parentPort!.postMessage('begun')
  await once(parentPort!, 'message')
  end()
  process.exit()
}

if (isMainThread) await run()
else await besiege(workerData as Stranger)
