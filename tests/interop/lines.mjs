// Questions come as JSON lines [number, verb, ...arguments]; answers go as [number, result, error].
import { createInterface } from 'node:readline'

export const answer = async (verbs) => {
  for await (const line of createInterface({ input: process.stdin })) {
    const [number, verb, ...given] = JSON.parse(line)
    let reply
    try {
      reply = [number, (await verbs[verb](...given)) ?? null, null]
    } catch (error) {
      reply = [number, null, String(error.stack)]
    }
    process.stdout.write(JSON.stringify(reply) + '\n')
  }
}
