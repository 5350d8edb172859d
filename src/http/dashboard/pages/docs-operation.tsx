import type { ApiDocument, OperationObject, ResponseObject } from '../../openapi/api-document.ts'
import type { SchemaObject } from '../../openapi/json-schema.ts'
import { examplesOf, type Operation, templateOf } from '../../openapi/operation.ts'
import { Fields, Takes } from './docs-schema.tsx'
import { Code, FormattedText, Join, Table, withHeaders } from './docs-text.tsx'

export function Method({ of }: { readonly of: string }) {
  return <span class={`method ${of.toLowerCase()}`}>{of}</span>
}

interface OperationProps {
  readonly operation: Operation
  /** The same operation in the document. */
  readonly described: OperationObject
  readonly document: ApiDocument
  readonly origin: string
  readonly types: readonly SchemaObject[]
}

/** What one operation accepts and answers, with a command that makes a request to it. */
export function OperationView({ described, operation, document, origin, types }: OperationProps) {
  const { path, method } = operation
  const { operationId, summary, description, parameters = [], requestBody, responses } = described
  const known = types.map(({ title = '' }) => title)
  const [example] = examplesOf(operation, known)
  const asksToken = document.security !== undefined && !operation.isOpen
  const statuses = Object.entries(responses).filter((entry): entry is [string, ResponseObject] => 'content' in entry[1])
  const url = `${origin}${path.replace(/:\w+/g, '1')}`
  return (
    <section class="card">
      <h3 id={operationId}>
        <Method of={method} /> <code>{templateOf(path)}</code>
      </h3>
      <p>
        <strong>{summary}.</strong> <FormattedText of={description ?? ''} />
      </p>
      {example && <pre>{curlOf(url, method, example, asksToken)}</pre>}
      {parameters.length > 0 && (
        <>
          <h4>Parameters</h4>
          <Fields
            of={{
              properties: Object.fromEntries(
                parameters.map(({ name, description = '', schema }) => [name, { ...schema, description }]),
              ),
              required: parameters.filter(({ required }) => required).map(({ name }) => name),
            }}
            label={`Parameters of ${operationId}`}
            first="Parameter"
            mark="required"
          />
        </>
      )}
      {requestBody && <Body schema={requestBody.content['application/json']!.schema} {...{ document, operationId }} />}
      <h4>Answers</h4>
      <Answers of={statuses.filter(([, response]) => codesOf(response).length === 0)} operationId={operationId} />
      <h4>Errors</h4>
      <ErrorList of={statuses.filter(([, response]) => codesOf(response).length > 0)} operationId={operationId} />
    </section>
  )
}

interface BodyProps {
  readonly schema: SchemaObject
  readonly document: ApiDocument
  readonly operationId: string
}

function Body({ schema, document, operationId }: BodyProps) {
  const named = document.components.schemas[schema.$ref?.split('/').at(-1) ?? '']
  return (
    <>
      <h4>Body</h4>
      <p>
        <Takes schema={schema} />, as JSON.
        {named?.oneOf && (
          <>
            {' '}
            What its payload may be: <a href="#types">Job types</a>.
          </>
        )}
      </p>
      {named?.properties && <Fields of={named} label={`Body of ${operationId}`} mark="required" />}
    </>
  )
}

interface StatusProps {
  readonly of: readonly (readonly [status: string, response: ResponseObject])[]
  readonly operationId: string
}

function Answers({ of, operationId }: StatusProps) {
  return (
    <Table label={`Answers of ${operationId}`} columns={['Status', 'Answer', 'Meaning']}>
      {of.map(([status, { description, content = {}, headers = {} }]) => (
        <tr>
          <th scope="row">{status}</th>
          <td>
            <Join
              between=" or "
              parts={Object.entries(content).map(([mediaType, { schema }]) =>
                schema.$ref ? <Takes schema={schema} /> : <Code of={mediaType} />,
              )}
            />
          </td>
          <td>
            <FormattedText of={withHeaders(description, Object.keys(headers))} />
          </td>
        </tr>
      ))}
    </Table>
  )
}

/** The possible error codes; their meanings are listed once, at the end of the page. */
function ErrorList({ of, operationId }: StatusProps) {
  return (
    <ul class="errors" aria-label={`Errors of ${operationId}`}>
      {of.map(([status, response]) => (
        <li>
          {status}{' '}
          <Join
            between=", "
            parts={codesOf(response).map((code) => (
              <a href={`#error-${code}`}>
                <code>{code}</code>
              </a>
            ))}
          />
        </li>
      ))}
    </ul>
  )
}

/** For a problem: the codes to which openapi.ts narrows it; none for any other answer. */
function codesOf({ content }: ResponseObject): readonly unknown[] {
  const { allOf = [] } = content?.['application/problem+json']?.schema ?? {}
  return allOf.flatMap(({ properties }) => properties?.code?.enum ?? [])
}

/** A request as a command for a POSIX shell. `asksToken`: it sends the token, from the variable TOKEN. */
function curlOf(
  url: string,
  method: string,
  { body, query, isEndless }: Partial<Operation['examples'][number]>,
  asksToken: boolean,
): string {
  const target = query === undefined ? url : quoted(`${url}?${query}`)
  const options = `${isEndless ? '-N ' : ''}${method === 'GET' ? '' : `-X ${method} `}`
  const parts = [`curl ${options}${target}`]
  if (asksToken) parts.push('-H "Authorization: Bearer $TOKEN"')
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${quoted(toLine(body))}`)
  return parts.join(' \\\n  ')
}

/**
 * JSON on one line, with spaces for readability. A line end inside a string is written as `\n`, so only those between tokens are removed.
 */
function toLine(body: unknown): string {
  return JSON.stringify(body, null, 1).replace(/\n */g, ' ')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
