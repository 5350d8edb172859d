import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { whenDone } from './temp.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
let browser: Browser

/** A group of tests in one real Chromium; skipped, with a message, if there is none. */
export function describeInBrowser(name: string, tests: () => void): void {
  if (!executablePath) console.warn(`skipped, for want of a Chromium (apt-get install chromium): ${name}`)
  describe.skipIf(!executablePath)(name, () => {
    beforeAll(async () => {
      browser = await chromium.launch({
        executablePath: executablePath!,
        // It may run as root, in a container, without a network.
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync'],
      })
    })
    afterAll(() => browser?.close())
    tests()
  })
}

/** A page in its own browser profile. Every complaint in its console is a fault, except those in `complaintsOk`. */
export async function openPage(
  url: string,
  { complaintsOk, ...options }: BrowserContextOptions & { readonly complaintsOk?: RegExp } = {},
): Promise<Page> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(90_000)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(`${error}`))
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  whenDone(async () => {
    await context.close()
    expect(complaints.filter((text) => !complaintsOk?.test(text))).toEqual([])
  })
  await page.goto(url)
  return page
}

/** The accessibility faults that axe-core finds. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // Not `addScriptTag`, because the page's policy allows only its own scripts.
  const results = (await page.evaluate(`${axe}; axe.run({ resultTypes: ['violations'] })`)) as {
    violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[]
  }
  return results.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`)
}
