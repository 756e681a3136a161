// Stock Yjs clients: a document each, and the provider of the npm package y-websocket.
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { answer } from './lines.mjs'

const clients = new Map()

const connected = (name, doc, url, room, params) => {
  const provider = new WebsocketProvider(url, room, doc, {
    WebSocketPolyfill: WebSocket,
    disableBc: true,
    maxBackoffTime: 500,
    params
  })
  const client = { doc, provider, closed: null }
  provider.on('connection-close', (event) => {
    if (event) client.closed = [event.code, event.reason]
  })
  clients.set(name, client)
  return doc.clientID
}

const textOf = (name) => clients.get(name).doc.getText('text')

await answer({
  // A client with an empty document.
  open: (name, url, room, params = {}) => connected(name, new Y.Doc(), url, room, params),
  // The same document with a provider to another server: a browser that moved.
  move: (name, url, room, params = {}) => {
    const { doc, provider } = clients.get(name)
    provider.destroy()
    return connected(name, doc, url, room, params)
  },
  // A page that is loaded anew from what the browser kept: another client id.
  reload: (name, url, room, params = {}) => {
    const { doc, provider } = clients.get(name)
    const kept = Y.encodeStateAsUpdate(doc)
    provider.destroy()
    const fresh = new Y.Doc()
    Y.applyUpdate(fresh, kept)
    return connected(name, fresh, url, room, params)
  },
  disconnect: (name) => clients.get(name).provider.disconnect(),
  connect: (name) => clients.get(name).provider.connect(),
  destroy: (name) => {
    clients.get(name).provider.destroy()
    clients.delete(name)
  },
  status: (name) => {
    const { provider, closed } = clients.get(name)
    return { connected: provider.wsconnected, synced: provider.synced, closed }
  },
  insert: (name, at, content, attributes) => textOf(name).insert(at, content, attributes),
  append: (name, content) => textOf(name).insert(textOf(name).length, content),
  remove: (name, at, length) => textOf(name).delete(at, length),
  format: (name, at, length, attributes) => textOf(name).format(at, length, attributes),
  text: (name) => textOf(name).toString(),
  delta: (name) => textOf(name).toDelta(),
  push: (name, items) => clients.get(name).doc.getArray('list').push(items),
  list: (name) => clients.get(name).doc.getArray('list').toJSON(),
  be: (name, state) => clients.get(name).provider.awareness.setLocalState(state),
  present: (name) => {
    const { awareness } = clients.get(name).provider
    return [...awareness.getStates()].filter(([client]) => client !== awareness.clientID)
  },
  // Whatever bytes, sent as this client's.
  send: (name, hex) => clients.get(name).provider.ws.send(Buffer.from(hex, 'hex')),
  update: (name) => Buffer.from(Y.encodeStateAsUpdate(clients.get(name).doc)).toString('hex'),
  exit: () => process.exit(0)
})
