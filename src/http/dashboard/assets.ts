import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HttpError } from '../problem.ts'
import { replyText } from '../reply.ts'
import type { Route } from '../routes/route.ts'
import { chartStyle } from './charts/style.ts'

const require = createRequire(import.meta.url)
const ours = (name: string) => fileURLToPath(new URL(`./browser/${name}`, import.meta.url))

/** Every file that a page may load, by its name in the URL; no other file is read. */
const paths: Readonly<Record<string, string>> = {
  'style.css': ours('style.css'),
  'docs.css': ours('docs.css'),
  'favicon.svg': ours('favicon.svg'),
  'app.js': ours('app.js'),
  'series.js': ours('series.js'),
  'idiomorph.js': require.resolve('idiomorph/dist/idiomorph.esm.js'),
  'uplot.js': require.resolve('uplot/dist/uPlot.esm.js'),
  'uplot.css': require.resolve('uplot/dist/uPlot.min.css'),
}

const contentTypes: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Assets that are not files. */
const texts: Readonly<Record<string, string>> = { 'chart.css': chartStyle }

interface Asset {
  readonly text: string
  readonly tag: string
}

/** `GET /assets/:name`: the files of the pages. Browsers cache them and check whether they have changed. */
export function assetRoute(): Route {
  const assets = new Map<string, Asset>()
  return {
    method: 'GET',
    path: '/assets/:name',
    limit: 'none',
    isOpen: true,
    async handle(_, c) {
      const name = c.req.param('name') ?? ''
      const asset = assets.get(name) ?? (await load(name))
      if (!asset) throw new HttpError(404, 'not_found', `there is nothing at ${c.req.path}`)
      assets.set(name, asset)
      const { text, tag } = asset
      const headers = { etag: tag, 'cache-control': 'no-cache' }
      if (c.req.header('if-none-match') === tag) return new Response(null, { status: 304, headers })
      return replyText(text, contentTypes[extname(name)]!, { headers })
    },
  }
}

/** Undefined if no asset has that name. */
async function load(name: string): Promise<Asset | undefined> {
  if (Object.hasOwn(texts, name)) return tagged(texts[name]!)
  return Object.hasOwn(paths, name) ? tagged(await readFile(paths[name]!, 'utf8')) : undefined
}

function tagged(text: string): Asset {
  return { text, tag: `"${createHash('sha256').update(text).digest('base64url')}"` }
}
