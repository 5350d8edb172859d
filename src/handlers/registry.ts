import type { StandardJSONSchemaV1 } from '@standard-schema/spec'
import { type InputIssue, PayloadError, UnknownTypeError } from '../errors.ts'
import { Rejection } from '../job/rejection.ts'
import { type AnyHandler, checkPayload } from './define.ts'

/** A JSON Schema of draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** The handlers of one system, by job type. */
export class Registry {
  readonly #handlers: ReadonlyMap<string, AnyHandler>

  /** Throws `TypeError` if two handlers claim one type. */
  constructor(handlers: readonly AnyHandler[]) {
    this.#handlers = new Map(handlers.map((handler) => [handler.type, handler]))
    if (this.#handlers.size === handlers.length) return
    const twice = handlers.find(({ type }, index) => handlers.findIndex((other) => other.type === type) !== index)
    throw new TypeError(`two handlers are defined for type ${JSON.stringify(twice?.type)}`)
  }

  get types(): readonly string[] {
    return [...this.#handlers.keys()]
  }

  /** What each type's payload may be. */
  get payloadSchemas(): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#handlers].map(([type, handler]) => [type, payloadSchemaOf(handler)]))
  }

  find(type: string): AnyHandler | undefined {
    return this.#handlers.get(type)
  }

  /**
   * The handler of a job about to be stored, or an `UnknownTypeError` or `PayloadError` with paths below `at`. `converted` maps paths below
   * the payload to the class of the value that was converted to JSON there.
   */
  check(type: string, payload: unknown, at: string, converted?: ReadonlyMap<string, string>): AnyHandler | Rejection {
    const handler = this.#handlers.get(type)
    if (!handler) {
      const issue = UnknownTypeError.issueOf(type, this.types, join(at, 'type'))
      return new Rejection([issue], () => new UnknownTypeError(type, this.types, issue.path))
    }
    try {
      // Nothing is allocated for a payload that is accepted: its place is known only below itself.
      const { issues } = checkPayload(handler, payload, '')
      return issues ? refused(issues.map((issue) => explained(issue, join(at, 'payload'), converted))) : handler
    } catch (cause) {
      return refused([{ path: join(at, 'payload'), message: 'cannot be checked: its schema threw' }], { cause })
    }
  }
}

function join(at: string, field: string): string {
  return at === '' ? field : `${at}.${field}`
}

function refused(issues: readonly InputIssue[], options?: ErrorOptions): Rejection {
  return new Rejection(issues, () => new PayloadError(issues, options))
}

/** A fault of the payload at `at`, and why a schema that expects a Date or the like did not get one. */
function explained(
  { path, message }: InputIssue,
  at: string,
  converted: ReadonlyMap<string, string> | undefined,
): InputIssue {
  const place = `${at}${path}`
  const name = converted?.get(path)
  if (name === undefined) return { path: place, message }
  const advice = name === 'Date' ? ': accept text, or coerce it (z.coerce.date())' : ''
  return {
    path: place,
    message: `${message}; the schema gets the result of the toJSON of ${name}, as it is stored${advice}`,
  }
}

/**
 * What the caller may pass as a payload, as the schema's library describes it (zod, arktype and valibot can: Standard JSON Schema). `{}`,
 * any JSON, if it describes nothing.
 */
function payloadSchemaOf({ payload }: AnyHandler): JsonSchema {
  const { jsonSchema } = payload['~standard'] as Partial<StandardJSONSchemaV1.Props>
  try {
    return jsonSchema?.input({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } }) ?? {}
  } catch {
    return {}
  }
}
