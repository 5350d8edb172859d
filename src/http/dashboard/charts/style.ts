import { createHash } from 'node:crypto'

/**
 * The look of charts, in light and dark mode. Every rule is below `.chart`, so that a page may include it whole; its colours are custom
 * properties that the page may override.
 */
export const chartStyle = `.chart{--ground:#fff;--ink:#1f2933;--soft:#56616c;--line:#8b96a1;--path:#2563b8;--mark:#c2570c;--waiting:#e6f0fb;--waiting-edge:#4a86c5;--held:#fdf2d9;--held-edge:#b98316;--executing:#eee6fb;--executing-edge:#8257c4;--well:#e2f4e6;--well-edge:#3c9454;--badly:#fce7e5;--badly-edge:#c94a3d;--aside:#eef0f2;--aside-edge:#7d8894;background:var(--ground);max-width:100%;height:auto;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media (prefers-color-scheme:dark){.chart{--ground:#14181d;--ink:#e6eaee;--soft:#a3aeb9;--line:#6b7783;--path:#6ea8f5;--mark:#f59a4a;--waiting:#17283b;--waiting-edge:#5c9bd9;--held:#332810;--held-edge:#d0a040;--executing:#2a2040;--executing-edge:#a284dd;--well:#15301e;--well-edge:#58b274;--badly:#3a1c1a;--badly-edge:#e0736a;--aside:#23292f;--aside-edge:#8995a1}}
.chart text{fill:var(--ink);text-anchor:middle;font-size:11px}
.chart .box{fill:var(--aside);stroke:var(--aside-edge);stroke-width:1.25}
.chart .origin{fill:var(--ink)}
.chart .name{font-size:13px;font-weight:600}
.chart .state .count{font-size:13px;font-variant-numeric:tabular-nums}
.chart .waiting .box{fill:var(--waiting);stroke:var(--waiting-edge)}
.chart .held .box{fill:var(--held);stroke:var(--held-edge)}
.chart .executing .box{fill:var(--executing);stroke:var(--executing-edge)}
.chart .well .box{fill:var(--well);stroke:var(--well-edge)}
.chart .badly .box{fill:var(--badly);stroke:var(--badly-edge)}
.chart .current .box{stroke:var(--mark);stroke-width:3.5}
.chart .line{fill:none;stroke:var(--line)}
.chart .head{fill:var(--line)}
.chart .guard,.chart .caption{fill:var(--soft)}
.chart .guard{font-style:italic}
.chart .edge .count{fill:var(--soft);font-variant-numeric:tabular-nums}
.chart .caption{text-anchor:start}
.chart .taken .line,.chart .edge:hover .line{stroke:var(--path)}
.chart .taken .head,.chart .edge:hover .head{fill:var(--path)}
.chart .taken .count{fill:var(--path);font-weight:600}
.chart .last .line{stroke:var(--mark)}
.chart .last .head,.chart .last .count{fill:var(--mark)}
.chart .faded{opacity:.4}
`

/** The source that allows exactly this style in a content security policy. */
export const chartStyleSource = `'sha256-${createHash('sha256').update(chartStyle).digest('base64')}'`
