// The messages of the npm package y-protocols, to be compared with ours.
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as awareness from 'y-protocols/awareness'
import * as Y from 'yjs'
import { answer } from './lines.mjs'

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'))

const awarenessOf = (clients) => {
  const states = new Map()
  const meta = new Map()
  for (const [client, clock, state] of clients) {
    states.set(client, state === null ? null : JSON.parse(state))
    meta.set(client, { clock })
  }
  return awareness.encodeAwarenessUpdate({ states, meta }, clients.map(([client]) => client))
}

await answer({
  sync: (step, content) => {
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, 0)
    encoding.writeVarUint(encoder, step)
    encoding.writeVarUint8Array(encoder, bytes(content))
    return hex(encoding.toUint8Array(encoder))
  },
  awareness: (clients) => {
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint8Array(encoder, awarenessOf(clients))
    return hex(encoding.toUint8Array(encoder))
  },
  heard: (message) => {
    const decoder = decoding.createDecoder(bytes(message))
    decoding.readVarUint(decoder)
    const other = new awareness.Awareness(new Y.Doc())
    awareness.applyAwarenessUpdate(other, decoding.readVarUint8Array(decoder), 'test')
    const heard = [...other.getStates()].filter(([client]) => client !== other.clientID)
    other.destroy()
    return heard.map(([client, state]) => [client, other.meta.get(client).clock, state])
  }
})
