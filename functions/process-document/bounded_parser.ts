import { Parser, type ParserOptions } from "htmlparser2";

type Handler = ConstructorParameters<typeof Parser>[0];

/**
 * How many open elements may be looked through in vain: a fraction of a second's
 * work, and a thousand stray tags where as many elements are open as may be.
 */
const MAX_LOOKED_THROUGH = 10_000_000;

/**
 * A parser that bounds the work for tags that close nothing. Each is looked for
 * among all elements that are open, and a file of a few kilobytes unpacks to
 * millions of them.
 */
export class BoundedParser extends Parser {
  #left = MAX_LOOKED_THROUGH;
  #depth = 0;
  readonly #onTooMuchWork: () => Error;

  constructor(
    handler: Handler,
    { onTooMuchWork, ...options }: ParserOptions & {
      /** The error to throw. */
      onTooMuchWork: () => Error;
    },
  ) {
    super({
      ...handler,
      onopentag: (...said) => {
        this.#depth++;
        handler?.onopentag?.(...said);
      },
      onclosetag: (...said) => {
        this.#depth--;
        handler?.onclosetag?.(...said);
      },
    }, options);
    this.#onTooMuchWork = onTooMuchWork;
  }

  override onclosetag(start: number, end: number): void {
    const before = this.#depth;
    super.onclosetag(start, end);
    if (this.#depth < before) return;
    this.#left -= this.#depth;
    if (this.#left < 0) throw this.#onTooMuchWork();
  }
}
