import { number, Pre } from './parts.tsx'

/** Characters of a payload and of a result that are shown. */
const shownMax = 4_000

interface JsonProps {
  readonly title: string
  readonly value: unknown
  /** Where all of it is. */
  readonly link: string
}

/** A long value is cut: indented, nested arrays take sixty times the space, and the page is rendered again every second. */
export function Json({ title, value, link }: JsonProps) {
  const text = JSON.stringify(value)
  return (
    <section class="card">
      <h2>{title}</h2>
      {text.length <= shownMax ? (
        <Pre text={JSON.stringify(value, null, 2) ?? ''} />
      ) : (
        <>
          <Pre text={`${text.slice(0, shownMax)}…`.toWellFormed()} />
          <p class="muted">
            The first {number(shownMax)} of {number(text.length)} characters; <a href={link}>all of it</a>, as JSON.
          </p>
        </>
      )}
    </section>
  )
}
