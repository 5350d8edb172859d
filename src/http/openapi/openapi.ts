import assert from 'node:assert/strict'
import { z } from 'zod'
import type { JsonSchema } from '../../engine/front-door.ts'
import { type ApiErrorCode, apiErrors } from '../api-errors.ts'
import { problemSchema } from '../problem.ts'
import { parametersOf } from '../request.ts'
import { components, newJob } from '../wire.ts'
import type { ApiDocument, OperationObject, ResponseObject } from './api-document.ts'
import { embedded, type SchemaObject } from './json-schema.ts'
import { errorCodesOf, examplesOf, type Operation, tags, templateOf } from './operation.ts'

/** What the description depends on besides the API itself. */
interface Described {
  readonly version: string
  /** The prefix of all paths; empty for the root. */
  readonly basePath: string
  /** The payload schema of each type. */
  readonly payloadSchemas: Readonly<Record<string, JsonSchema>>
  /** The name of the cookie that replaces the token; null if no token is required. */
  readonly sessionCookie: string | null
  /** The name of the setting for the token. */
  readonly tokenSetting: string
  /** Whether an app decides about each request. */
  readonly isAuthorized: boolean
}

const headers: ApiDocument['components']['headers'] = {
  Location: { description: 'The path of the job; not for an array.', schema: { type: 'string' } },
  'Dead-Jobs': {
    description: 'The ids of the answered jobs that are dead, and so do not run; left out if there is none.',
    schema: { type: 'string' },
  },
  'Idempotent-Replayed': { description: 'Not for an array.', schema: { const: 'true' } },
  'Retry-After': { description: 'Seconds after which to try again.', schema: { type: 'integer', minimum: 0 } },
  Allow: { description: 'The methods that the path allows.', schema: { type: 'string' } },
  'WWW-Authenticate': { description: 'How to send a token: `Bearer`.', schema: { type: 'string' } },
  'Accept-Encoding': {
    description: 'The allowed encoding, if the body was compressed: `identity`.',
    schema: { const: 'identity' },
  },
  Vary: { description: 'The request headers that the answer depends on.', schema: { type: 'string' } },
}

/** Describes the API as OpenAPI 3.1, from the schemas that its handlers parse by. */
export function describeApi(operations: readonly Operation[], described: Described): ApiDocument {
  const { version, basePath, sessionCookie } = described
  const paths: Record<string, ApiDocument['paths'][string]> = {}
  for (const operation of operations) {
    const template = templateOf(operation.path)
    const method = operation.method.toLowerCase()
    paths[template] = { ...paths[template], [method]: describeOperation(operation, described) }
  }
  return {
    openapi: '3.1.1',
    info: { title: 'jobmachine', version, description: introduction(described) },
    servers: [{ url: basePath || '/' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: describeComponents(described.payloadSchemas),
      responses: {
        NotFound: describeErrors(['not_found']),
        MethodNotAllowed: describeErrors(['method_not_allowed']),
        AnyOther: describeErrors(['timeout', 'expectation_failed', 'headers_too_large', 'internal_error']),
      },
      headers,
      ...(sessionCookie !== null && {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: `The value of \`${described.tokenSetting}\`.` },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: sessionCookie,
            description: 'The login form sets it in a browser.',
          },
        },
      }),
    },
    ...(sessionCookie !== null && { security: [{ token: [] }, { session: [] }] }),
  }
}

function introduction(described: Described): string {
  return [
    'Background jobs in a SQLite file or in PostgreSQL. A job that is answered with 201 is on disk and runs at least once.',
    'JSON in UTF-8; names in `snake_case`, instants in ISO 8601 UTC with milliseconds, durations in `_ms`. `HEAD` is allowed wherever `GET` is.',
    'Errors are problem documents (RFC 9457); programs should use `code`. An unknown path gives 404, a known path with another method gives 405.',
    ...admission(described),
  ].join('\n\n')
}

/** The security schemes. */
function admission({ sessionCookie, tokenSetting, isAuthorized }: Described): string[] {
  const byApp = isAuthorized
    ? [
        'The app that serves this decides who may do what, with its own login; 403 means that something is not allowed. The health probes are open.',
      ]
    : []
  const byToken = `This server requires its token (\`${tokenSetting}\`): send it as \`Authorization: Bearer …\`, or the cookie of the login form. The health probes need neither.`
  if (sessionCookie !== null) return [byToken, ...byApp]
  if (isAuthorized) return byApp
  return [
    `This server requires no token. If \`${tokenSetting}\` is set, every request except for the health probes needs it as \`Authorization: Bearer …\`.`,
  ]
}

function describeOperation(operation: Operation, described: Described): OperationObject {
  const { id, tag, summary, description, body, isBodyOptional = false, answers, isOpen } = operation
  const needsToken = described.sessionCookie !== null
  const parameters = describeParameters(operation)
  const codes = errorCodesOf(operation, needsToken)
  const refused = [...new Set(codes.map((code) => apiErrors[code].status))].map((status) => [
    status,
    describeErrors(codes.filter((code) => apiErrors[code].status === status)),
  ])
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: !isBodyOptional,
        content: { 'application/json': { schema: refer(body), examples: describeExamples(operation, described) } },
      },
    }),
    responses: {
      ...Object.fromEntries(refused),
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer)])),
      default: { $ref: '#/components/responses/AnyOther' },
    },
    ...(needsToken && isOpen && { security: [] }),
  }
}

function describeParameters({ path, query }: Operation) {
  const inPath = parametersOf(path).map(({ name, schema }) => {
    return { name, in: 'path' as const, required: true, ...describeParameter(toJson(schema)) }
  })
  if (!query) return inPath
  const { properties = {}, required = [] } = toJson(query)
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query' as const,
    required: required.includes(name),
    ...describeParameter(schema),
  }))
  return [...inPath, ...inQuery]
}

function describeParameter({ description, ...schema }: SchemaObject) {
  return { ...(description !== undefined && { description }), schema }
}

/** Those of the operation and, for a single job, one for each type whose payload has an example. */
function describeExamples(operation: Operation, { payloadSchemas }: Described): Record<string, object> {
  const own = examplesOf(operation, Object.keys(payloadSchemas)).map(({ summary, body }) => ({ summary, value: body }))
  const ofTypes = Object.entries(payloadSchemas).flatMap(([type, { examples = [] }]) =>
    (examples as unknown[]).map((payload) => ({ summary: `a job of type ${type}`, value: { type, payload } })),
  )
  const all = operation.body === newJob ? [...own, ...ofTypes] : own
  return Object.fromEntries(all.map((example, index) => [`${index + 1}`, example]))
}

function describeAnswer({ description, body, texts = [], headers = [] }: Operation['answers'][number]): ResponseObject {
  const content = {
    ...(body && { 'application/json': { schema: refer(body) } }),
    ...Object.fromEntries(texts.map((mediaType) => [mediaType, { schema: { type: 'string' } }])),
  }
  return { description, ...referToHeaders(headers), content }
}

function describeErrors(codes: readonly ApiErrorCode[]): ResponseObject {
  return {
    description: codes.map((code) => `\`${code}\`: ${apiErrors[code].meaning}`).join('\n\n'),
    ...referToHeaders(codes.flatMap((code) => apiErrors[code].headers ?? [])),
    content: {
      'application/problem+json': {
        schema: { allOf: [refer(problemSchema), { properties: { code: { enum: codes } } }] },
      },
    },
  }
}

function referToHeaders(names: readonly string[]): Pick<ResponseObject, 'headers'> {
  if (names.length === 0) return {}
  return {
    headers: Object.fromEntries(
      names.map((name) => {
        assert(name in headers, `openapi.ts does not describe the header ${name}`)
        return [name, { $ref: `#/components/headers/${name}` }]
      }),
    ),
  }
}

/** Every named schema; a job to create has the payload of each type. */
function describeComponents(payloadSchemas: Described['payloadSchemas']): Record<string, SchemaObject> {
  const { schemas } = z.toJSONSchema(components, { uri: pointerTo, io: 'input' })
  // Sorted by name, because they are registered in the order in which modules are loaded.
  const described = Object.fromEntries(
    Object.entries(schemas)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, { $schema, $id, ...schema }]) => [id, schema as SchemaObject]),
  )
  const { id } = components.get(newJob)!
  const oneOf = Object.entries(payloadSchemas).map(([type, schema], index): SchemaObject => {
    const payload = embedded(schema, `${pointerTo(id)}/oneOf/${index}/properties/payload`)
    return { title: type, properties: { type: { const: type }, payload } }
  })
  return oneOf.length === 0 ? described : { ...described, [id]: { ...described[id], oneOf } }
}

function toJson(schema: z.ZodType): SchemaObject {
  const { $schema, ...json } = z.toJSONSchema(schema, { io: 'input' })
  return json as SchemaObject
}

function refer(schema: z.ZodType): { readonly $ref: string } {
  const id = components.get(schema)?.id
  assert(id, 'a schema of an operation has no name: `named` gives it one')
  return { $ref: pointerTo(id) }
}

function pointerTo(id: string): string {
  return `#/components/schemas/${id}`
}
