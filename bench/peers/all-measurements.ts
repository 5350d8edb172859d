import { type Measurement, measurements as ofAll } from './measurements.ts'
import { measurements as ofServer } from './server-measurements.ts'

/** In the order of the table. */
export const measurements: readonly Measurement[] = [...ofAll, ...ofServer]
