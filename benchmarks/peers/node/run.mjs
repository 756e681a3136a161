// One process of a peer: its server or one of its clients, told what to do by lines of JSON.
//
//   node run.mjs server|client '{"workload": …, "directory": …, "port": …}'
//
// Every line in is one command, every line out its answer. Times are seconds of the system's
// monotonic clock, which all processes of the machine share. What is particular to a peer is in
// driver.mjs beside this file. The process ends when its standard input does.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import * as driver from './driver.mjs'

const CHECK_PATIENCE_S = 5
const OPENED_AT_ONCE = 50
const WRITTEN_AT_ONCE = 100
const role = process.argv[2]
const settings = JSON.parse(process.argv[3])
const work = JSON.parse(readFileSync(settings.workload, 'utf8'))

export const now = () => Number(process.hrtime.bigint()) / 1e9
const turn = () => new Promise(resolve => setImmediate(resolve))
const pause = () => new Promise(resolve => setTimeout(resolve, 1))

// What profiles must say: after being loaded, and after edits.
function expected ({ profiles = [0, 0], edits = [0, 0], wholes = false }) {
  const wanted = new Map()
  for (const [id, fields] of work.profiles.slice(...profiles)) wanted.set(id, { ...fields })
  for (const [id, field, value] of work.edits.slice(...edits)) {
    if (!wanted.has(id)) wanted.set(id, wholes ? { ...work.initial[id] } : {})
    wanted.get(id)[field] = value
  }
  return wanted
}

const says = (values, fields) =>
  values !== undefined && Object.entries(fields).every(([field, value]) => values[field] === value)

async function untilSaid (place, wanted) {
  for (const [id, fields] of wanted) {
    for (let waited = 0; !says(await place.values(id), fields); waited++) {
      await (waited < 2000 ? turn() : pause())
    }
  }
}

async function digest (place, profiles) {
  const hash = createHash('sha256')
  for (const [id] of work.profiles.slice(...profiles)) {
    const values = (await place.values(id)) ?? {}
    hash.update(JSON.stringify([id, Object.keys(values).sort().map(key => [key, values[key]])]))
  }
  return hash.digest('hex')
}

async function openAll (client, profiles) {
  const ids = work.profiles.slice(...profiles).map(([id]) => id)
  if (client.openMany) return client.openMany(ids)
  let next = 0
  const worker = async () => { while (next < ids.length) await client.open(ids[next++]) }
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, worker))
}

async function writeAll (client, writes) {
  if (client.writeMany) return client.writeMany(writes)
  for (let place = 0; place < writes.length; place++) {
    client.write(...writes[place])
    if (place % WRITTEN_AT_ONCE === 0) await turn()
  }
}

const both = {
  digest: async (place, { profiles }) => ({ digest: await digest(place, profiles) }),
  // What is not there at once may be on its way: the clock stops at the last one that came.
  check: async (place, { profiles, edits }) => {
    let differing = 0
    let at = 0
    let patience = now() + CHECK_PATIENCE_S
    for (const [id, fields] of expected({ profiles, edits })) {
      let isThere = says(await place.values(id), fields)
      while (!isThere && now() < patience) {
        await pause()
        isThere = says(await place.values(id), fields)
        if (isThere) [at, patience] = [now(), now() + CHECK_PATIENCE_S]
      }
      if (!isThere) differing++
    }
    return { differing, at }
  }
}

const serverCommands = {
  ...both,
  settle: async (server, range) => {
    await untilSaid(server, expected(range))
    return { at: await server.persisted() }
  }
}

const clientCommands = {
  ...both,
  open: async (client, { profiles }) => {
    const start = now()
    await openAll(client, profiles)
    return { start, at: now() }
  },
  load: async (client, { profiles }) => {
    const start = now()
    const loaded = work.profiles.slice(...profiles)
    if (client.loadMany) await client.loadMany(loaded)
    else {
      let next = 0
      const worker = async () => {
        while (next < loaded.length) {
          const [id, fields] = loaded[next++]
          await client.load(id, fields)
        }
      }
      await Promise.all(Array.from({ length: OPENED_AT_ONCE }, worker))
    }
    return { start, at: now() }
  },
  edit: async (client, { edits }) => {
    const start = now()
    await writeAll(client, work.edits.slice(...edits).map(([id, f, value]) => [id, { [f]: value }]))
    return { start, at: now() }
  },
  see: async (client, range) => {
    await untilSaid(client, expected(range))
    return { at: now() }
  },
  one: async (client, { edit }) => {
    const [id, field, value] = work.edits[edit]
    const start = now()
    await client.open(id)
    await client.write(id, { [field]: value })
    return { start, at: now() }
  },
  conflict: async (client, { profiles, rounds, side }) => {
    const fields = Object.keys(work.profiles[0][1]).slice(0, 3)
    const writes = []
    for (let round = 0; round < rounds; round++) {
      for (const [id] of work.profiles.slice(...profiles)) {
        writes.push([id, { [fields[round % 3]]: `${side} ${round}` }])
      }
    }
    await writeAll(client, writes)
    return {}
  },
  disconnect: async client => { await client.disconnect(); return {} },
  connect: async client => { const start = now(); await client.connect(); return { start } }
}

work.initial = Object.fromEntries(work.profiles)
const place = role === 'server' ? await driver.serve(settings) : await driver.join(settings)
const commands = role === 'server' ? serverCommands : clientCommands
process.stdout.write(JSON.stringify({ ready: true }) + '\n')
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  if (command.do === 'stop') break
  process.stdout.write(JSON.stringify(await commands[command.do](place, command)) + '\n')
}
await place.stop()
process.exit(0)
