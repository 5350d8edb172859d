import { Idiomorph } from './idiomorph.js'

/** Between two tries while the server does not answer, in ms. */
const retryMs = 5_000

/**
 * Keeps the numbers of a page moving: fetches the page itself anew and changes in place what differs, so that there is one way to make a
 * page and it works without this script too. Focus, scroll and open details stay. A page that nobody sees is not fetched.
 */
const refreshMs = Number(document.body.dataset.refreshMs)
if (refreshMs > 0) void keepFresh()

async function keepFresh(): Promise<never> {
  for (;;) {
    const answered = document.hidden || (await refresh())
    document.getElementById('connection')!.hidden = answered
    await new Promise((resolve) => setTimeout(resolve, answered ? refreshMs : retryMs))
  }
}

/** Whether the server answered with the page. */
export async function refresh(): Promise<boolean> {
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } })
    // The session has ended: the login form is where that is said.
    if (answer.redirected) location.reload()
    if (!answer.ok) return answer.status < 500
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const main = document.getElementById('main')!
    await Idiomorph.morph(main, page.getElementById('main')!.innerHTML, {
      morphStyle: 'innerHTML',
      ignoreActiveValue: true,
      callbacks: { beforeNodeMorphed: (node) => !(node instanceof HTMLElement && node.dataset.own !== undefined) },
    })
    return true
  } catch {
    return false
  }
}
