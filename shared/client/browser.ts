/** What some browsers' `navigator` has, and other platforms' has not. */
interface BrowserNavigator extends Partial<Navigator> {
  readonly onLine?: boolean;
  readonly locks?: {
    request(
      name: string,
      options: { signal?: AbortSignal },
      held: () => Promise<void>,
    ): Promise<unknown>;
  };
}

/** The platform's `navigator`, empty where there is none. */
export function browser(): BrowserNavigator {
  return globalThis.navigator ?? {};
}
