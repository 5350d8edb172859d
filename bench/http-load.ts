import { Child } from './child.ts'
import { comparing, type Reading } from './compare.ts'
import type { Question } from './question.ts'

/** Open connections, each with one request in progress. */
export const connections = 50
/** Requests made before the clock starts, and while it runs. */
export const warmUpMs = 500
export const askingMs = 2_000

/** The modes of `http-server-process.ts`: the engine's server, or a route that gives the same answer and stores nothing. */
export type ServerKind = 'engine' | 'bare'

/** The report of `http-client-process.ts` at its end. */
export interface Asked {
  /** Answered with 201; another answer ends the client. */
  readonly requests: number
  readonly ms: number
  /** The share of one core that the client used, which the servers could not use. */
  readonly clientCpu: number
}

export interface HttpRequests {
  readonly name: string
  readonly path: string
  /** Jobs in one request. */
  readonly jobs: number
  readonly about: string
}

/** How many requests a second does the server answer? */
export function askingHttp({ name, path, jobs, about }: HttpRequests): Question {
  const ask = async (kind: ServerKind, folder: string): Promise<Asked> => {
    const server = new Child('http-server-process.js', kind, folder)
    try {
      return await new Child('http-client-process.js', await server.next<string>(), path, `${jobs}`).next<Asked>()
    } finally {
      await server.kill()
    }
  }
  const rate = ({ requests, ms }: Asked) => (requests / ms) * 1_000
  return comparing({
    about: `${about}, from ${connections} connections that a process of its own keeps open, to the engine's server in another, on a file, each 201 after its commit, while no job runs; the limit is a hono route in a process of its own that parses the same JSON and answers as much, and stores nothing`,
    units: { [name]: 'requests/s' },
    detail: { connections, jobsPerRequest: jobs, workers: 0 },

    async engine(folder): Promise<Reading<string>> {
      const asked = await ask('engine', folder)
      return {
        values: { [name]: rate(asked) },
        notes: { jobs: asked.requests * jobs, jobsASecond: rate(asked) * jobs, clientCpu: asked.clientCpu },
      }
    },

    async limit(folder): Promise<Reading<string>> {
      const asked = await ask('bare', folder)
      return { values: { [name]: rate(asked) }, notes: { limitClientCpu: asked.clientCpu } }
    },
  })
}
