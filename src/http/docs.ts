import type { JobSystem } from '../system.ts'
import { describeApi } from './openapi.ts'
import { replyText } from './reply.ts'
import type { Sessions } from './session.ts'

/** `GET /openapi.json`: the API described, made when somebody first asks. */
export class Docs {
  readonly #describe: () => string
  #text: string | undefined

  constructor(system: JobSystem, version: string, sessions: Sessions | null) {
    const sessionCookie = sessions?.cookieName ?? null
    this.#describe = () =>
      JSON.stringify(describeApi({ version, payloadSchemas: system.payloadSchemas, sessionCookie }))
  }

  async showDocument(): Promise<Response> {
    this.#text ??= this.#describe()
    return replyText(this.#text, 'application/json; charset=utf-8')
  }
}
