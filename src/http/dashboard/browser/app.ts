import { Idiomorph } from './idiomorph.js'

/** Ms between two attempts while the server does not answer. */
const retryMs = 2_000

/**
 * Makes a page live. There is one way to render a page, which works without this script too: the script fetches the page again and changes
 * only what differs, so that focus, scroll position and open details stay. A hidden page is not fetched.
 */
document.addEventListener('input', scrub)
void keepFresh()
if (document.querySelector('[data-more]')) void lookOn().catch(() => undefined)

async function keepFresh(): Promise<void> {
  const refreshMs = Number(document.body.dataset.refreshMs ?? 0)
  while (refreshMs > 0) {
    const answer = document.hidden ? 'shown' : await refresh().catch((): Answer => 'none')
    document.getElementById('connection')!.hidden = answer !== 'none'
    // The job is gone for good, and the page says so now.
    if (answer === 'gone') return
    await new Promise((resolve) => setTimeout(resolve, answer === 'none' ? retryMs : refreshMs))
  }
}

/** `gone`: the page no longer exists. `none`: the server does not answer, or not with a page. */
type Answer = 'shown' | 'gone' | 'none'

async function refresh(): Promise<Answer> {
  const { href } = location
  const { answer, page } = await fetchPage(href)
  // Another moment may have been requested meanwhile.
  if (page && href === location.href) await show(page)
  return answer
}

async function fetchPage(href: string): Promise<{ answer: Answer; page: Document | null }> {
  const response = await fetch(href)
  // The session has ended; the login form says so.
  if (response.redirected) location.reload()
  const isGone = response.status === 404
  if (!response.ok && !isGone) return { answer: 'none', page: null }
  const page = new DOMParser().parseFromString(await response.text(), 'text/html')
  return { answer: isGone ? 'gone' : 'shown', page }
}

async function show(page: Document): Promise<void> {
  await Idiomorph.morph(document.getElementById('main')!, page.getElementById('main')!.innerHTML, {
    morphStyle: 'innerHTML',
    ignoreActiveValue: true,
    // Leave what a script draws to that script.
    callbacks: { beforeNodeMorphed: (node) => !(node instanceof HTMLElement && node.dataset.own !== undefined) },
  })
}

let asked: string | null = null
let isScrubbing = false

/**
 * The slider through a job's history shows the page of that moment. One fetch at a time, then one for the position that the slider has by
 * then.
 */
async function scrub({ target }: Event): Promise<void> {
  if (!(target instanceof HTMLInputElement) || target.dataset.scrub === undefined) return
  asked = target.value === target.max ? '' : target.value
  if (isScrubbing) return
  isScrubbing = true
  while (asked !== null) {
    const href = new URL(location.href)
    if (asked === '') href.searchParams.delete('at')
    else href.searchParams.set('at', asked)
    asked = null
    // Steps of the slider add no entries to the browser's history.
    history.replaceState(null, '', href)
    await refresh().catch(() => undefined)
  }
  isScrubbing = false
  document.querySelector('[aria-current="step"]')?.scrollIntoView({ block: 'nearest' })
}

/** A search that has covered a part of the jobs continues by itself, until its page is full or all are searched. */
async function lookOn(): Promise<void> {
  for (;;) {
    const more = document.querySelector<HTMLAnchorElement>('a[data-more]')
    const rows = document.querySelector('tbody')
    if (!more || !rows || rows.childElementCount >= Number(more.dataset.more)) return
    const { page } = await fetchPage(more.href)
    if (!page) return
    rows.append(...(page.querySelector('tbody')?.children ?? []))
    document.getElementById('looked')!.replaceWith(page.getElementById('looked')!)
  }
}
