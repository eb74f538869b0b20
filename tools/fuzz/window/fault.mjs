// A law that does not hold.

/** What a law says, where it does not hold. */
export class Fault extends Error {}

/** Throw a Fault where a law does not hold. @param {any} condition @param {string} law */
export function holds(condition, law) {
  if (!condition) throw new Fault(law);
}
