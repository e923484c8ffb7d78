import { createHmac, timingSafeEqual } from 'node:crypto'

/** Tells forms that came from a page of ours from those that another site sends along (CWE-352). */
export type FormTokens = {
  issue: (interactionId: string) => string
  isValid: (interactionId: string, token: string) => boolean
}

/** Needs nothing kept, so that any issuer with the same key knows the token again. */
export function createFormTokens(key: Buffer): FormTokens {
  const digestOf = (interactionId: string) =>
    createHmac('sha256', key).update(interactionId).digest()
  return {
    issue: (interactionId) => digestOf(interactionId).toString('base64url'),
    isValid: (interactionId, token) => {
      const expected = digestOf(interactionId)
      const given = Buffer.from(token, 'base64url')
      return given.length === expected.length && timingSafeEqual(given, expected)
    },
  }
}
