/** Served beside this code as `idiomorph.js`. */
export { Idiomorph } from 'idiomorph'
