import { RequestLimits } from '../../body.ts'
import type { Incoming } from '../../exchange.ts'
import { queryOf, usesTls } from '../../request.ts'
import type { Route } from '../../routes/route.ts'
import { page, seeOther } from './page.tsx'

/** Bytes of one form. */
const formBytesMax = 8_192
/** Unfinished forms that are kept; for one more the oldest is closed. */
const unfinishedMax = 200

/** `GET` and `POST /login`, `POST /logout`: the form that accepts the token and sets a cookie for it. `setting`: where the token is set. */
export function loginRoutes(setting: string): readonly Route[] {
  const forms = new LoginForms()
  return [
    {
      method: 'GET',
      path: '/login',
      limit: 'none',
      isOpen: true,
      async handle({ sessions }, c) {
        const next = localPath(queryOf(c).get('next'))
        return !sessions || (await sessions.admits(c.env.incoming)) ? seeOther(next) : loginPage(next, setting)
      },
    },
    {
      method: 'POST',
      path: '/login',
      takes: 'itself',
      isOpen: true,
      handle({ sessions }, c) {
        const { incoming } = c.env
        return forms.take(incoming, async (form) => {
          const next = localPath(form.get('next'))
          if (!sessions) return seeOther(next)
          if (await sessions.admitsTyped(form.get('token') ?? '', incoming)) {
            return seeOther(next, { 'set-cookie': sessions.cookie(incoming, usesTls(c)) })
          }
          return loginPage(next, setting, 'That is not the API token of this server.')
        })
      },
    },
    {
      method: 'POST',
      path: '/logout',
      takes: 'itself',
      isOpen: true,
      handle({ sessions, feed }, c) {
        const { incoming } = c.env
        const session = sessions?.sessionOf(incoming)
        if (session) feed.endSession(session)
        return seeOther('/login', sessions ? { 'set-cookie': sessions.endingCookie(incoming, usesTls(c)) } : {})
      },
    },
  ]
}

/**
 * Accepts forms from anybody. A client that starts many and finishes none locks nobody out: a form that is sent at once arrives before it
 * could be closed.
 */
class LoginForms {
  /** In the order in which they started. */
  readonly #unfinished = new Set<Incoming>()

  async take(incoming: Incoming, work: (form: URLSearchParams) => Promise<Response>): Promise<Response> {
    for (const oldest of this.#unfinished) {
      if (this.#unfinished.size < unfinishedMax) break
      this.#unfinished.delete(oldest)
      oldest.socket.destroy()
    }
    this.#unfinished.add(incoming)
    // Separate limits for each form, so that others do not count.
    const limits = new RequestLimits({ maxRequestBytes: formBytesMax, maxRequestValues: 0, maxInFlightRequests: 1 })
    try {
      return await limits.withForm(incoming, (form) => {
        this.#unfinished.delete(incoming)
        return work(form)
      })
    } finally {
      this.#unfinished.delete(incoming)
    }
  }
}

/** One of our paths to continue to; anything that a browser could take for another site's becomes `/`. */
function localPath(path: string | null): string {
  return path !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(path) && !path.includes('\\') ? path : '/'
}

/** The form that asks for the token; `next`: one of our paths to continue to. `error`: why it is shown again. */
function loginPage(next: string, setting: string, error: string | null = null): Response {
  const form = (
    <form class="card login" method="post" action="/login">
      <h1>Log in</h1>
      <p>This server requires its API token, the value of {setting} with which it was started.</p>
      {error !== null && (
        <p class="error" role="alert" id="error">
          {error}
        </p>
      )}
      <input type="hidden" name="next" value={next} />
      <label for="token">API token</label>
      <input
        id="token"
        name="token"
        type="password"
        autocomplete="current-password"
        required
        autofocus
        aria-describedby={error === null ? undefined : 'error'}
      />
      <button type="submit">Log in</button>
    </form>
  )
  return page({ title: 'Log in', section: null, children: form }, { status: error === null ? 200 : 401 })
}
