// The algebra of the npm package quill-delta, to be compared with ours.
import Imported from 'quill-delta'
import { answer } from './lines.mjs'

const Delta = Imported.default ?? Imported

const make = (ops) => ops.reduce((delta, op) => delta.push(op), new Delta())
const chopped = (ops) => make(ops).chop()

await answer({
  normal: (ops) => chopped(ops).ops,
  compose: (a, b) => new Delta(a).compose(new Delta(b)).ops,
  transform: (a, b, first) => new Delta(a).transform(new Delta(b), first).ops,
  invert: (delta, document) => new Delta(delta).invert(new Delta(document)).ops,
  length: (ops) => new Delta(ops).length()
})
