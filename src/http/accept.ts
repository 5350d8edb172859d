import type { Context } from 'hono'
import { accepts } from 'hono/accepts'

/**
 * The content type to answer with: the first of those `named` that `Accept` ranks highest, by q, where it names it and ranks it above
 * `usual`, for which a range counts too; else `usual`. So a browser, curl and whoever takes anything get the usual.
 */
export function contentTypeFor(c: Context, usual: string, named: readonly string[]): string {
  return accepts(c, {
    header: 'Accept',
    supports: [usual, ...named],
    default: usual,
    match(ranked) {
      const rank = (range: string) => rankOf(ranked, range) ?? 0
      const best = named.reduce((a, b) => (rank(b) > rank(a) ? b : a))
      const ranges = [usual, usual.replace(/\/.*/, '/*'), '*/*']
      const usualRank = ranges.map((range) => rankOf(ranked, range)).find((q) => q !== undefined) ?? 0
      return rank(best) > usualRank ? best : usual
    },
  })
}

/** Of a range that stands there several times, with different parameters, the highest. */
function rankOf(ranked: readonly { readonly type: string; readonly q: number }[], range: string): number | undefined {
  const found = ranked.filter(({ type }) => type.toLowerCase() === range)
  return found.length === 0 ? undefined : Math.max(...found.map(({ q }) => q))
}
