interface ChartFrameProps {
  /** Ours: nothing in it was written by anybody else. */
  readonly svg: string
  /** It has more than a phone can show legibly, and is scrolled there. */
  readonly isWide?: boolean
}

/** A chart as part of a page; its look is `chart.css`. */
export function ChartFrame({ svg, isWide = false }: ChartFrameProps) {
  return (
    <section
      class={`chart-frame${isWide ? ' wide' : ''}`}
      // Whoever moves by keyboard must be able to scroll it.
      tabindex={isWide ? 0 : undefined}
      aria-label="Chart"
      dangerouslySetInnerHTML={{ __html: svg }}
    />
  )
}
