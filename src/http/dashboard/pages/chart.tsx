interface ChartFrameProps {
  /** Made by us: no part of it was written by anybody else. */
  readonly svg: string
  /** Too large to be legible on a phone, where it scrolls. */
  readonly isWide?: boolean
}

/** A chart as part of a page; its style sheet is `chart.css`. */
export function ChartFrame({ svg, isWide = false }: ChartFrameProps) {
  return (
    <section
      class={`chart-frame${isWide ? ' wide' : ''}`}
      // Keyboard users must be able to scroll it.
      tabindex={isWide ? 0 : undefined}
      aria-label="Chart"
      dangerouslySetInnerHTML={{ __html: svg }}
    />
  )
}
