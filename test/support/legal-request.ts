import * as fc from 'fast-check'

const pick = (...texts: string[]) => fc.constantFrom(...texts)

const field = (name: string, value: string) =>
  fc
    .tuple(
      pick(name, name.toLowerCase(), name.toUpperCase()),
      pick('', ' ', '\t', '  '),
      pick('', ' ', '\t'),
    )
    .map(([spelt, before, after]) => `${spelt}:${before}${value}${after}`)

const chunks = (content: string) =>
  fc
    .record({
      cut: fc.nat({ max: content.length }),
      size: pick('', '0', '000'),
      extension: pick('', ';a', ';a=b', ';a="b c"', ';a;b=c'),
      last: pick('0', '00', '0;a=b'),
      trailers: pick('', 'X: y\r\n', 'x:\r\nY: \t\r\n'),
    })
    .map(({ cut, size, extension, last, trailers }) => {
      const parts = [content.slice(0, cut), content.slice(cut)].filter((part) => part !== '')
      const sent = parts.map(
        (part) => `${size}${part.length.toString(16)}${extension}\r\n${part}\r\n`,
      )
      return `${sent.join('')}${last}\r\n${trailers}\r\n`
    })

/** A request that is legal, if oddly spelt, and so is sent on, with one of these contents. */
export const legalRequest = (token: string, contents: fc.Arbitrary<string>) =>
  fc
    .record({ content: contents, isChunked: fc.boolean() })
    .chain(({ content, isChunked }) => {
      const fields = [
        field('Host', 'x'),
        field('Authorization', `Bearer ${token}`),
        // With whitespace behind it, it is legal, too, but Node refuses that.
        isChunked
          ? pick(
              'Transfer-Encoding: chunked',
              'transfer-encoding:Chunked',
              'TRANSFER-ENCODING:\tchunked',
            )
          : field('Content-Length', String(content.length)),
        fc.oneof(
          field('X', ''),
          field('X', 'y, "z"'),
          field('Connection', 'Keep-Alive, x'),
          field('Expect', '100-continue'),
        ),
      ]
      return fc.record({
        before: pick('', '\r\n'),
        query: pick('', '?', '?a=b', '?%00', '?/../health'),
        fields: fc
          .tuple(...fields)
          .chain((all) => fc.shuffledSubarray(all, { minLength: all.length })),
        body: isChunked ? chunks(content) : fc.constant(content),
      })
    })
    .map(({ before, query, fields, body }) => {
      const line = `${before}POST /v1/chat/completions${query} HTTP/1.1`
      return `${[line, ...fields].join('\r\n')}\r\n\r\n${body}`
    })
