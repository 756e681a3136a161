// PouchDB: a database on LevelDB in every process, replicated over HTTP through express-pouchdb.

import createApplication from 'express-pouchdb'
import PouchDB from 'pouchdb'

const BATCH = 100
const PAGE = 1000
const clock = () => Number(process.hrtime.bigint()) / 1e9
const plain = ({ _id, _rev, _conflicts, ...fields }) => fields

export async function serve ({ directory, port }) {
  const Database = PouchDB.defaults({ prefix: `${directory}/` })
  const database = new Database('profiles')
  const app = createApplication(Database, { mode: 'minimumForPouchDB', inMemoryConfig: true })
  const server = await new Promise(resolve => {
    const listening = app.listen(port, '127.0.0.1', () => resolve(listening))
  })
  return {
    values: id => database.get(id).then(plain, () => undefined),
    persisted: async () => clock(), // what can be read has been put into LevelDB
    stop: async () => { server.closeAllConnections(); await database.close() }
  }
}

export async function join ({ directory, port }) {
  const database = new PouchDB(`${directory}/profiles`)
  const remote = `http://127.0.0.1:${port}/profiles`
  const documents = new Map()
  let replication = null

  const put = async batch => {
    const results = await database.bulkDocs(batch)
    for (const [place, result] of results.entries()) {
      if (result.error) throw new Error(`${result.id}: ${result.message}`)
      batch[place]._rev = result.rev
      documents.set(batch[place]._id, batch[place])
    }
  }
  const writeMany = async writes => {
    for (let place = 0; place < writes.length; place += BATCH) {
      const batch = new Map()
      for (const [id, fields] of writes.slice(place, place + BATCH)) {
        const known = batch.get(id) ?? documents.get(id) ?? await database.get(id)
        batch.set(id, { ...known, ...fields })
      }
      await put([...batch.values()])
    }
  }
  const connect = () => {
    replication = database.sync(remote, { live: true, retry: true, batch_size: PAGE })
  }
  return {
    open: async () => {}, // the whole database is there
    openMany: async () => {
      await PouchDB.replicate(remote, database, { batch_size: PAGE })
      documents.clear()
      connect()
    },
    write: (id, fields) => writeMany([[id, fields]]),
    writeMany,
    loadMany: async loaded => {
      for (let place = 0; place < loaded.length; place += PAGE) {
        await put(loaded.slice(place, place + PAGE).map(([_id, fields]) => ({ _id, ...fields })))
      }
    },
    values: id => database.get(id).then(plain, () => undefined),
    disconnect: async () => {
      const ended = new Promise(resolve => replication.on('complete', resolve))
      replication.cancel()
      await ended
      documents.clear()
    },
    connect,
    stop: async () => { replication?.cancel(); await database.close() }
  }
}
