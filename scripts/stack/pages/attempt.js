// What somebody wants to be done once: its fields and its key, kept together
// over reloads, and the same in every tab, until there is an answer.

/**
 * Keeps the attempt of one form.
 *
 * @param name Where it is kept in this browser.
 * @param blank Makes the fields of a new one.
 */
export function keepAttempt(name, blank) {
  const read = () => JSON.parse(localStorage.getItem(name));
  const write = (attempt) => {
    localStorage.setItem(name, JSON.stringify(attempt));
    return attempt;
  };
  const made = (fields) => ({
    key: crypto.randomUUID(),
    // Sent, and no answer heard: it may have taken effect.
    isSent: false,
    // The server may know the key, with these fields.
    isKnown: false,
    // What the answer asked, if it was a question.
    question: null,
    fields,
  });

  return {
    /** Finds the attempt, or opens one: before anybody can press. */
    open: () =>
      // Two tabs that are opened at once hold the same.
      navigator.locks.request(name, () => read() ?? write(made(blank()))),
    current: read,
    /** It is on its way: until `answered`, nobody knows what became of it. */
    sending: () =>
      write({ ...read(), isSent: true, isKnown: true, question: null }),
    /** An answer that is no end: the same key goes on. */
    answered(key, question = null) {
      if (read()?.key === key) write({ ...read(), isSent: false, question });
    },
    /** Takes other fields: under a key that the server knows they would be another request. */
    change(fields) {
      const attempt = read();
      write(attempt.isKnown ? made(fields) : { ...attempt, fields });
    },
    /** Ends it, unless another tab has done so already, and opens the next. */
    end(key, fields = blank()) {
      if (read()?.key === key) write(made(fields));
    },
    forget: () => localStorage.removeItem(name),
    /** Whether a change of the storage is one of it. */
    isChange: ({ key }) => key === null || key === name,
  };
}
