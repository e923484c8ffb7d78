/** Runs the task after so many milliseconds, unless what it gives is called before. */
export type Schedule = (task: () => void, ms: number) => () => void

export const scheduleOnLoop: Schedule = (task, ms) => {
  const timer = setTimeout(task, ms)
  return () => clearTimeout(timer)
}
