import type { Child } from 'hono/jsx'
import type { SchemaObject } from '../../openapi/json-schema.ts'
import { Code, FormattedText, Join, Table } from './docs-text.tsx'

/** How deep nested fields are listed. */
const depthMax = 4
const formats: Readonly<Record<string, string>> = { 'date-time': 'instant', 'idn-email': 'mail address', uri: 'URL' }

/** Which fields are marked: the required ones of a request, and the optional ones of an answer. */
type Mark = 'required' | 'optional'

interface FieldsProps {
  readonly of: SchemaObject
  readonly label: string
  readonly mark: Mark
  /** The heading of the first column. */
  readonly first?: string
}

/** The fields of an object, including those of nested objects. */
export function Fields({ of, label, mark, first = 'Field' }: FieldsProps) {
  return (
    <Table label={label} columns={[first, 'Takes', 'Meaning']}>
      {rowsOf(of).map(({ name, schema, isRequired }) => (
        <tr>
          <th scope="row">
            <Code of={name} />
            {isRequired === (mark === 'required') && <span class={mark}>{mark}</span>}
          </th>
          <td>
            <Takes schema={schema} />
            {schema.default !== undefined && (
              <span class="default">
                default <Code of={JSON.stringify(schema.default)} />
              </span>
            )}
          </td>
          <td>
            <FormattedText of={meaningOf(schema)} />
          </td>
        </tr>
      ))}
    </Table>
  )
}

function meaningOf({ description = '', examples = [] }: SchemaObject): string {
  return [description, ...examples.slice(0, 1).map((example) => `Such as \`${JSON.stringify(example)}\`.`)].join(' ')
}

/** A listed field; `name` is the whole path, such as `error.message`. */
interface Row {
  readonly name: string
  readonly schema: SchemaObject
  readonly isRequired: boolean
}

function rowsOf({ properties = {}, required = [] }: SchemaObject, parent = '', depth = 1): Row[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const name = `${parent}${key}`
    const row = { name, schema, isRequired: required.includes(key) }
    const inner =
      depth < depthMax
        ? [...rowsOf(schema, `${name}.`, depth + 1), ...rowsOf(schema.items ?? {}, `${name}[].`, depth + 1)]
        : []
    return [row, ...inner]
  })
}

/** The values that a schema accepts, in a few words. */
export function Takes({ schema }: { readonly schema: SchemaObject }) {
  const { $ref, anyOf, oneOf, type } = schema
  if ($ref !== undefined) return <Reference to={$ref} />
  if ('const' in schema) return <Code of={JSON.stringify(schema.const)} />
  if (schema.enum) return <Join parts={schema.enum.map((value) => <Code of={`${value}`} />)} between=", " />
  const choices = anyOf ?? (type === undefined ? oneOf : undefined)
  if (choices) return <Join parts={choices.map((choice) => <Takes schema={choice} />)} between=" or " />
  if (typeof type === 'string') return <TakesType schema={schema} type={type} />
  if (type) return <Join parts={type.map((one) => <TakesType schema={schema} type={one} />)} between=" or " />
  return <>any JSON</>
}

function TakesType({ schema, type }: { readonly schema: SchemaObject; readonly type: string }): Child {
  switch (type) {
    case 'integer':
      return `whole number${range(schema.minimum, schema.maximum)}`
    case 'number':
      return `number${range(schema.minimum, schema.maximum)}`
    case 'boolean':
      return 'true or false'
    case 'string':
      return <TakesString schema={schema} />
    case 'array':
      return (
        <>
          array of <Takes schema={schema.items ?? {}} />
          {range(schema.minItems, schema.maxItems)}
        </>
      )
    case 'object':
      if (typeof schema.additionalProperties !== 'object') return 'object'
      return (
        <>
          object of <Takes schema={schema.additionalProperties} />
        </>
      )
    default:
      return <Code of={type} />
  }
}

function TakesString({ schema }: { readonly schema: SchemaObject }) {
  const { format, pattern, minLength, maxLength } = schema
  const length = range(minLength, maxLength)
  return (
    <>
      {(format && formats[format]) ?? 'text'}
      {length && `${length} characters`}
      {!format && pattern && (
        <>
          {' '}
          like <Code of={pattern} />
        </>
      )}
    </>
  )
}

/** A link to a named schema of the document; a nested one has no place of its own on the page. */
function Reference({ to }: { readonly to: string }) {
  const name = /^#\/components\/schemas\/([\w.-]+)$/.exec(to)?.[1]
  if (name === undefined) return <>the same again</>
  return (
    <a href={`#schema-${name}`}>
      <code>{name}</code>
    </a>
  )
}

function range(min: number | undefined, max: number | undefined): string {
  const isBounded = max !== undefined && max < Number.MAX_SAFE_INTEGER
  if (min === undefined || min === Number.MIN_SAFE_INTEGER) return isBounded ? `, at most ${amount(max)}` : ''
  return isBounded ? `, ${amount(min)} to ${amount(max)}` : `, from ${amount(min)}`
}

function amount(value: number): string {
  return value.toLocaleString('en').replace('-', '−')
}
