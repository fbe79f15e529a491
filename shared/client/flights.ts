import { reasonOf } from "./platform.ts";

interface Flight {
  readonly answer: Promise<Response>;
  readonly controller: AbortController;
  callers: number;
}

/** Lets callers that ask for the same at once share one answer. */
export interface SharedFlights {
  /**
   * Joins the flight of this name, or starts it.
   *
   * @param signal Ends this caller's wait at once; the flight itself ends with
   * the wait of its last caller.
   * @returns An answer whose body nobody else reads.
   */
  join(
    name: string,
    signal: AbortSignal | null | undefined,
    start: (signal: AbortSignal) => Promise<Response>,
  ): Promise<Response>;
  /** Whether there is such a flight now. */
  has(name: string): boolean;
}

/** Makes a set of flights with none under way. */
export function sharedFlights(
  copy: (response: Response) => Response,
): SharedFlights {
  const flights = new Map<string, Flight>();

  const begin = (
    name: string,
    start: (signal: AbortSignal) => Promise<Response>,
  ): Flight => {
    const controller = new AbortController();
    const answer = start(controller.signal).finally(() => leave(name, flight));
    const flight: Flight = { answer, controller, callers: 0 };
    flights.set(name, flight);
    return flight;
  };

  const leave = (name: string, flight: Flight) => {
    if (flights.get(name) === flight) flights.delete(name);
  };

  return {
    has: (name) => flights.has(name),
    join(name, signal, start) {
      if (signal?.aborted) return Promise.reject(reasonOf(signal));
      const flight = flights.get(name) ?? begin(name, start);
      flight.callers++;
      return new Promise((resolve, reject) => {
        const abort = () => {
          reject(reasonOf(signal!));
          if (--flight.callers > 0) return;
          leave(name, flight);
          flight.controller.abort(reasonOf(signal!));
        };
        signal?.addEventListener("abort", abort);
        flight.answer.finally(() => signal?.removeEventListener("abort", abort))
          .then((response) => {
            if (signal?.aborted) return;
            // The last to take it reads the original: nobody else is left.
            resolve(--flight.callers > 0 ? copy(response) : response);
          }, reject);
      });
    },
  };
}
