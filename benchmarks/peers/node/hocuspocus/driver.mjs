// Hocuspocus with its SQLite extension: one Yjs document per profile, one socket for all of them.

import { SQLite } from '@hocuspocus/extension-sqlite'
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { Server } from '@hocuspocus/server'
import WebSocket from 'ws'
import * as Y from 'yjs'

const clock = () => Number(process.hrtime.bigint()) / 1e9

export async function serve ({ directory, port, debounce, maxDebounce }) {
  const unsaved = new Set()
  let savedAt = 0
  let wake = () => {}
  const sqlite = new SQLite({ database: `${directory}/profiles.sqlite` })
  const store = sqlite.configuration.store
  sqlite.configuration.store = async data => {
    // The state was taken in this same turn, and better-sqlite3 is synchronous.
    await store(data)
    unsaved.delete(data.documentName)
    savedAt = clock()
    if (unsaved.size === 0) wake()
  }
  const server = new Server({
    port,
    address: '127.0.0.1',
    quiet: true,
    stopOnSignals: false,
    debounce,
    maxDebounce,
    // A client that comes back asks for all its documents at once; the defaults cut it off at 100.
    maxPendingDocuments: 100_000,
    maxUnauthenticatedQueueMessages: 1_000_000,
    maxUnauthenticatedQueueSize: 1024 ** 3,
    extensions: [sqlite],
    async afterLoadDocument ({ document, documentName }) {
      document.on('update', () => unsaved.add(documentName))
    }
  })
  await server.listen()
  const { hocuspocus } = server
  return {
    values: id => hocuspocus.documents.get(id)?.getMap('profile').toJSON(),
    persisted: async () => {
      while (unsaved.size > 0) await new Promise(resolve => { wake = resolve })
      return savedAt
    },
    stop: async () => {
      hocuspocus.flushPendingStores()
      await server.destroy()
    }
  }
}

export async function join ({ port }) {
  const socket = new HocuspocusProviderWebsocket({
    url: `ws://127.0.0.1:${port}`,
    WebSocketPolyfill: WebSocket
  })
  const documents = new Map()
  const open = async id => {
    if (documents.has(id)) return documents.get(id)
    const document = new Y.Doc()
    documents.set(id, document)
    await new Promise(resolve => {
      const provider = new HocuspocusProvider({
        websocketProvider: socket, name: id, document, onSynced: resolve
      })
      provider.attach()
    })
    return document
  }
  const write = (id, fields) => {
    const document = documents.get(id)
    document.transact(() => {
      const map = document.getMap('profile')
      for (const [field, value] of Object.entries(fields)) map.set(field, value)
    })
  }
  return {
    open,
    write,
    load: async (id, fields) => { await open(id); write(id, fields) },
    values: id => documents.get(id)?.getMap('profile').toJSON(),
    disconnect: () => socket.disconnect(),
    connect: () => socket.connect(),
    stop: () => socket.destroy()
  }
}
