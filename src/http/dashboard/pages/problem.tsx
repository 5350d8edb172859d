import { problem, type problemSchema, toProblem } from '../../problem.ts'
import type { Wire } from '../../wire.ts'
import { page, seeOther } from './page.tsx'
import { Text } from './text.tsx'

/** The request of a failed answer. `target`: path and query, as in a link. */
interface Failed {
  readonly method: string
  readonly path: string
  readonly target: string
}

/** The answer to a failed request: a page for people, who are asked to log in if they have not, otherwise a problem document. */
export function problemFor(error: unknown, { method, path, target }: Failed): Response {
  if (!isPage(path)) return problem(error)
  const { status, headers, body } = toProblem(error)
  if (status === 401) {
    const isVisit = method === 'GET' || method === 'HEAD'
    return seeOther(isVisit ? `/login?next=${encodeURIComponent(target)}` : '/login')
  }
  const answer = page({ title: body.title, section: '', children: <ProblemView {...body} /> }, { status })
  for (const [name, value] of Object.entries(headers)) answer.headers.set(name, value)
  return answer
}

/** Whether a path is for people and not for programs. */
function isPage(path: string): boolean {
  return /^\/($|docs$|login$|logout$|dashboard(\/|$))/.test(path)
}

function ProblemView({ title, message, errors }: Wire<typeof problemSchema>) {
  return (
    <section class="card">
      <h1>{title}</h1>
      <p>
        <Text of={message} />
      </p>
      {errors && (
        <ul>
          {errors.map(({ path, message }) => (
            <li>
              <code>
                <Text of={path} />
              </code>{' '}
              <Text of={message} />
            </li>
          ))}
        </ul>
      )}
      <p>
        <a href="/">Overview</a>
      </p>
    </section>
  )
}
