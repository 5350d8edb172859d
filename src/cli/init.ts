import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

interface InitParts {
  /** A random token for `.env`. */
  readonly token: string
  /** The path of Node.js. */
  readonly node: string
  /** The user who runs the unit. */
  readonly user: string
}

/** Only the owner may read `.env`, because it may have passwords. */
const modes: Readonly<Record<string, number>> = { '.env': 0o600 }

/**
 * `jobmachine init [folder]`: writes what a first server needs. If any of the files exists, it writes none. Returns what to print, or the
 * names of the existing files.
 */
export function initFiles(
  folder: string,
  parts: InitParts,
): { readonly there: readonly string[]; readonly text: string } {
  const files: Readonly<Record<string, string>> = {
    'handlers.mjs': handlers,
    '.env': dotEnv(parts.token),
    'jobmachine.service': unit(resolve(folder), parts),
    Dockerfile: dockerfile,
  }
  const names = Object.keys(files)
  const there = names.filter((name) => existsSync(join(folder, name)))
  if (there.length > 0) return { there, text: '' }
  for (const name of names) {
    // A file that appeared meanwhile is not overwritten.
    writeFileSync(join(folder, name), files[name]!, { flag: 'wx', mode: modes[name] ?? 0o644 })
  }
  return { there, text: `${names.join(', ')} are written. Next:\n\n${next}` }
}

const next = `  npm install jobmachine zod
  npx jobmachine serve --handlers ./handlers.mjs
  curl -X POST http://localhost:8080/jobs -H "Content-Type: application/json" \\
    -d '{ "type": "welcome", "payload": { "name": "Ada" } }'
`

const handlers = `import { defineHandler } from 'jobmachine'
import { z } from 'zod'

// Every handler that this file exports runs jobs of its type.
export const welcome = defineHandler({
  type: 'welcome',
  payload: z.strictObject({ name: z.string().min(1) }),
  async run({ name }, { attempt, idempotencyToken, signal }) {
    // A job may run more than once: pass idempotencyToken on to what it calls, and give signal to fetch.
    console.error(\`welcome, \${name} (attempt \${attempt})\`)
  },
})
`

function dotEnv(token: string): string {
  return `# All settings: https://www.npmjs.com/package/jobmachine
HOST=127.0.0.1
PORT=8080
DATABASE_PATH=./data/jobs.db
WORKER_COUNT=10

# Required if others can reach HOST; the dashboard then asks for it.
# API_TOKEN=${token}
`
}

function unit(folder: string, { node, user }: InitParts): string {
  const main = join(folder, 'node_modules/jobmachine/dist/main.js')
  return `# sudo cp jobmachine.service /etc/systemd/system/ && sudo systemctl enable --now jobmachine
[Unit]
Description=Background jobs
After=network-online.target
Wants=network-online.target

[Service]
User=${user}
WorkingDirectory=${escapePercent(folder)}
ExecStart=${quoted(node)} ${quoted(main)} serve --handlers ./handlers.mjs
Restart=on-failure
RestartSec=1
# Wrong usage or configuration, and lost jobs that a person must decide about: another start would not help.
RestartPreventExitStatus=64 65 78
# Longer than SHUTDOWN_GRACE_MS, and only the server itself is told to stop: it lets its jobs finish.
TimeoutStopSec=45
KillMode=mixed
UMask=0077
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
`
}

/** Quotes a word of a systemd command line, so that it is not read as a specifier or a variable. */
function quoted(word: string): string {
  return `"${escapePercent(word).replace(/["\\]/g, '\\$&').replaceAll('$', '$$$$')}"`
}

function escapePercent(text: string): string {
  return text.replaceAll('%', '%%')
}

const dockerfile = `# docker build -t jobs . && docker run --stop-timeout 30 -p 127.0.0.1:8080:8080 -v jobs:/data -e API_TOKEN=… jobs
# The folder needs package.json and package-lock.json with jobmachine and zod: npm install jobmachine zod
# by Node.js 22 or later: the lock names better-sqlite3 12 under 20, which this image would have to compile
FROM node:24-slim
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev
COPY handlers.mjs ./
RUN mkdir /data && chown node:node /data
USER node
ENV HOST=0.0.0.0 DATABASE_PATH=/data/jobs.db
VOLUME /data
EXPOSE 8080
CMD ["node", "node_modules/jobmachine/dist/main.js", "serve", "--handlers", "./handlers.mjs"]
`
