// y-websocket with y-leveldb: one Yjs document and one socket per profile, as the library has it.

import { setPersistence, setupWSConnection, docs } from '@y/websocket-server/utils'
import http from 'node:http'
import WebSocket, { WebSocketServer } from 'ws'
import { LeveldbPersistence } from 'y-leveldb'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const clock = () => Number(process.hrtime.bigint()) / 1e9

export async function serve ({ directory, port }) {
  const database = new LeveldbPersistence(`${directory}/leveldb`)
  let waiting = 0
  let savedAt = 0
  let wake = () => {}
  const save = async (id, update) => {
    waiting++
    await database.storeUpdate(id, update)
    savedAt = clock()
    if (--waiting === 0) wake()
  }
  setPersistence({
    provider: database,
    bindState: async (id, document) => {
      const stored = await database.getYDoc(id)
      save(id, Y.encodeStateAsUpdate(document))
      Y.applyUpdate(document, Y.encodeStateAsUpdate(stored))
      document.on('update', update => save(id, update))
    },
    writeState: async () => {}
  })
  const server = http.createServer()
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', setupWSConnection)
  await new Promise(resolve => server.listen(port, '127.0.0.1', resolve))
  return {
    values: id => docs.get(id)?.getMap('profile').toJSON(),
    persisted: async () => {
      while (waiting > 0) await new Promise(resolve => { wake = resolve })
      return savedAt
    },
    stop: async () => {
      while (waiting > 0) await new Promise(resolve => { wake = resolve })
      await database.destroy()
    }
  }
}

export async function join ({ port }) {
  const providers = new Map()
  const document = id => providers.get(id)?.doc
  const join = async id => {
    const provider = new WebsocketProvider(`ws://127.0.0.1:${port}`, id, new Y.Doc(), {
      WebSocketPolyfill: WebSocket, disableBc: true
    })
    providers.set(id, provider)
    await new Promise(resolve => provider.once('sync', resolve))
  }
  // The server says "synchronised" before it has read what it stored: an edit made then would be
  // concurrent with what is stored, and might lose against it. So wait until there is something.
  const open = async id => {
    if (providers.has(id)) return
    await join(id)
    while (document(id).getMap('profile').size === 0) {
      await new Promise(resolve => document(id).once('update', resolve))
    }
  }
  const write = (id, fields) => {
    document(id).transact(() => {
      const map = document(id).getMap('profile')
      for (const [field, value] of Object.entries(fields)) map.set(field, value)
    })
  }
  return {
    open,
    write,
    load: async (id, fields) => { await join(id); write(id, fields) },
    values: id => document(id)?.getMap('profile').toJSON(),
    disconnect: () => { for (const provider of providers.values()) provider.disconnect() },
    connect: () => { for (const provider of providers.values()) provider.connect() },
    stop: () => { for (const provider of providers.values()) provider.destroy() }
  }
}
