import { readdirSync, readFileSync } from 'node:fs'
import type { Client } from 'pg'

/** What Linux counts processor time in, in µs. */
const tickUs = 10_000

/** Processor time in µs that the server of this connection has used so far, with all its processes but one; NaN where /proc does not tell. */
export async function serverCpu(client: Client, exceptPid?: number): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  try {
    const server = factsOf(rows[0]!.pid).parent
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== exceptPid)
    const own = processes.flatMap((name) => readFacts(Number(name)) ?? []).filter(({ parent }) => parent === server)
    return own.reduce((sum, { ticks }) => sum + ticks, factsOf(server).ticksOfEnded) * tickUs
  } catch {
    return Number.NaN
  }
}

function readFacts(pid: number) {
  try {
    return factsOf(pid)
  } catch {
    // It has ended.
    return null
  }
}

/** As /proc/PID/stat has them, after the name in parentheses. */
function factsOf(pid: number) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  const at = (index: number) => Number(fields[index])
  return { parent: at(1), ticks: at(11) + at(12), ticksOfEnded: at(13) + at(14) }
}
