import { mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** `npm run test:servers`: against Debian's servers, which take minutes by design, such as to check a mail. See test/servers/README.md. */
const config = mergeConfig(base, { test: { testTimeout: 180_000, hookTimeout: 60_000 } })
config.test = { ...config.test, include: ['test/servers/**/*.test.ts'], exclude: ['node_modules/**'] }

export default config
