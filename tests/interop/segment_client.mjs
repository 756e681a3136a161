// The npm package @segment/analytics-node, as a service would use it.
import { Analytics } from '@segment/analytics-node'
import { answer } from './lines.mjs'

let analytics
const problems = []

await answer({
  start: (host, writeKey, flushAt) => {
    analytics = new Analytics({ writeKey, host, flushAt, flushInterval: 100, maxRetries: 20 })
    analytics.on('error', (error) => problems.push(String(error.reason ?? error.code)))
  },
  call: (kind, message) => {
    analytics[kind]({ ...message, timestamp: new Date(message.timestamp ?? Date.now()) })
  },
  end: async () => {
    await analytics.closeAndFlush({ timeout: 30_000 })
    return problems
  }
})
