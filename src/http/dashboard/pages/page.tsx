import type { Child } from 'hono/jsx'
import { replyText } from '../../reply.ts'

/** What pages load, all of it ours; forms go nowhere else. */
const allowed = ["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "form-action 'self'"]

const sections = [
  { path: '/', name: 'Overview' },
  { path: '/dashboard/jobs', name: 'Jobs' },
  { path: '/docs', name: 'API' },
]

interface PageProps {
  readonly title: string
  /** The path of the section that this page belongs to; null: of none, and no way to any is shown. */
  readonly section: string | null
  /** Whether its numbers move: how often the script fetches it anew, in ms. */
  readonly refreshMs?: number
  /** Assets besides those of every page. */
  readonly scripts?: readonly string[]
  readonly styles?: readonly string[]
  readonly children?: Child
}

/** A whole page as an answer. */
export function page(props: PageProps, { status = 200 } = {}): Response {
  return replyPage(renderPage(props), { status })
}

/** The HTML of a whole page, for one that is answered more than once. */
export function renderPage(props: PageProps): string {
  return `<!DOCTYPE html>${<Page {...props} />}`
}

export function replyPage(html: string, { status = 200 } = {}): Response {
  // From its own origin alone: a form's request must tell where it comes from, and no address of ours goes anywhere else.
  const headers = { 'referrer-policy': 'same-origin' }
  return replyText(html, 'text/html; charset=utf-8', { status, allowed, headers })
}

/** To another page, by GET. */
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
