import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, chromium, type Page, type ViewportSize } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { whenDone } from './temp.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
let browser: Browser
let page: Page | undefined

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

/**
 * The page of all tests, with nothing in it of the test before: a window and a profile for each would take half of the browser's time. Every
 * complaint in its console is a fault, except those in `complaintsOk`.
 */
export async function openPage(
  url: string,
  { complaintsOk, viewport = { width: 1280, height: 720 } }: { complaintsOk?: RegExp; viewport?: ViewportSize } = {},
): Promise<Page> {
  page ??= await newPage()
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
    await forget(page!)
    expect(complaints.filter((text) => !complaintsOk?.test(text))).toEqual([])
  })
  await page.setViewportSize(viewport)
  await page.goto(url)
  return page
}

async function newPage(): Promise<Page> {
  // A test's server has a certificate of its own.
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  context.setDefaultTimeout(90_000)
  return context.newPage()
}

async function forget(page: Page): Promise<void> {
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.evaluate('localStorage.clear(); sessionStorage.clear()')
  await page.goto('about:blank')
  page.removeAllListeners()
  await page.context().clearCookies()
  await page.emulateMedia({ colorScheme: null })
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
