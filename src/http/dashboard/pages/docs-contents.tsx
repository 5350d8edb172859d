import type { ApiDocument } from '../../openapi/api-document.ts'
import type { SchemaObject } from '../../openapi/json-schema.ts'
import { type Operation, templateOf } from '../../openapi/operation.ts'
import { Method } from './docs-operation.tsx'
import { Code } from './docs-text.tsx'

interface ContentsProps {
  readonly document: ApiDocument
  readonly operations: readonly Operation[]
  readonly types: readonly SchemaObject[]
}

/** The table of contents of the API's page. */
export function Contents({ document, operations, types }: ContentsProps) {
  return (
    <nav class="card api-contents" aria-label="Contents">
      <ul>
        {document.tags.map(({ name }) => (
          <li>
            <a href={`#tag-${name}`}>{name}</a>
            <ul>
              {operations
                .filter(({ tag }) => tag === name)
                .map(({ path, method, id }) => (
                  <li>
                    <a href={`#${id}`} aria-label={`${method} ${templateOf(path)}`}>
                      <Method of={method} /> <code>{templateOf(path)}</code>
                    </a>
                  </li>
                ))}
            </ul>
          </li>
        ))}
        <li>
          <a href="#types">Job types</a>
          <ul>
            {types.map(({ title = '' }) => (
              <li>
                <a href={`#${typeId(title)}`}>
                  <Code of={title} />
                </a>
              </li>
            ))}
          </ul>
        </li>
        <li>
          <a href="#schemas">Schemas</a>
        </li>
        <li>
          <a href="#errors">Errors</a>
        </li>
      </ul>
    </nav>
  )
}

/** The id of the section about a type of jobs. */
export function typeId(type: string): string {
  return `type-${type}`
}
