import type { Explanation } from '../../src/engine/job-system.ts'
import { assembleHttp } from '../../src/http/http.ts'
import type { JobSystem } from '../../src/index.ts'
import { httpDefaults } from '../support/server.ts'

/** What somebody sees who asks for the explanation of a job, and opens its page. */
export interface Seen {
  readonly summary: string
  readonly advice: string
  /** The page as text, without its chart. */
  readonly page: string
}

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Of a system of this process: its page is made by the server's own code. */
export async function see(system: JobSystem, id: number, now: () => number): Promise<Seen> {
  const http = assembleHttp({
    system,
    log: silent,
    ...httpDefaults,
    ownsProcess: false,
    now,
  })
  const { summary, advice }: Explanation = await system.explain(id)
  const response = await http.fetch(new Request(`http://localhost/dashboard/jobs/${id}`))
  return { summary, advice, page: asText(await response.text()) }
}

/** Of a server in another process. */
export async function seeAt(url: string, id: number): Promise<Seen> {
  const [explained, page] = await Promise.all([
    fetch(`${url}/jobs/${id}/explain`),
    fetch(`${url}/dashboard/jobs/${id}`),
  ])
  const { summary, advice } = (await explained.json()) as Seen
  return { summary, advice, page: asText(await page.text()) }
}

/** The text of a page as a reader sees it: one line for each block. */
function asText(html: string): string {
  return html
    .replace(/^[\s\S]*<main[^>]*>|<\/main>[\s\S]*$/g, '')
    .replace(/<(svg|script|style|noscript)[\s\S]*?<\/\1>/g, '')
    .replace(/<\/t[dh]>/g, ' | ')
    .replace(/<\/dt>\s*<dd[^>]*>/g, ': ')
    .replace(/<\/?(p|li|h\d|tr|section|div|form|dd|ol|ul|details|summary|pre|caption|button)[^>]*>/g, '\n')
    .replace(/<[^>]+>/g, ' ')
    .replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name] ?? "'")
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').trim())
    .filter(Boolean)
    .join('\n')
}
