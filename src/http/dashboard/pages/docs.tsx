import { apiErrorCodes, apiErrors } from '../../api-errors.ts'
import type { ApiDocument } from '../../openapi/api-document.ts'
import type { SchemaObject } from '../../openapi/json-schema.ts'
import { type Operation, templateOf } from '../../openapi/operation.ts'
import { Contents, typeId } from './docs-contents.tsx'
import { OperationView } from './docs-operation.tsx'
import { Fields, Takes } from './docs-schema.tsx'
import { Code, FormattedText, Table, withHeaders } from './docs-text.tsx'
import { renderPage } from './page.tsx'
import { Text } from './text.tsx'

/** The API's description as HTML, for people; `origin`: the address at which the reader reached this server. */
export function renderDocs(operations: readonly Operation[], document: ApiDocument, origin: string): string {
  const types = document.components.schemas.NewJob?.oneOf ?? []
  return renderPage({
    title: 'API',
    section: '/docs',
    styles: ['docs.css'],
    children: (
      <div class="api">
        <Introduction document={document} origin={origin} />
        <Contents document={document} operations={operations} types={types} />
        <div class="api-body">
          {document.tags.map(({ name, description }) => (
            <section>
              <h2 id={`tag-${name}`}>{name}</h2>
              <p class="muted">{description}</p>
              {operations
                .filter(({ tag }) => tag === name)
                .map((operation) => (
                  <OperationView
                    operation={operation}
                    described={document.paths[templateOf(operation.path)]![operation.method.toLowerCase()]!}
                    {...{ document, origin, types }}
                  />
                ))}
            </section>
          ))}
          <JobTypes types={types} />
          <Schemas document={document} />
          <Errors />
        </div>
      </div>
    ),
  })
}

function Introduction({ document, origin }: { readonly document: ApiDocument; readonly origin: string }) {
  return (
    <div class="card api-head">
      <h1>API</h1>
      <FormattedBlocks of={document.info.description} />
      <p>
        It is at <Code of={origin} />, version <Text of={document.info.version} />. For programs:{' '}
        <a href="/openapi.json">openapi.json</a>, OpenAPI 3.1.
      </p>
    </div>
  )
}

/** The payload of each type. */
function JobTypes({ types }: { readonly types: readonly SchemaObject[] }) {
  return (
    <section>
      <h2 id="types">Job types</h2>
      <p class="muted">Each type has a handler here, which defines the payload of its jobs.</p>
      {types.map(({ title = '', properties }) => (
        <JobType type={title} payload={properties?.payload ?? {}} />
      ))}
    </section>
  )
}

function JobType({ type, payload }: { readonly type: string; readonly payload: SchemaObject }) {
  const { description, examples = [] } = payload
  return (
    <section class="card">
      <h3 id={typeId(type)}>
        <Code of={type} />
      </h3>
      {description !== undefined && <FormattedBlocks of={description} />}
      {examples.map((example) => (
        <pre>
          <Text of={JSON.stringify({ type, payload: example }, null, 2)} />
        </pre>
      ))}
      <h4>Payload</h4>
      <SchemaView schema={payload} label={`Payload of ${type}`} mark="required" />
    </section>
  )
}

function Schemas({ document }: { readonly document: ApiDocument }) {
  return (
    <section>
      <h2 id="schemas">Schemas</h2>
      {Object.entries(document.components.schemas).map(([name, schema]) => (
        <section class="card">
          <h3 id={`schema-${name}`}>
            <code>{name}</code>
          </h3>
          {schema.description !== undefined && <FormattedBlocks of={schema.description} />}
          <SchemaView schema={schema} label={`Fields of ${name}`} mark="optional" />
        </section>
      ))}
    </section>
  )
}

interface SchemaViewProps {
  readonly schema: SchemaObject
  readonly label: string
  readonly mark: 'required' | 'optional'
}

/** The fields of an object, or the values that the schema accepts. */
function SchemaView({ schema, label, mark }: SchemaViewProps) {
  if (schema.properties) return <Fields of={schema} label={label} mark={mark} />
  return (
    <p>
      <Takes schema={schema} />
    </p>
  )
}

function Errors() {
  return (
    <section>
      <h2 id="errors">Errors</h2>
      <div class="card">
        <p>
          Each is a <a href="#schema-Problem">Problem</a> with one of these codes.
        </p>
        <Table label="Error codes" columns={['Code', 'Status', 'Meaning']}>
          {apiErrorCodes.map((code) => {
            const { status, meaning, headers = [] } = apiErrors[code]
            return (
              <tr id={`error-${code}`}>
                <th scope="row">
                  <code>{code}</code>
                </th>
                <td>{status}</td>
                <td>
                  <FormattedText of={withHeaders(meaning, headers)} />
                </td>
              </tr>
            )
          })}
        </Table>
      </div>
    </section>
  )
}

/** A text of the description, with a paragraph for each blank line. */
function FormattedBlocks({ of }: { readonly of: string }) {
  return (
    <>
      {of.split('\n\n').map((paragraph) => (
        <p>
          <FormattedText of={paragraph} />
        </p>
      ))}
    </>
  )
}
