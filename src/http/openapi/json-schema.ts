/** The parts of a JSON Schema of draft 2020-12 that the description and its page use. */
export interface SchemaObject {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly title?: string
  readonly description?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  readonly format?: string
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: SchemaObject
  readonly minItems?: number
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, SchemaObject>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | SchemaObject
  readonly anyOf?: readonly SchemaObject[]
  readonly oneOf?: readonly SchemaObject[]
  readonly allOf?: readonly SchemaObject[]
}

/** Keywords whose value is not a schema, even if it looks like one. */
const literals = new Set(['const', 'enum', 'default', 'examples'])
/** Keywords whose value contains schemas under names of the author's choice. */
const maps = new Set(['$defs', 'definitions', 'properties', 'patternProperties', 'dependentSchemas'])

/** A separate schema as part of a document, with `at` as its JSON pointer: references to the schema's root are changed to that place. */
export function embedded(schema: SchemaObject, at: string): SchemaObject {
  return Object.fromEntries(
    Object.entries(schema).flatMap(([keyword, value]) => {
      if (keyword === '$schema') return []
      if (keyword === '$ref' && typeof value === 'string' && value.startsWith('#')) {
        return [[keyword, `${at}${value.slice(1)}`]]
      }
      if (literals.has(keyword) || !isObject(value)) return [[keyword, value]]
      if (Array.isArray(value)) {
        return [[keyword, value.map((part) => (isObject(part) ? embedded(part, at) : part))]]
      }
      if (!maps.has(keyword)) return [[keyword, embedded(value, at)]]
      const parts = Object.entries(value).map(([name, part]) => [name, isObject(part) ? embedded(part, at) : part])
      return [[keyword, Object.fromEntries(parts)]]
    }),
  )
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
