/** One instruction of a Dockerfile: `COPY`, and what follows it on the line. */
export type Instruction = { name: string; rest: string }

export type Stage = { name: string; from: string; instructions: Instruction[] }

/** The stages of a Dockerfile in their order, variables of `ARG` put in. Only what our Dockerfile uses is known. */
export function parseDockerfile(text: string): Stage[] {
  const stages: Stage[] = []
  const args = new Map<string, string>()
  for (const { name, rest } of instructionsOf(text)) {
    const filled = rest.replaceAll(/\$\{(\w+)\}/g, (whole, arg: string) => args.get(arg) ?? whole)
    if (name === 'ARG') {
      const [arg = '', value = ''] = filled.split('=')
      args.set(arg, value)
    } else if (name === 'FROM') {
      const [from = '', , stage = ''] = filled.split(/\s+/)
      stages.push({ name: stage, from, instructions: [] })
    } else {
      const stage = stages.at(-1)
      if (stage === undefined) throw new Error(`${name} before FROM`)
      stage.instructions.push({ name, rest: filled })
    }
  }
  return stages
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => {
      const match = /^([A-Z]+)\s+(.*)$/.exec(line)
      if (match === null) throw new Error(`no instruction: ${line}`)
      return { name: match[1] ?? '', rest: match[2] ?? '' }
    })
}
