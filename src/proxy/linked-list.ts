/** What can stand in a list: it knows its neighbours, so it leaves in constant time, wherever it stands. */
export type Linked<T> = { before: T | undefined; after: T | undefined }

export type LinkedList<T extends Linked<T>> = {
  first: () => T | undefined
  append: (item: T) => void
  /** Of an item that is in this list. */
  remove: (item: T) => void
}

/** Unlike an array or a Set, it is as quick at its front as at its end, however long it is. */
export function createLinkedList<T extends Linked<T>>(): LinkedList<T> {
  let head: T | undefined
  let tail: T | undefined
  return {
    first: () => head,
    append(item) {
      item.before = tail
      item.after = undefined
      if (tail === undefined) head = item
      else tail.after = item
      tail = item
    },
    remove({ before, after }) {
      if (before === undefined) head = after
      else before.after = after
      if (after === undefined) tail = before
      else after.before = before
    },
  }
}
