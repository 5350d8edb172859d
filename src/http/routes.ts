import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'

export type Env = { Bindings: HttpBindings }
export type Handler = (c: Context<Env>) => Response | Promise<Response>

/** What is at one path; what is not named is answered with 405. */
export interface Route {
  readonly GET?: Handler
  readonly POST?: Handler
}

/** By path, in hono's form: `/jobs/:id`. */
export type Routes = Readonly<Record<string, Route>>

export function queryOf(c: Context<Env>): URLSearchParams {
  const at = c.req.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : c.req.url.slice(at))
}

/** Whether the browser came by https. Anyone can send that header: it may only make things stricter, or show. */
export function isSecure(c: Context<Env>): boolean {
  return c.req.header('x-forwarded-proto') === 'https'
}

/** Where the browser reached this server, such as `http://localhost:8080`; the guard has let its host through. */
export function originOf(c: Context<Env>): string {
  const { host } = new URL(c.req.url)
  return `${isSecure(c) ? 'https' : 'http'}://${host}`
}
