import type { ChartNode } from '../../../engine/front-door.ts'

/** The colour of a state, by its tags: a class in the style sheets of charts and pages. */
export function kindOf({ tags, final }: Pick<ChartNode, 'tags' | 'final'>): string {
  if (tags.includes('stuck')) return 'badly'
  if (tags.includes('ended')) return final ? 'well' : tags.includes('expendable') ? 'aside' : 'badly'
  if (tags.includes('ticking')) return 'well'
  if (tags.includes('live')) return 'held'
  return ['executing', 'held', 'waiting'].find((tag) => tags.includes(tag)) ?? 'aside'
}
