import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HttpError } from './problem.ts'
import { replyText } from './reply.ts'
import type { Routes } from './routes.ts'

const require = createRequire(import.meta.url)
const ours = (name: string) => fileURLToPath(new URL(`./browser/${name}`, import.meta.url))

/** Every file that a page may load, by the name under which it asks; nothing else is read. */
const paths: Readonly<Record<string, string>> = {
  'style.css': ours('style.css'),
  'favicon.svg': ours('favicon.svg'),
  'app.js': ours('app.js'),
  'idiomorph.js': require.resolve('idiomorph/dist/idiomorph.esm.js'),
}

const contentTypes: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

interface Asset {
  readonly text: string
  readonly tag: string
}

/** `GET /assets/:name`: what the pages are made of; a browser keeps it and asks whether it is still the same. */
export function assetRoutes(): Routes {
  const assets = new Map<string, Promise<Asset>>()
  const load = (name: string, path: string) => {
    const asset = assets.get(name) ?? read(path)
    assets.set(name, asset)
    return asset
  }
  return {
    '/assets/:name': {
      async GET(c) {
        const name = c.req.param('name') ?? ''
        const path = Object.hasOwn(paths, name) ? paths[name] : undefined
        if (!path) throw new HttpError(404, 'not_found', `there is nothing at ${c.req.path}`)
        const { text, tag } = await load(name, path)
        const headers = { etag: tag, 'cache-control': 'no-cache' }
        if (c.req.header('if-none-match') === tag) return new Response(null, { status: 304, headers })
        return replyText(text, contentTypes[extname(name)]!, { headers })
      },
    },
  }
}

async function read(path: string): Promise<Asset> {
  const text = await readFile(path, 'utf8')
  return { text, tag: `"${createHash('sha256').update(text).digest('base64url')}"` }
}
