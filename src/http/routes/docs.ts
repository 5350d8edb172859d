import type { IncomingMessage } from 'node:http'
import type { JobSystem } from '../../engine/front-door.ts'
import { docsPage, renderDocs } from '../dashboard/pages/docs.tsx'
import type { ApiDocument } from '../openapi/api-document.ts'
import { describeApi } from '../openapi/openapi.ts'
import { replyText, toJson } from '../reply.ts'
import type { Sessions } from '../session.ts'

/** `GET /openapi.json` and `GET /docs`: the API described, made when somebody first asks. */
export class Docs {
  readonly #describe: (sessionCookie: string | null) => ApiDocument
  readonly #sessions: Sessions | null
  #made: { readonly cookie: string | null; readonly document: ApiDocument; readonly text: string } | undefined
  /** It takes 8 ms to make, and nearly all readers come by one name. */
  #lastPage: { readonly origin: string; readonly html: string } | undefined

  constructor(system: JobSystem, version: string, basePath: string, sessions: Sessions | null) {
    this.#sessions = sessions
    this.#describe = (sessionCookie) =>
      describeApi({ version, basePath, payloadSchemas: system.payloadSchemas, sessionCookie })
  }

  async showDocument(incoming: IncomingMessage): Promise<Response> {
    return replyText(this.#make(incoming).text, 'application/json; charset=utf-8')
  }

  /** `origin`: where the reader reached this server, for the commands on the page. */
  async showPage(incoming: IncomingMessage, origin: string): Promise<Response> {
    if (this.#lastPage?.origin !== origin) {
      this.#lastPage = { origin, html: renderDocs(this.#make(incoming).document, origin) }
    }
    return docsPage(this.#lastPage.html)
  }

  #make(incoming: IncomingMessage) {
    const cookie = this.#sessions?.cookieNameFor(incoming) ?? null
    if (this.#made?.cookie === cookie) return this.#made
    const document = this.#describe(cookie)
    this.#made = { cookie, document, text: toJson(document) }
    return this.#made
  }
}
