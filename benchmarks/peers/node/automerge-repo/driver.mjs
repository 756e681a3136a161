// automerge-repo: a sync server with node file storage, clients over its websocket adapter, one
// document per profile. The document's id is made from the profile's, so that all sides know it.

import * as Automerge from '@automerge/automerge'
import { Repo, binaryToDocumentId } from '@automerge/automerge-repo'
import { WebSocketClientAdapter, WebSocketServerAdapter } from '@automerge/automerge-repo-network-websocket'
import { NodeFSStorageAdapter } from '@automerge/automerge-repo-storage-nodefs'
import { createHash } from 'node:crypto'
import { WebSocketServer } from 'ws'

const clock = () => Number(process.hrtime.bigint()) / 1e9
const documentId = id => binaryToDocumentId(createHash('sha256').update(id).digest().subarray(0, 16))

// The handles that are there already: asking for another one would make the repository look for it.
function ready (repo, id) {
  const handle = repo.handles[documentId(id)]
  return handle?.isReady() ? handle : undefined
}

export async function serve ({ directory, port }) {
  const sockets = new WebSocketServer({ host: '127.0.0.1', port })
  const repo = new Repo({
    storage: new NodeFSStorageAdapter(directory),
    network: [new WebSocketServerAdapter(sockets)],
    sharePolicy: async () => false
  })
  const unsaved = new Map()
  repo.on('document', ({ handle }) => {
    handle.on('heads-changed', () => unsaved.set(handle.documentId, true))
  })
  return {
    values: id => ready(repo, id)?.doc(),
    persisted: async () => {
      const ids = [...unsaved.keys()]
      unsaved.clear()
      await repo.flush(ids)
      return clock()
    },
    stop: async () => { await repo.shutdown() }
  }
}

export async function join ({ port }) {
  const adapter = new WebSocketClientAdapter(`ws://127.0.0.1:${port}`)
  const repo = new Repo({ network: [adapter] })
  await adapter.whenReady()
  return {
    open: async id => { await repo.find(documentId(id)) },
    write: (id, fields) => ready(repo, id).change(document => Object.assign(document, fields)),
    load: async (id, fields) => {
      repo.import(Automerge.save(Automerge.from(fields)), { docId: documentId(id) })
    },
    values: id => ready(repo, id)?.doc(),
    disconnect: () => adapter.disconnect(),
    connect: async () => {
      adapter.connect(repo.peerId ?? repo.networkSubsystem.peerId, await repo.networkSubsystem.peerMetadata)
    },
    stop: () => adapter.disconnect()
  }
}
