import { Idiomorph } from './idiomorph.js'

/** Between two tries while the server does not answer, in ms. */
const retryMs = 2_000

/**
 * What makes a page live. There is one way to make a page, and it works without this: the script fetches the page anew and changes in place
 * what differs, so focus, scroll and open details stay. A page that nobody sees is not fetched.
 */
void keepFresh()
document.addEventListener('input', scrub)
if (document.querySelector('[data-more]')) void lookOn()

async function keepFresh(): Promise<void> {
  const refreshMs = Number(document.body.dataset.refreshMs ?? 0)
  while (refreshMs > 0) {
    const answered = document.hidden || (await refresh())
    document.getElementById('connection')!.hidden = answered
    await new Promise((resolve) => setTimeout(resolve, answered ? refreshMs : retryMs))
  }
}

/** Whether the server answered. */
async function refresh(): Promise<boolean> {
  const { href } = location
  try {
    const page = await fetchPage(href)
    // Another moment may have been asked for meanwhile.
    if (page && href === location.href) await show(page)
    return true
  } catch {
    return false
  }
}

/** Null where there is no such page now; throws where the server does not answer. */
async function fetchPage(href: string): Promise<Document | null> {
  const answer = await fetch(href)
  // The session has ended: the login form is where that is said.
  if (answer.redirected) location.reload()
  if (answer.status >= 500) throw new Error(`${answer.status}`)
  return answer.ok ? new DOMParser().parseFromString(await answer.text(), 'text/html') : null
}

async function show(page: Document): Promise<void> {
  await Idiomorph.morph(document.getElementById('main')!, page.getElementById('main')!.innerHTML, {
    morphStyle: 'innerHTML',
    ignoreActiveValue: true,
    // What a script draws is its own.
    callbacks: { beforeNodeMorphed: (node) => !(node instanceof HTMLElement && node.dataset.own !== undefined) },
  })
}

/** The slider through a job's history: the page of that moment, at once and without a new entry in the browser's own history. */
function scrub({ target }: Event): void {
  if (!(target instanceof HTMLInputElement) || target.dataset.scrub === undefined) return
  const href = new URL(location.href)
  if (target.value === target.max) href.searchParams.delete('at')
  else href.searchParams.set('at', target.value)
  history.replaceState(null, '', href)
  void refresh().then(() => document.querySelector('[aria-current="step"]')?.scrollIntoView({ block: 'nearest' }))
}

/** A search that has looked at a part of the jobs goes on by itself, until its page is full or all are looked at. */
async function lookOn(): Promise<void> {
  for (;;) {
    const more = document.querySelector<HTMLAnchorElement>('a[data-more]')
    const rows = document.querySelector('tbody')
    if (!more || !rows || rows.childElementCount >= Number(more.dataset.more)) return
    const page = await fetchPage(more.href).catch(() => null)
    if (!page) return
    rows.append(...(page.querySelector('tbody')?.children ?? []))
    document.getElementById('looked')!.replaceWith(page.getElementById('looked')!)
  }
}
