import { SaxesParser } from 'saxes'

/** What is done with the parts of an XML text. Names come without their prefix. */
export interface XmlHandlers {
  open?(name: string, attributes: Record<string, string>): void
  text?(text: string): void
  close?(name: string): void
}

/**
 * Reads XML as it comes in, and stops after each chunk, so that what was made of it can go on. With saxes, which
 * knows XML in full and expands no entities of a document's own (the faster saxen gets characters beyond U+FFFF wrong).
 */
export async function* readXml(
  bytes: AsyncIterable<Uint8Array>,
  handlers: XmlHandlers,
): AsyncGenerator<void> {
  const parser = new SaxesParser({ xmlns: false, position: false })
  const { open, text, close } = handlers
  if (open) parser.on('opentag', (tag) => open(localName(tag.name), tag.attributes))
  if (text) parser.on('text', text)
  if (text) parser.on('cdata', text)
  if (close) parser.on('closetag', (tag) => close(localName(tag.name)))
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for await (const chunk of bytes) {
    parser.write(decoder.decode(chunk, { stream: true }))
    yield
  }
  parser.write(decoder.decode()).close()
  yield
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}
