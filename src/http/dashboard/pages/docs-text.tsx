import type { Child } from 'hono/jsx'
import { Text } from './text.tsx'

/** A text of the description, with the parts between backticks as code. */
export function FormattedText({ of }: { readonly of: string }) {
  const parts = of.split(/`([^`]+)`/)
  return <>{parts.map((part, index) => (index % 2 === 1 ? <Code of={part} /> : part && <Text of={part} />))}</>
}

export function Code({ of }: { readonly of: string }) {
  return (
    <code>
      <Text of={of} />
    </code>
  )
}

/** A table that scrolls on a narrow screen, with the keyboard too. */
export function Table(props: {
  readonly label: string
  readonly columns: readonly string[]
  readonly children: Child
}) {
  const { label, columns, children } = props
  return (
    // biome-ignore lint/a11y: a scrolling element must be reachable by keyboard and have a name, and it is not a set of fields
    <div class="scroll" role="group" tabindex={0} aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col">{column}</th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  )
}

/** The items of `parts`, with `between` in the gaps. */
export function Join({ parts, between }: { readonly parts: readonly Child[]; readonly between: string }) {
  return (
    <>
      {parts.map((part, index) => (
        <>
          {index > 0 && between}
          {part}
        </>
      ))}
    </>
  )
}

/** The meaning of an answer, and its headers besides those of every answer. */
export function withHeaders(meaning: string, names: readonly string[]): string {
  return names.length === 0 ? meaning : `${meaning} With ${names.map((name) => `\`${name}\``).join(' and ')}.`
}
