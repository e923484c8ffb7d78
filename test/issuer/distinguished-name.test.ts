import * as fc from 'fast-check'
import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { canonicalDn, canonicalSubject } from '../../src/issuer/distinguished-name.ts'
import { hasOpenssl, makeCertificate } from '../support/certificates.ts'

describe.skipIf(!hasOpenssl)('a registered name (RFC 4514) is that of the certificate', () => {
  test.each([
    ['/C=DE/O=Example/CN=robot', 'CN=robot,O=Example,C=DE'],
    ['/C=DE/O=Example/CN=robot', 'cn=robot, o=Example, c=DE'],
    ['/C=DE/O=Example/CN=robot', '2.5.4.3=robot,2.5.4.10=Example,2.5.4.6=DE'],
    ['/O=A, B and C/CN=robot', 'CN=robot,O=A\\, B and C'],
    ['/O=A, B and C/CN=robot', 'CN=robot,O=A\\2C B and C'],
    ['/O=Bäcker 面包/CN=robot', 'CN=robot,O=Bäcker 面包'],
    ['/O=Bäcker/CN=robot', 'CN=robot,O=B\\C3\\A4cker'],
    ['/O=x\\/y/CN="quoted" <a>; #1', 'CN=\\"quoted\\" \\<a\\>\\; #1,O=x/y'],
    ['/DC=example/DC=robots/UID=7', 'UID=7,DC=robots,DC=example'],
    ['/CN=robot+UID=7/O=Example', 'O=Example,UID=7+CN=robot'],
    ['/CN=robot/emailAddress=a@b.example', 'emailAddress=a@b.example,CN=robot'],
    ['/CN=robot/emailAddress=a@b.example', '1.2.840.113549.1.9.1=a@b.example,CN=robot'],
    ['/CN=a\\\\b', 'CN=a\\\\b'],
  ])('%s is %s', async (subject, registered) => {
    const { cert } = await makeCertificate({ subject })
    const canonical = canonicalSubject(new X509Certificate(cert).subject)
    expect(canonical).toBeDefined()
    expect(canonicalDn(registered)).toBe(canonical)
  })

  test.each([
    ['/C=DE/CN=robot', 'C=DE,CN=robot'],
    ['/C=DE/CN=robot', 'CN=robot'],
    ['/C=DE/CN=robot', 'CN=Robot,C=DE'],
    ['/CN=robot,C=DE', 'CN=robot,C=DE'],
    ['/CN=robot+UID=7', 'CN=robot,UID=7'],
    ['/CN=robot\\, C=DE', 'CN=robot,C=DE'],
  ])('%s is not %s', async (subject, registered) => {
    const { cert } = await makeCertificate({ subject })
    expect(canonicalDn(registered)).not.toBe(canonicalSubject(new X509Certificate(cert).subject))
  })
})

test('what is no name is none, and a value in BER is not compared', () => {
  for (const text of ['', 'robot', 'CN', '=robot', 'CN=a,', 'CN=a,,O=b', 'CN=#0403', 'a b=c']) {
    expect(canonicalDn(text)).toBeUndefined()
  }
})

test('an escaped value is always that value, and no other name', () => {
  const escape = (value: string) =>
    [...Buffer.from(value)].map((octet) => `\\${octet.toString(16).padStart(2, '0')}`).join('')
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (one, other) => {
      const name = canonicalDn(`CN=${escape(one)}`)
      expect(name).toBe(JSON.stringify([[`cn=${one}`]]))
      expect(canonicalDn(`CN=${escape(other)}`) === name).toBe(one === other)
    }),
  )
})
