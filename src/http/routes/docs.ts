import type { Context } from 'hono'
import { z } from 'zod'
import { type Env, usesTls } from '../request.ts'
import { named } from '../wire.ts'
import { type ApiRoute, get, type Route } from './route.ts'

const openApi = named('OpenApi', z.looseObject({ openapi: z.string() }).describe('OpenAPI 3.1.'))

export const documentRoute: ApiRoute = get({
  path: '/openapi.json',
  id: 'describeApi',
  tag: 'Description',
  summary: 'Describe this API as OpenAPI 3.1',
  answers: { 200: { description: 'This document.', body: openApi } },
  examples: [{ summary: 'all of it', status: 200 }],
  limit: 'read',
  handle: ({ docs }, { env }) => docs.showDocument(env.incoming),
})

/** The same for people. */
export const docsRoute: Route = {
  method: 'GET',
  path: '/docs',
  limit: 'read',
  handle: ({ docs }, c) => docs.showPage(c.env.incoming, originOf(c)),
}

/** The address at which the browser reached this server, such as `http://localhost:8080`; the guard has allowed its host. */
function originOf(c: Context<Env>): string {
  return `${usesTls(c) ? 'https' : 'http'}://${c.req.header('host')}`
}
