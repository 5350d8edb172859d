import type { Child } from 'hono/jsx'
import { replyText } from '../../reply.ts'

/** Pages load only our files, and forms go nowhere else. */
const allowed = ["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "form-action 'self'"]

const sections = [
  { path: '/', name: 'Overview' },
  { path: '/dashboard/jobs', name: 'Jobs' },
  { path: '/dashboard/schedules', name: 'Schedules' },
  { path: '/dashboard/nodes', name: 'Nodes' },
  { path: '/docs', name: 'API' },
]

interface PageProps {
  readonly title: string
  /** The path of the page's section; null if it has none, and then no links to sections are shown. */
  readonly section: string | null
  /** Set if its numbers change: how often the script fetches it again, in ms. */
  readonly refreshMs?: number
  /** Assets besides those of every page. */
  readonly scripts?: readonly string[]
  readonly styles?: readonly string[]
  readonly children?: Child
}

/** An answer with a whole page. */
export function page(props: PageProps, { status = 200 } = {}): Response {
  return replyPage(renderPage(props), { status })
}

/** The HTML of a whole page that is sent more than once. */
export function renderPage(props: PageProps): string {
  return `<!DOCTYPE html>${<Page {...props} />}`
}

export function replyPage(html: string, { status = 200 } = {}): Response {
  // Sent to our own origin only: a form's request must show its origin, and no other site sees our addresses.
  const headers = { 'referrer-policy': 'same-origin' }
  return replyText(html, 'text/html; charset=utf-8', { status, allowed, headers })
}

/** Redirects to another page, with GET. */
export function seeOther(path: string, headers: Readonly<Record<string, string>> = {}): Response {
  return replyText('', 'text/plain; charset=utf-8', { status: 303, headers: { location: path, ...headers } })
}

function Page({ title, section, refreshMs, scripts = [], styles = [], children }: PageProps) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title} · jobmachine</title>
        <link rel="icon" href="/assets/favicon.svg" type="image/svg+xml" />
        {['style.css', ...styles].map((name) => (
          <link rel="stylesheet" href={`/assets/${name}`} />
        ))}
        {['app.js', ...scripts].map((name) => (
          <script type="module" src={`/assets/${name}`} />
        ))}
      </head>
      <body data-refresh-ms={refreshMs}>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <header class="bar">
          <a class="brand" href="/">
            <img src="/assets/favicon.svg" alt="" width="24" height="24" /> jobmachine
          </a>
          {section !== null && <Sections current={section} />}
        </header>
        <p id="connection" role="status" hidden>
          The server does not answer; this page may be out of date. Trying again…
        </p>
        <main id="main">{children}</main>
      </body>
    </html>
  )
}

function Sections({ current }: { readonly current: string }) {
  return (
    <nav aria-label="Sections">
      <ul>
        {sections.map(({ path, name }) => (
          <li>
            <a href={path} aria-current={path === current ? 'page' : undefined}>
              {name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}
