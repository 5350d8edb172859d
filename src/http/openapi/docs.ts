import type { JobSystem } from '../../engine/front-door.ts'
import { renderDocs } from '../dashboard/pages/docs.tsx'
import { replyPage } from '../dashboard/pages/page.tsx'
import type { Incoming } from '../exchange.ts'
import { replyText, toJson } from '../reply.ts'
import type { Sessions } from '../session.ts'
import type { ApiDocument } from './api-document.ts'
import { describeApi } from './openapi.ts'
import type { Operation } from './operation.ts'

interface DocsOptions extends Omit<Parameters<typeof describeApi>[1], 'payloadSchemas' | 'sessionCookie'> {
  readonly operations: readonly Operation[]
  readonly system: JobSystem
  readonly sessions: Sessions | null
}

/** `GET /openapi.json` and `GET /docs`: the description of the API, generated at the first request. */
export class Docs {
  readonly #operations: readonly Operation[]
  readonly #basePath: string
  readonly #describe: (sessionCookie: string | null) => ApiDocument
  readonly #sessions: Sessions | null
  #made: { readonly cookie: string | null; readonly document: ApiDocument; readonly text: string } | undefined
  /** It takes 8 ms to render, and nearly all readers use one host name. */
  #lastPage: { readonly origin: string; readonly html: string } | undefined

  constructor({ operations, system, sessions, ...rest }: DocsOptions) {
    this.#operations = operations
    this.#basePath = rest.basePath
    this.#sessions = sessions
    this.#describe = (sessionCookie) =>
      describeApi(operations, { ...rest, payloadSchemas: system.payloadSchemas, sessionCookie })
  }

  async showDocument(incoming: Incoming): Promise<Response> {
    return replyText(this.#make(incoming).text, 'application/json; charset=utf-8')
  }

  /** `host`: the address at which the reader reached this server, such as `http://localhost:8080`, for the commands on the page. */
  async showPage(incoming: Incoming, host: string): Promise<Response> {
    const origin = `${host}${this.#basePath}`
    if (this.#lastPage?.origin !== origin) {
      this.#lastPage = { origin, html: renderDocs(this.#operations, this.#make(incoming).document, origin) }
    }
    return replyPage(this.#lastPage.html)
  }

  #make(incoming: Incoming) {
    const cookie = this.#sessions?.cookieNameFor(incoming) ?? null
    if (this.#made?.cookie === cookie) return this.#made
    const document = this.#describe(cookie)
    this.#made = { cookie, document, text: toJson(document) }
    return this.#made
  }
}
