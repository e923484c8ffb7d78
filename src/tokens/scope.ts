/** The words of a `scope` (RFC 6749 §3.3), each once. */
export const wordsOf = (scope = ''): string[] =>
  scope.split(' ').filter((word, at, words) => word !== '' && words.indexOf(word) === at)
