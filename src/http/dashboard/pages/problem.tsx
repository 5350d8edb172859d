import { type problemSchema, toProblem } from '../../problem.ts'
import type { Wire } from '../../wire.ts'
import { page, seeOther } from './page.tsx'
import { Text } from './text.tsx'

/** Whether people read what is at a path, and not programs. */
export function isPage(path: string): boolean {
  return /^\/($|docs$|login$|logout$|dashboard(\/|$))/.test(path)
}

/** The answer to a request for a page that failed; whoever has not logged in is asked to. `target`: path and query of the page. */
export function pageProblem(error: unknown, method: string, target: string): Response {
  const { status, headers, body } = toProblem(error)
  if (status === 401) {
    const isVisit = method === 'GET' || method === 'HEAD'
    return seeOther(isVisit ? `/login?next=${encodeURIComponent(target)}` : '/login')
  }
  const answer = page({ title: body.title, section: '', children: <ProblemView {...body} /> }, { status })
  for (const [name, value] of Object.entries(headers)) answer.headers.set(name, value)
  return answer
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
