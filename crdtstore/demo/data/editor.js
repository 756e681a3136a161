'use strict'
// An editor of plain text with marks. It has no CRDT: it sends deltas against a revision, and is
// answered by what others changed meanwhile. A websocket tells it when to ask, and who is there.

// --- deltas: lists of {retain}, {delete}, {insert}, with attributes

const length = (op) => op.retain ?? op.delete ?? op.insert.length
const kindOf = (op) => ['insert', 'retain', 'delete'].find((kind) => kind in op)
const plain = (op) => Object.keys(op.attributes ?? {}).length === 0
const same = (a, b) => JSON.stringify(a ?? {}) === JSON.stringify(b ?? {})

function push (ops, op) {
  if (length(op) === 0) return
  const last = ops[ops.length - 1]
  if (last && same(last.attributes, op.attributes)) {
    const kind = kindOf(op)
    if (kind in last) {
      ops[ops.length - 1] = { ...last, [kind]: last[kind] + op[kind] }
      return
    }
  }
  ops.push(op)
}

function cursor (ops) {
  let place = 0
  let offset = 0
  return {
    get more () { return place < ops.length },
    get kind () { return place < ops.length ? kindOf(ops[place]) : 'retain' },
    get left () { return place < ops.length ? length(ops[place]) - offset : Infinity },
    take (units) {
      if (place >= ops.length) return { retain: units }
      const op = ops[place]
      const start = offset
      const taken = Math.min(units, length(op) - start)
      offset += taken
      if (offset === length(op)) { place += 1; offset = 0 }
      if ('insert' in op) return { ...op, insert: op.insert.slice(start, start + taken) }
      return 'retain' in op ? { ...op, retain: taken } : { delete: taken }
    }
  }
}

function chopped (ops) {
  while (ops.length && 'retain' in ops[ops.length - 1] && plain(ops[ops.length - 1])) ops.pop()
  return ops
}

function compose (first, second) {
  const [a, b, made] = [cursor(first), cursor(second), []]
  while (a.more || b.more) {
    if (b.kind === 'insert') { push(made, b.take(b.left)); continue }
    if (a.kind === 'delete') { push(made, a.take(a.left)); continue }
    const units = Math.min(a.left, b.left)
    const [kept, change] = [a.take(units), b.take(units)]
    if ('delete' in change) {
      if ('retain' in kept) push(made, change)
      continue
    }
    const attributes = { ...kept.attributes, ...change.attributes }
    if ('insert' in kept) {
      for (const name in attributes) if (attributes[name] === null) delete attributes[name]
    }
    push(made, { ...kept, attributes })
  }
  return chopped(made)
}

// Return `second` as it must be once `first` was made.
function transform (first, second, firstIsFirst) {
  const [a, b, made] = [cursor(first), cursor(second), []]
  while (a.more || b.more) {
    if (a.kind === 'insert' && (firstIsFirst || b.kind !== 'insert')) {
      push(made, { retain: length(a.take(a.left)) })
      continue
    }
    if (b.kind === 'insert') { push(made, b.take(b.left)); continue }
    const units = Math.min(a.left, b.left)
    const [done, wanted] = [a.take(units), b.take(units)]
    if ('delete' in done) continue
    if ('delete' in wanted) { push(made, wanted); continue }
    const attributes = { ...wanted.attributes }
    if (firstIsFirst) for (const k in done.attributes) delete attributes[k]
    push(made, { retain: units, attributes })
  }
  return chopped(made)
}

// Return where a place in the text is after a change.
function moved (place, ops) {
  let at = 0
  for (const op of ops) {
    if (at > place) break
    if ('delete' in op) {
      place -= Math.min(op.delete, Math.max(place - at, 0))
      continue
    }
    if ('insert' in op && at < place) place += op.insert.length
    at += length(op)
  }
  return place
}

const embedsAsText = (ops) =>
  ops.map((op) => typeof op.insert === 'object' ? { ...op, insert: '\ufffc' } : op)
const textOf = (ops) => embedsAsText(ops).map((op) => op.insert).join('')

// --- presence: the awareness messages of y-websocket

const number = (n) => {
  const bytes = []
  while (n > 127) { bytes.push(128 | n % 128); n = Math.floor(n / 128) }
  return [...bytes, n]
}
const sized = (bytes) => [...number(bytes.length), ...bytes]

function awareness (client, clock, state) {
  const json = [...new TextEncoder().encode(JSON.stringify(state))]
  return new Uint8Array([1, ...sized([1, ...number(client), ...number(clock), ...sized(json)])])
}

function readNumber (data, at) {
  let [value, factor] = [0, 1]
  for (;;) {
    const byte = data[at.place++]
    value += (byte & 127) * factor
    if (byte < 128) return value
    factor *= 128
  }
}

function readAwareness (data) {
  const at = { place: 1 }
  readNumber(data, at)
  const clients = []
  for (let left = readNumber(data, at); left > 0; left -= 1) {
    const [client, clock] = [readNumber(data, at), readNumber(data, at)]
    const size = readNumber(data, at)
    const json = new TextDecoder().decode(data.subarray(at.place, at.place + size))
    at.place += size
    clients.push([client, clock, JSON.parse(json)])
  }
  return clients
}

// --- one editor

const NOTE = 'v1/profiles/demo/texts/note/delta'

class Editor {
  constructor (site, person, color) {
    Object.assign(this, { site, person, color })
    this.known = [] // the text at `revision`
    this.revision = ''
    this.flight = null // sent, not answered
    this.waiting = [] // typed since
    this.people = new Map()
    this.client = Math.floor(Math.random() * 2 ** 32)
    this.clock = 0
    const section = document.getElementById(site)
    section.innerHTML = `<h2>${person}, at ${site}<span class="people"></span></h2>
      <div><button data-mark="highlight">Highlight</button>
      <button data-mark="underline">Underline</button></div>
      <div class="paper"><div class="mirror"></div><textarea spellcheck="false"></textarea></div>
      <footer></footer>`
    const find = (what) => section.querySelector(what)
    this.area = find('textarea')
    this.mirror = find('.mirror')
    this.footer = find('footer')
    this.peopleShown = find('.people')
    this.area.addEventListener('input', () => this.typed())
    this.area.addEventListener('scroll', () => { this.mirror.scrollTop = this.area.scrollTop })
    document.addEventListener('selectionchange', () => {
      if (document.activeElement === this.area) this.announce()
    })
    for (const button of section.querySelectorAll('button')) {
      button.addEventListener('click', () => this.mark(button.dataset.mark))
    }
    this.connect()
    this.ask()
  }

  get shown () { return compose(compose(this.known, this.flight ?? []), this.waiting) }

  typed () {
    const [before, after] = [textOf(this.shown), this.area.value]
    const end = this.area.selectionEnd
    let start = 0
    const most = Math.min(before.length, after.length, end)
    while (start < most && before[start] === after[start]) start += 1
    const removed = before.length - (after.length - Math.max(end, start)) - start
    const change = []
    push(change, { retain: start })
    push(change, { insert: after.slice(start, Math.max(end, start)) })
    if (removed > 0) push(change, { delete: removed })
    this.change(change)
  }

  mark (name) {
    const [start, end] = [this.area.selectionStart, this.area.selectionEnd]
    if (start === end) return
    const change = []
    push(change, { retain: start })
    push(change, { retain: end - start, attributes: { [name]: true } })
    this.change(change)
  }

  change (ops) {
    this.waiting = compose(this.waiting, ops)
    this.show()
    this.announce()
    this.ask()
  }

  // Take over what others did: below what is typed here and not answered yet.
  took (meanwhile) {
    const others = transform(this.waiting, meanwhile, false)
    this.waiting = transform(meanwhile, this.waiting, true)
    const [start, end] = [this.area.selectionStart, this.area.selectionEnd]
    this.area.value = textOf(this.shown)
    this.area.setSelectionRange(moved(start, others), moved(end, others))
  }

  async ask () {
    if (this.flight) { this.again = true; return }
    this.again = false
    this.flight = this.waiting
    this.waiting = []
    try {
      const body = JSON.stringify({ source: 'editor', revision: this.revision, delta: this.flight })
      const headers = { 'Content-Type': 'application/json' }
      const response = await fetch(`${this.site}/${NOTE}`, { method: 'POST', headers, body })
      const answer = await response.json()
      if (response.status === 200) this.answered(answer)
      else if (response.status === 410 && answer.delta) this.begin(answer)
      else throw new Error(answer.detail ?? `status ${response.status}`)
      this.fault = ''
    } catch (error) {
      this.fault = String(error.message)
      this.show()
      setTimeout(() => this.recover(), 1000)
      return
    }
    this.show()
    if (this.again || this.waiting.length) this.ask()
  }

  // An answer was lost: was what we sent kept? Only if the text is another one now.
  async recover () {
    try {
      const response = await fetch(`${this.site}/${NOTE}`)
      const answer = await response.json()
      const isNew = response.status === 404 && this.revision === ''
      if (response.status !== 200 && !isNew) throw new Error(answer.detail)
      if (isNew || answer.revision === this.revision || this.flight.length === 0) {
        this.waiting = compose(this.flight, this.waiting)
        this.flight = null
      } else this.begin(answer)
      this.ask()
    } catch (error) {
      this.fault = String(error.message)
      this.show()
      setTimeout(() => this.recover(), 1000)
    }
  }

  answered ({ revision, meanwhile }) {
    const others = embedsAsText(meanwhile)
    this.known = compose(this.known, this.flight)
    this.flight = null
    this.revision = revision
    this.took(others)
    this.known = compose(this.known, others)
    this.area.value = textOf(this.shown) === this.area.value ? this.area.value : textOf(this.shown)
  }

  // The replica does not know our revision any more: go on from its text.
  begin ({ revision, delta }) {
    Object.assign(this, { revision, known: embedsAsText(delta), flight: null, waiting: [] })
    this.area.value = textOf(this.known)
  }

  connect () {
    const url = new URL(`${this.site}/v1/collaboration/demo/note?source=editor`, location.href)
    url.protocol = url.protocol.replace('http', 'ws')
    const socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => { this.socket = socket; this.announce() }
    socket.onmessage = ({ data }) => this.heard(new Uint8Array(data))
    socket.onclose = () => {
      this.socket = null
      this.people.clear()
      this.show()
      setTimeout(() => this.connect(), 1000)
    }
  }

  heard (data) {
    if (data[0] === 0 && data[1] === 0) this.socket?.send(new Uint8Array([0, 1, 2, 0, 0]))
    else if (data[0] === 0) this.ask()
    else if (data[0] === 1) {
      for (const [client, clock, state] of readAwareness(data)) {
        const known = this.people.get(client)
        if (client === this.client || (known && known.clock > clock)) continue
        if (state === null) this.people.delete(client)
        else this.people.set(client, { clock, state })
      }
      this.show()
    }
  }

  announce () {
    const cursor = this.area.selectionEnd
    const state = { user: { name: this.person, color: this.color }, cursor }
    this.clock += 1
    if (this.socket?.readyState === 1) this.socket.send(awareness(this.client, this.clock, state))
  }

  show () {
    const text = this.shown
    const carets = [...this.people.values()].map(({ state }) => state).filter(({ user }) => user)
    this.mirror.replaceChildren()
    let at = 0
    const caretsAt = (place, isLast) => carets.filter(({ cursor }) =>
      cursor === place || (isLast && cursor > place)).map((state) => this.caret(state))
    for (const op of text) {
      let part = op.insert
      while (part) {
        const stops = carets.map(({ cursor }) => cursor - at).filter((units) => units > 0)
        const piece = part.slice(0, Math.min(part.length, ...stops))
        this.mirror.append(...caretsAt(at, false), this.styled(piece, op.attributes ?? {}))
        at += piece.length
        part = part.slice(piece.length)
      }
    }
    this.mirror.append(...caretsAt(at, true), '\n')
    const names = carets.map(({ user }) => user.name).sort()
    this.peopleShown.textContent = names.length ? `with ${names.join(', ')}` : 'alone'
    const unsent = this.waiting.length || this.flight ? 'sending … ' : ''
    this.footer.textContent = this.fault || `${unsent}revision ${this.revision.slice(0, 8)}, ` +
      `${at} units`
  }

  caret ({ user }) {
    const caret = document.createElement('span')
    caret.className = 'caret'
    caret.dataset.name = user.name
    caret.style.setProperty('--color', user.color)
    caret.style.borderColor = user.color
    return caret
  }

  styled (text, attributes) {
    let node = document.createTextNode(text)
    for (const [name, tag] of [['highlight', 'mark'], ['underline', 'u']]) {
      if (!attributes[name]) continue
      const outer = document.createElement(tag)
      outer.append(node)
      node = outer
    }
    return node
  }
}

const editors = [new Editor('eu', 'Ann', '#1a5fb4'), new Editor('us', 'Bob', '#a3226b')]
window.editors = editors
for (const editor of editors) {
  setInterval(() => editor.announce(), 10000)
  setInterval(() => editor.ask(), 5000)
}

const line = document.getElementById('line')
line.addEventListener('click', async () => {
  const isCut = document.body.classList.toggle('cut')
  line.textContent = isCut ? 'Mend the line' : 'Cut the line between them'
  await fetch(isCut ? 'cut' : 'mend', { method: 'POST' })
})
