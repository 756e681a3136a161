// automerge-repo: a sync server with node file storage, clients over its websocket adapter, one
// document per profile. The document's id is made from the profile's, so that all sides know it.

import * as Automerge from '@automerge/automerge'
import { Repo, parseAutomergeUrl, stringifyAutomergeUrl } from '@automerge/automerge-repo'
import { WebSocketClientAdapter, WebSocketServerAdapter } from '@automerge/automerge-repo-network-websocket'
import { NodeFSStorageAdapter } from '@automerge/automerge-repo-storage-nodefs'
import { createHash } from 'node:crypto'
import { WebSocketServer } from 'ws'

const clock = () => Number(process.hrtime.bigint()) / 1e9
const documentId = id =>
  parseAutomergeUrl(stringifyAutomergeUrl(createHash('sha256').update(id).digest().subarray(0, 16))).documentId

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
  // Only from here on does its adapter see those who call.
  await repo.networkSubsystem.peerMetadata
  const seen = new Set()
  return {
    values: id => {
      const handle = ready(repo, id)
      if (handle) seen.add(handle.documentId)
      return handle?.doc()
    },
    // Those that were looked at are those that were edited: saves that are due wait no longer.
    persisted: async () => {
      await repo.flush([...seen])
      seen.clear()
      return clock()
    },
    stop: async () => { await repo.shutdown() }
  }
}

export async function join ({ port }) {
  const adapter = new WebSocketClientAdapter(`ws://127.0.0.1:${port}`)
  const repo = new Repo({ network: [adapter] })
  const met = () => new Promise(resolve => repo.networkSubsystem.once('peer', resolve))
  await met()
  return {
    open: async id => { await repo.find(documentId(id)) },
    write: (id, fields) => ready(repo, id).change(document => Object.assign(document, fields)),
    load: async (id, fields) => {
      repo.import(Automerge.save(Automerge.from(fields)), { docId: documentId(id) })
    },
    values: id => ready(repo, id)?.doc(),
    disconnect: () => adapter.disconnect(),
    connect: async () => {
      adapter.connect(repo.peerId, {})
      await met()
    },
    stop: () => adapter.disconnect()
  }
}
