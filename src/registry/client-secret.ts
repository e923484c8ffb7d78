import { hash, verify } from 'argon2'
import { randomBytes } from 'node:crypto'

const SECRET_BYTES = 32

/** OWASP's minimum for argon2id (the package's default type): 19 MiB, two passes, one lane. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** 256 random bits as base64url, which every client library can put into Basic credentials unharmed. */
export function generateClientSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

/** An argon2id hash in PHC string format. */
export function hashClientSecret(secret: string): Promise<string> {
  return hash(secret, ARGON2ID)
}

/** Whether one of the hashes is the secret's. */
export async function isClientSecret(secret: string, hashes: readonly string[]): Promise<boolean> {
  for (const candidate of hashes) {
    if (await verify(candidate, secret)) return true
  }
  return false
}
