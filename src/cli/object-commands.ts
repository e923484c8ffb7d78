import type { Command } from 'commander'
import { z } from 'zod'
import type { AdminApi, AdminRequest } from './admin-api.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { writeFields, writeJson } from './output.ts'

const objectSchema = z.looseObject({})
const optionsSchema = z.object({ json: z.boolean().default(false) }).loose()

/** One object as the admin API answered it: members for people, or the very answer. */
export function showObject(answer: unknown, { json }: { json: boolean }): void {
  if (json) writeJson(answer)
  else writeFields(objectSchema.parse(answer))
}

export type ObjectCommand = {
  verb: 'show' | 'suspend' | 'resume' | 'disable' | 'enable' | 'delete'
  description: string
  noun: string
  /** The path of its kind in the admin API. */
  collection: string
  /** An id, for the help. */
  example: string
  /** More of the object for people, after its members. */
  addendum?: (api: AdminApi, id: string) => Promise<void>
  /** Finds the id where people say something else. */
  resolve?: (api: AdminApi, named: string, command: Command) => Promise<string>
}

/** Adds a command that does one thing to one object. */
export function addObjectCommand(parent: Command, wanted: ObjectCommand): Command {
  const { verb, noun, collection, description, example } = wanted
  return addAdminCommand(parent, {
    name: `${verb} <${noun}>`,
    description,
    examples: [`${collection} ${verb} ${example}`],
  }).action(async (named: string, _options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const api = await adminApiOf(command)
    const id = wanted.resolve === undefined ? named : await wanted.resolve(api, named, command)
    const answer = await api.call(requestFor(verb, `${collection}/${encodeURIComponent(id)}`))
    if (answer !== undefined) showObject(answer, { json })
    else if (json) writeJson({})
    else process.stdout.write(`The ${noun} ${named} is deleted.\n`)
    if (!json) await wanted.addendum?.(api, id)
  })
}

function requestFor(verb: ObjectCommand['verb'], path: string): AdminRequest {
  if (verb === 'show') return { path }
  if (verb === 'delete') return { method: 'DELETE', path }
  return { method: 'POST', path: `${path}/${verb}` }
}
