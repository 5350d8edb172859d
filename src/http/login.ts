import type { SystemLog } from '../front-door.ts'
import { Intake } from './body.ts'
import type { EventFeed } from './event-feed.ts'
import { loginPage } from './pages/login.tsx'
import { seeOther } from './pages/page.tsx'
import { isSecure, queryOf, type Routes } from './routes.ts'
import type { Sessions } from './session.ts'

/** Of their own, for anybody may ask: what strangers hold must not keep those who have the token from being served. */
const loginLimits = { maxRequestBytes: 8_192, maxInFlightRequests: 20 }

/** `GET` and `POST /login`, `POST /logout`: the form that takes the token and gives a cookie for it. */
export function loginRoutes(sessions: Sessions | null, feed: EventFeed, log: SystemLog): Routes {
  const intake = new Intake(loginLimits)
  return {
    '/login': {
      GET: (c) => {
        const next = localPath(queryOf(c).get('next'))
        return !sessions || sessions.isAllowed(c.env.incoming) ? seeOther(next) : loginPage(next)
      },
      POST: (c) =>
        intake.withForm(c.env.incoming, async (form) => {
          const next = localPath(form.get('next'))
          if (!sessions) return seeOther(next)
          if (sessions.isToken(form.get('token') ?? '')) {
            return seeOther(next, { 'set-cookie': sessions.cookie(isSecure(c)) })
          }
          log.warn({}, 'a login was refused: not the API token')
          return loginPage(next, 'That is not the API token of this server.')
        }),
    },
    '/logout': {
      POST: (c) => {
        const session = sessions?.sessionOf(c.env.incoming)
        if (session) feed.endSession(session)
        return seeOther('/login', sessions ? { 'set-cookie': sessions.endingCookie(isSecure(c)) } : {})
      },
    },
  }
}

/** A path of ours to go on to; anything that a browser could take for another site's is `/`. */
function localPath(path: string | null): string {
  return path !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(path) && !path.includes('\\') ? path : '/'
}
