import type { SchemaObject } from './json-schema.ts'

/** A reference to a part of the same document. */
interface Reference {
  readonly $ref: string
}

export interface ResponseObject {
  readonly description: string
  readonly headers?: Readonly<Record<string, Reference>>
  readonly content?: Readonly<Record<string, { readonly schema: SchemaObject }>>
}

interface ParameterObject {
  readonly name: string
  readonly in: 'path' | 'query'
  readonly required: boolean
  readonly description?: string
  readonly schema: SchemaObject
}

export interface OperationObject {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly ParameterObject[]
  readonly requestBody?: {
    readonly required: boolean
    readonly content: Readonly<
      Record<string, { readonly schema: SchemaObject; readonly examples: Readonly<Record<string, object>> }>
    >
  }
  /** By status; `default` applies to any request. */
  readonly responses: Readonly<Record<string, ResponseObject | Reference>>
  readonly security?: readonly object[]
}

/** The used parts of an OpenAPI document. */
export interface ApiDocument {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly servers: readonly { readonly url: string }[]
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationObject>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, SchemaObject>>
    readonly responses: Readonly<Record<string, ResponseObject>>
    readonly headers: Readonly<Record<string, { readonly description: string; readonly schema: SchemaObject }>>
    readonly securitySchemes?: Readonly<Record<string, object>>
  }
  readonly security?: readonly object[]
}
