import type { JobSystem } from '../front-door.ts'
import type { ApiDocument } from './api-document.ts'
import { describeApi } from './openapi.ts'
import { docsPage, renderDocs } from './pages/docs.tsx'
import { replyText } from './reply.ts'
import type { Sessions } from './session.ts'

/** `GET /openapi.json` and `GET /docs`: the API described, made when somebody first asks. */
export class Docs {
  readonly #describe: () => ApiDocument
  #made: { readonly document: ApiDocument; readonly text: string } | undefined
  /** It takes 8 ms to make, and nearly all readers come by one name. */
  #lastPage: { readonly origin: string; readonly html: string } | undefined

  constructor(system: JobSystem, version: string, basePath: string, sessions: Sessions | null) {
    const sessionCookie = sessions?.cookieName ?? null
    this.#describe = () => describeApi({ version, basePath, payloadSchemas: system.payloadSchemas, sessionCookie })
  }

  async showDocument(): Promise<Response> {
    return replyText(this.#make().text, 'application/json; charset=utf-8')
  }

  /** `origin`: where the reader reached this server, for the commands on the page. */
  async showPage(origin: string): Promise<Response> {
    if (this.#lastPage?.origin !== origin) {
      this.#lastPage = { origin, html: renderDocs(this.#make().document, origin) }
    }
    return docsPage(this.#lastPage.html)
  }

  #make() {
    if (this.#made) return this.#made
    const document = this.#describe()
    this.#made = { document, text: JSON.stringify(document) }
    return this.#made
  }
}
