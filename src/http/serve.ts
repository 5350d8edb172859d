import type { Context } from 'hono'
import type { RequestLimits } from './body.ts'
import { hasBody } from './exchange.ts'
import { parseQuery } from './query.ts'
import type { ReadLimits } from './read-limits.ts'
import { type Env, idOf, parametersOf, queryOf } from './request.ts'
import type { Parts, Route } from './routes/route.ts'

type Handler = (c: Context<Env>) => Response | Promise<Response>

/** Returns the handler of a route, which reads the input and applies the route's limits. */
export function createServe(parts: Parts, limits: RequestLimits, readLimits: ReadLimits): (route: Route) => Handler {
  return (route) => (route.method === 'GET' ? serveRead(route, parts, readLimits) : serveWrite(route, parts, limits))
}

function serveWrite(route: Exclude<Route, { readonly method: 'GET' }>, parts: Parts, limits: RequestLimits): Handler {
  switch (route.takes) {
    case 'json': {
      const { handle, isBodyOptional = false } = route
      const withJson: Handler = (c) => limits.withJson(c.env.incoming, (body) => handle(parts, c, body))
      if (!isBodyOptional) return withJson
      return (c) => (hasBody(c.env.incoming) ? withJson(c) : limits.serve(() => handle(parts, c, undefined)))
    }
    case 'form': {
      const { handle } = route
      return (c) => limits.withForm(c.env.incoming, (form) => handle(parts, c, form))
    }
    case 'nothing': {
      const { handle } = route
      return (c) => limits.serve(() => handle(parts, c, undefined))
    }
    case 'itself': {
      const { handle } = route
      return (c) => handle(parts, c, undefined)
    }
  }
}

function serveRead(route: Extract<Route, { readonly method: 'GET' }>, parts: Parts, readLimits: ReadLimits): Handler {
  const { path, limit, query, handle } = route
  const namesJob = query !== undefined && parametersOf(path).some(({ name }) => name === 'id')
  const limitOf = typeof limit === 'string' ? () => limit : limit
  return (c) =>
    readLimits.serve(limitOf(c), c.env.outgoing, (gone) => {
      // An id that no job can have is not found, whatever the query.
      if (namesJob) idOf(c)
      return handle(parts, c, (query && parseQuery(query, queryOf(c))) as never, gone)
    })
}
