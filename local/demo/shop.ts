import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { seeded } from './random.ts'

export interface Article {
  sku: string
  name: string
  price: number
}

/** A small shop with a feed of its articles, which says whether it has changed. */
export interface Shop {
  url: string
  requests(): number
  articles(): Article[]
  /** Raises the prices of some articles. */
  raise(count: number): void
  add(count: number): void
  remove(count: number): void
  /** Answers with a page of regrets from now on. */
  close(): void
  reopen(): void
  stop(): Promise<void>
}

const kinds = ['Espresso beans', 'Filter paper', 'Darjeeling', 'Cup, blue', 'Kettle', 'Honey "Linden"']

/** Opens a shop with so many articles. The same number is always the same shop. */
export async function openShop(count: number): Promise<Shop> {
  const random = seeded(count)
  let articles: Article[] = []
  let made = 0
  let isOpen = true
  let requests = 0

  function add(more: number): void {
    for (let n = 0; n < more; n++) {
      made++
      const sku = `A-${String(made).padStart(4, '0')}`
      articles.push({ sku, name: `${random.pick(kinds)} ${made}`, price: (100 + random.below(5_000)) / 100 })
    }
  }
  add(count)

  const server = createServer((request, response) => {
    requests++
    if (!isOpen) {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><h1>Back soon</h1>')
      return
    }
    const lines = articles.map(
      ({ sku, name, price }) => `${sku},"${name.replaceAll('"', '""')}",${price.toFixed(2)}\n`,
    )
    const body = `Article,Title,Price\n${lines.join('')}`
    const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`
    const isKnown = request.headers['if-none-match'] === etag
    response.writeHead(isKnown ? 304 : 200, { etag, 'content-type': 'text/csv' }).end(isKnown ? '' : body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    articles: () => articles,
    raise(some) {
      for (const article of articles.slice(0, some)) article.price = Math.round(article.price * 110) / 100
    },
    add,
    remove(some) {
      articles = articles.slice(some)
    },
    close() {
      isOpen = false
    },
    reopen() {
      isOpen = true
    },
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
