/** Served beside this code as `uplot.js`. */
export { default } from 'uplot'
