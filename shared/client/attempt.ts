/** One intention of the user, which takes effect once however often it is sent. */
export interface Attempt {
  /**
   * The key that the request is sent under. A follow-up of the same intention,
   * such as a confirmation, is sent under it too.
   */
  readonly key: string;
  /** Sends the request, or shares the answer of a sending under way. */
  send(): Promise<Response>;
  /**
   * Gives the intention up: what is sent from now on is another one, and may
   * take effect beside the first.
   */
  reset(): Promise<void>;
}
