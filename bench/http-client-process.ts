import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { AnswerReader } from './answer-reader.ts'
import { type Asked, askingMs, connections, warmUpMs } from './http-load.ts'
import { noop } from './load.ts'

const created = 201

/** The bytes of a request, which are the same each time. */
function requestOf({ host }: URL, path: string, jobs: number): Buffer {
  const body = JSON.stringify(jobs === 1 ? noop : Array.from({ length: jobs }, () => noop))
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: ${host}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Asks again whenever an answer is complete; any error ends the process. */
function ask({ hostname, port }: URL, request: Buffer, answered: () => void): Socket {
  const reader = new AnswerReader(created)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => socket.write(request))
  socket.on('data', (chunk) => {
    if (reader.take(chunk) === 0) return
    answered()
    socket.write(request)
  })
  socket.on('end', () => {
    throw new Error('the server closed a connection')
  })
  return socket
}

const [server, path, jobs] = process.argv.slice(2) as [string, string, string]
const url = new URL(server)
const request = requestOf(url, path, Number(jobs))
let requests = 0
const sockets = Array.from({ length: connections }, () => ask(url, request, () => requests++))
await sleep(warmUpMs)
requests = 0
const begun = performance.now()
const cpu = process.cpuUsage()
await sleep(askingMs)
const ms = performance.now() - begun
const { user, system } = process.cpuUsage(cpu)
process.send!({ requests, ms, clientCpu: (user + system) / 1_000 / ms } satisfies Asked)
for (const socket of sockets) socket.destroy()
