import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'vitest'
import type { ApiDocument, OperationObject, ResponseObject } from '../../src/http/openapi/api-document.ts'

/** The answer to one request. */
export interface Given {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: unknown
}

/** A server's own description, used to check its answers. */
export class Judge {
  readonly document: ApiDocument
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })

  constructor(document: ApiDocument) {
    this.document = document
    this.#ajv.addSchema({ $id: 'api:document', ...document })
  }

  /** Why a value does not match a schema of the document, given by JSON pointer; empty if it does. */
  faultsOf(pointer: string, value: unknown): string[] {
    const validate = this.#ajv.getSchema(`api:document#${pointer}`)
    if (!validate) throw new Error(`there is no schema at ${pointer}`)
    if (validate(value)) return []
    return validate.errors!.map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    )
  }

  /** The operation of a request; undefined if the document has none. */
  operationOf(method: string, path: string): { pointer: string; operation: OperationObject } | undefined {
    const given = path.replace(/\?.*/, '')
    for (const [template, methods] of Object.entries(this.document.paths)) {
      const operation = methods[method.toLowerCase()]
      if (!operation || !new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(given)) continue
      return { pointer: `/paths/${template.replaceAll('/', '~1')}/${method.toLowerCase()}`, operation }
    }
    return undefined
  }

  /** Fails if an answer is not described for its request: its status, media type, body and special headers. */
  expectDescribed(method: string, path: string, { status, headers, body }: Given): void {
    const { pointer, response } = this.#responseOf(method, path, status)
    const request = `${method} ${path} → ${status}`
    const [mediaType = ''] = (headers.get('content-type') ?? '').split(';')
    expect([request, Object.keys(response.content ?? {})]).toEqual([request, expect.arrayContaining([mediaType])])
    const schema = `${pointer}/content/${mediaType.replaceAll('/', '~1')}/schema`
    expect([request, this.faultsOf(schema, body)]).toEqual([request, []])
    const special = Object.keys(this.document.components.headers).filter((name) => headers.get(name) !== null)
    expect([request, Object.keys(response.headers ?? {})]).toEqual([request, expect.arrayContaining(special)])
  }

  #responseOf(method: string, path: string, status: number): { pointer: string; response: ResponseObject } {
    const { responses } = this.document.components
    const found = this.operationOf(method, path)
    const own = found?.operation.responses[status]
    if (found && own && 'content' in own) return { pointer: `${found.pointer}/responses/${status}`, response: own }
    const name = !found && status === 404 ? 'NotFound' : status === 405 ? 'MethodNotAllowed' : 'AnyOther'
    return { pointer: `/components/responses/${name}`, response: responses[name]! }
  }
}
