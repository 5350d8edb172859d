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

/** What was asked for, path and query as they were sent. */
export function targetOf(c: Context<Env>): string {
  const { url } = c.req
  return url.slice(url.indexOf('/', url.indexOf('//') + 2))
}

/**
 * Whether the browser came by https: as the proxy nearest to it says, or as a form's request says itself. Anyone can send these headers: they may
 * only make things stricter, or show.
 */
export function isSecure(c: Context<Env>): boolean {
  const nearest = (c.req.header('x-forwarded-proto') ?? '').split(',')[0]!.trim().toLowerCase()
  return nearest === 'https' || c.req.header('origin')?.startsWith('https://') === true
}

/** Where the browser reached this server, such as `http://localhost:8080`; the guard has let its host through. */
export function originOf(c: Context<Env>): string {
  return `${isSecure(c) ? 'https' : 'http'}://${c.req.header('host')}`
}
