import type { ServerResponse } from 'node:http'
import type { FieldList } from './answer-parser.ts'
import { HOP_BY_HOP } from './request-headers.ts'

/**
 * What the model server says, without what is about its connection and what we say ourselves: `own`, and what `res` has
 * been given. What it says of CORS and of https is for callers of its own: who may read the answer, and how, is ours to say.
 * A flat list of names and values.
 */
export function responseHeaders(headers: FieldList, own: FieldList, res: ServerResponse): string[] {
  const named = namedIn(fieldIn(headers, 'connection'))
  const kept: string[] = []
  const ownVary = res.getHeader('vary')
  if (ownVary !== undefined) kept.push('vary', String(ownVary))
  kept.push(...own)
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (HOP_BY_HOP.has(name) || named?.has(name) === true) continue
    if (fieldIn(own, name) !== undefined) continue
    if (name.startsWith('access-control-') || name === 'strict-transport-security') continue
    if (name !== 'vary' && res.hasHeader(name)) continue
    kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}

/** Headers that `Connection` names go no further (RFC 9110 §7.6.1); mostly it names none. */
export function namedIn(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return
  return new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
}

/** The value of a header, given in lower case; several are one list (RFC 9110 §5.3). */
export function fieldIn(fields: FieldList, name: string): string | undefined {
  let value: string | undefined
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] !== name) continue
    value = value === undefined ? fields[i + 1] : `${value}, ${fields[i + 1]}`
  }
  return value
}
