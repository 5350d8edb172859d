import type { StandardJSONSchemaV1 } from '@standard-schema/spec'
import type { AnyHandler } from './define.ts'

/** A JSON Schema of draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * What a payload may be when it is handed in, as its schema's library tells it (zod, arktype and valibot can: Standard JSON Schema). Any
 * JSON, `{}`, if that tells nothing.
 */
export function payloadSchemaOf({ payload }: AnyHandler): JsonSchema {
  const { jsonSchema } = payload['~standard'] as Partial<StandardJSONSchemaV1.Props>
  try {
    return jsonSchema?.input({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } }) ?? {}
  } catch {
    return {}
  }
}
