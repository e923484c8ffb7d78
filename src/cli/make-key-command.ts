import type { Command } from 'commander'
import { loadOrCreateClientKey, publicClientKey } from '../keys/client-key-file.ts'
import { writeJson } from './output.ts'

/** The key of a client with private_key_jwt, for whoever has no tool at hand that makes one. */
export function addMakeKeyCommand(clients: Command): void {
  clients
    .command('make-key <file>')
    .description(
      'make a private key for a client (ES256 JWK, 0600) unless it is there, and print its public half as a JWK Set',
    )
    .addHelpText(
      'after',
      '\nExample:\n  npm run -s gatehouse -- clients make-key proxy-1.jwk > proxy-1.jwks.json',
    )
    .action(async (file: string) => {
      writeJson({ keys: [publicClientKey(await loadOrCreateClientKey(file))] })
    })
}
