import { writeFileSync } from 'node:fs'
import { lifecyclePage } from '../dist/machines/lifecycle.js'

writeFileSync(new URL('../docs/lifecycle.md', import.meta.url), lifecyclePage())
